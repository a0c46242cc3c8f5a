//! The second kind: how many commits each author has made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey};

/// The state: commits by the name of the author.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authors(BTreeMap<String, u64>);

impl Aggregate for Authors {
    /// The name of the author of a commit.
    type Event = String;
    const KIND: &'static str = "authors";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, name: &String) {
        // Most authors are known, so their name is not copied again.
        match self.0.get_mut(name) {
            Some(commits) => *commits += 1,
            None => drop(self.0.insert(name.clone(), 1)),
        }
    }
}
