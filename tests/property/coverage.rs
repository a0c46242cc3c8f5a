//! What the random cases met: a property that meets no snapshot proves nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Coverage(Mutex<BTreeMap<String, u64>>);

impl Coverage {
    pub(crate) fn note(&self, what: &str, happened: bool) {
        if happened {
            *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn require(&self, all: &[&str]) {
        let met = self.0.lock().unwrap();
        for what in all {
            assert!(met.contains_key(*what), "no case met \"{what}\", only {met:#?}");
        }
    }
}
