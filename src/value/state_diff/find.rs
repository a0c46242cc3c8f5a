//! [`StateDiff::between`]: walks two states side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::align::{ReplacedRange, align};
use super::{StateChange, StateDiff, StatePath, StateStep, StateValue};

impl StateDiff {
    /// Compares two states.
    pub fn between(earlier: &StateValue, later: &StateValue) -> Self {
        let mut found = Finder::default();
        found.compare(earlier, later);
        found.diff
    }
}

/// Collects the differences between two states.
#[derive(Default)]
struct Finder {
    path: StatePath,
    diff: StateDiff,
}

impl Finder {
    /// Recurses as deeply as the states nest, which is at most 1,024 levels.
    fn compare(&mut self, earlier: &StateValue, later: &StateValue) {
        match (earlier, later) {
            (StateValue::Some(a), StateValue::Some(b)) => self.compare(a, b),
            (StateValue::Variant(a, inner_a), StateValue::Variant(b, inner_b)) if a == b => {
                self.compare(inner_a, inner_b);
            }
            (StateValue::Struct(a), StateValue::Struct(b)) => self.fields(a, b),
            (StateValue::Map(a), StateValue::Map(b)) => self.entries(a, b),
            (StateValue::List(a), StateValue::List(b)) => self.items(a, b),
            (a, b) if a == b => {}
            (from, to) => {
                self.diff.changed += 1;
                self.list(|path| StateChange::Changed { path, from: from.clone(), to: to.clone() });
            }
        }
    }

    fn fields(&mut self, earlier: &[(String, StateValue)], later: &[(String, StateValue)]) {
        let mut left: BTreeMap<&str, &StateValue> =
            earlier.iter().map(|(name, value)| (name.as_str(), value)).collect();
        for (name, value) in later {
            let step = StateStep::Field(name.clone());
            match left.remove(name.as_str()) {
                Some(before) => self.at(step, |finder| finder.compare(before, value)),
                None => self.at(step, |finder| finder.added(value)),
            }
        }
        for (name, value) in earlier.iter().filter(|(name, _)| left.contains_key(name.as_str())) {
            self.at(StateStep::Field(name.clone()), |finder| finder.removed(value));
        }
    }

    fn entries(
        &mut self,
        earlier: &[(StateValue, StateValue)],
        later: &[(StateValue, StateValue)],
    ) {
        // A type may serialize a key twice, so each key has a queue.
        let mut left: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (at, (key, _)) in earlier.iter().enumerate() {
            left.entry(format!("{key:?}")).or_default().push_back(at);
        }
        for (key, value) in later {
            let at = left.get_mut(&format!("{key:?}")).and_then(VecDeque::pop_front);
            let step = StateStep::Key(key.clone());
            match at.and_then(|at| earlier.get(at)) {
                Some((_, before)) => self.at(step, |finder| finder.compare(before, value)),
                None => self.at(step, |finder| finder.added(value)),
            }
        }
        let mut removed: Vec<usize> = left.into_values().flatten().collect();
        removed.sort_unstable();
        for (key, value) in removed.into_iter().filter_map(|at| earlier.get(at)) {
            self.at(StateStep::Key(key.clone()), |finder| finder.removed(value));
        }
    }

    fn items(&mut self, earlier: &[StateValue], later: &[StateValue]) {
        for ReplacedRange { earlier: old, later: new } in align(earlier, later) {
            let (before, after) = (earlier.get(old.clone()), later.get(new.clone()));
            let (before, after) = (before.unwrap_or(&[]), after.unwrap_or(&[]));
            let both = before.len().min(after.len());
            for (at, (a, b)) in new.clone().zip(before.iter().zip(after)) {
                self.at(StateStep::Index(at), |finder| finder.compare(a, b));
            }
            for (at, value) in old.zip(before).skip(both) {
                self.at(StateStep::Index(at), |finder| finder.removed(value));
            }
            for (at, value) in new.zip(after).skip(both) {
                self.at(StateStep::Index(at), |finder| finder.added(value));
            }
        }
    }

    fn at(&mut self, step: StateStep, work: impl FnOnce(&mut Self)) {
        self.path.0.push(step);
        work(self);
        self.path.0.pop();
    }

    fn added(&mut self, value: &StateValue) {
        self.diff.added += 1;
        self.list(|path| StateChange::Added { path, value: value.clone() });
    }

    fn removed(&mut self, value: &StateValue) {
        self.diff.removed += 1;
        self.list(|path| StateChange::Removed { path, value: value.clone() });
    }

    fn list(&mut self, change: impl FnOnce(StatePath) -> StateChange) {
        if self.diff.changes.len() < StateDiff::MAX_CHANGES {
            self.diff.changes.push(change(self.path.clone()));
        }
    }
}
