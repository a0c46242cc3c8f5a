//! [`State`]: an aggregate of cqrs-es, as snapfold folds it.

use serde::{Deserialize, Serialize};
use snapfold::{AggregateKey, Error};

/// An aggregate of cqrs-es, as snapfold folds it: from `A::default()`, with `A::apply`. It is stored
/// as `A` itself.
///
/// `SCHEMA` is the version of the fold. Raise it when `apply` or the type changes its meaning.
/// Snapshots of other versions are not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State<A, const SCHEMA: u32 = 1>(pub A);

impl<A, const SCHEMA: u32> State<A, SCHEMA>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    /// Returns the key of an aggregate: `A::TYPE` and its id.
    ///
    /// # Errors
    /// [`InvalidInput`](snapfold::ErrorKind::InvalidInput) if the id is too long.
    pub fn aggregate_key(id: &str) -> Result<AggregateKey, Error> {
        AggregateKey::new(A::TYPE, id)
    }
}

impl<A, const SCHEMA: u32> snapfold::Aggregate for State<A, SCHEMA>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    type Event = A::Event;
    const KIND: &'static str = A::TYPE;
    const SCHEMA_VERSION: u32 = SCHEMA;

    fn initial(_: &AggregateKey) -> Self {
        Self(A::default())
    }

    fn apply(&mut self, event: &A::Event) {
        self.0.apply(event.clone());
    }
}
