//! The trees that are offered at one opaque part of a type: [`Opening`].
//!
//! When derived code refuses a value, its error contains the names that it expects: the next
//! missing field, all variants of an enum, or all fields where unknown ones are denied. So an
//! opaque part is first offered a string that no type accepts, and then, one change at a time, what
//! the errors ask for. What an accepted value writes reveals the names of fields that have a
//! default.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fault::Heard;
use super::tree::{ShapeTree, TreePath};

/// The maximum number of trees that are tried at one opaque part.
const MAX_TRIALS: usize = 256;
/// The maximum length of a sequence, and of variants that are requested by number.
const MAX_LENGTH: usize = 64;

/// A tree to be offered, derived from a tree that was offered before.
#[derive(Clone, Debug)]
struct OpeningTrial {
    tree: ShapeTree,
    /// The messages about the tree that this one was derived from, sorted.
    before: Vec<Heard>,
    /// The place that was changed.
    focus: TreePath,
    /// Set for trees that differ only in the value of this mark.
    of_mark: Option<u32>,
    /// The place of a variant that is identified by its number.
    numbered: Option<TreePath>,
    /// The first of the marks of fields that were added together.
    added: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Opening {
    first: ShapeTree,
    /// The last one is tried next.
    trials: Vec<OpeningTrial>,
    running: Option<OpeningTrial>,
    /// The latest accepted tree whose value was not written yet.
    latest: Option<OpeningTrial>,
    pub(super) accepted: Option<ShapeTree>,
    /// Other variants: the place, the variant, and the tree in which it was found. They are tried
    /// in an accepted tree.
    later: Vec<(TreePath, ShapeTree, OpeningTrial)>,
    /// Hashes of names and messages. A tree with the same hash as an earlier one is not followed
    /// up.
    states: HashSet<u64>,
    /// Marks that were accepted unchanged.
    texts: HashSet<u32>,
    tried: usize,
    marks: u32,
}

impl Opening {
    pub(super) fn new(first: ShapeTree) -> Self {
        let trial = OpeningTrial {
            tree: first.clone(),
            before: Vec::new(),
            focus: TreePath::new(),
            of_mark: None,
            numbered: None,
            added: None,
        };
        Self {
            first,
            trials: vec![trial],
            running: None,
            latest: None,
            accepted: None,
            later: Vec::new(),
            states: HashSet::new(),
            texts: HashSet::new(),
            tried: 0,
            marks: 0,
        }
    }

    fn mark(&mut self) -> ShapeTree {
        self.marks += 1;
        ShapeTree::Mark(self.marks)
    }

    pub(super) fn has_work(&self) -> bool {
        !self.trials.is_empty()
    }

    /// Stops trying.
    pub(super) fn close(&mut self) {
        self.tried = MAX_TRIALS;
        self.trials.clear();
    }

    /// Starts the next trial and returns its tree.
    pub(super) fn start(&mut self) -> Option<ShapeTree> {
        self.running = self.trials.pop();
        self.running.as_ref().map(|trial| trial.tree.clone())
    }

    /// Returns the tree to offer if no trial is started.
    pub(super) fn usual(&self) -> ShapeTree {
        let running = self.running.as_ref().map(|trial| &trial.tree);
        running.or(self.accepted.as_ref()).unwrap_or(&self.first).clone()
    }

    /// Puts the running trial back, because it ended for a reason unrelated to its tree.
    pub(super) fn put_back(&mut self) {
        self.tried += 1;
        let running = self.running.take().filter(|_| self.tried < MAX_TRIALS);
        self.trials.extend(running);
    }

    /// Ends the running trial. If the content of a string was refused, `texts` are offered instead.
    pub(super) fn judge(
        &mut self,
        is_accepted: bool,
        mut heard: Vec<Heard>,
        texts: impl FnOnce() -> Vec<Cow<'static, str>>,
    ) {
        let Some(mut trial) = self.running.take() else { return };
        self.tried += 1;
        heard.sort();
        let new = without(&heard, &trial.before);
        let is_text = matches!(trial.tree.at(&trial.focus), Some(ShapeTree::Text(_)));
        if let Some(mark) = trial.of_mark
            && if is_accepted { is_text } else { complaints(&heard) < complaints(&trial.before) }
        {
            self.trials.retain(|other| other.of_mark != Some(mark));
        }
        trial.before = heard;
        if self.states.insert(state(&trial, is_accepted)) {
            for message in &new {
                self.answer(&trial, message);
            }
            if new.contains(&Heard::Other) && !is_accepted {
                self.answer_other(&trial, texts);
            }
            if is_accepted {
                self.accept(trial);
            }
        }
        if self.trials.is_empty() && self.accepted.is_none() {
            for (path, value, found) in std::mem::take(&mut self.later) {
                self.push(&found, path, |at| *at = value);
            }
        }
        if self.tried >= MAX_TRIALS {
            self.close();
        }
    }

    /// Schedules the other variants in the accepted tree.
    fn accept(&mut self, trial: OpeningTrial) {
        for (path, value, mut found) in std::mem::take(&mut self.later) {
            if trial.tree.at(&path).is_some() {
                found.tree.clone_from(&trial.tree);
                // What was accepted without contents may have contents in this variant.
                for unit in found.tree.find(|tree| *tree == ShapeTree::Unit) {
                    let mark = self.mark();
                    found.tree.change(&unit, |tree| *tree = mark);
                }
            }
            self.push(&found, path, |at| *at = value);
        }
        self.accepted.get_or_insert_with(|| trial.tree.clone());
        self.latest = Some(trial);
    }

    /// Learns from the value that was made from the latest accepted tree. `names` are the names
    /// that it wrote, and `is_new` is whether it wrote anything that no value wrote before.
    pub(super) fn learn(&mut self, names: &BTreeSet<String>, is_new: bool) {
        let Some(trial) = self.latest.take().filter(|_| self.tried < MAX_TRIALS) else { return };
        if let Some(path) = trial.numbered.clone().filter(|_| is_new) {
            self.push_number(&trial, path);
        }
        for path in trial.tree.known(|tree| matches!(tree, ShapeTree::Mark(_))) {
            // An enum with a catch-all variant accepts any name, so request variants by number.
            if let Some(ShapeTree::Mark(mark)) = trial.tree.at(&path)
                && self.texts.insert(*mark)
            {
                self.push_number(&trial, path);
            }
        }
        if !is_new {
            return;
        }
        let is_by_name = |tree: &ShapeTree| match tree {
            ShapeTree::Map(entries) => !matches!(entries.first(), Some((ShapeTree::Number(_), _))),
            _ => false,
        };
        for path in trial.tree.known(is_by_name) {
            let Some(map) = trial.tree.at(&path) else { continue };
            // An unexpected name goes into a flattened map.
            let unexpected = if map.has_mark() { Vec::new() } else { vec![self.mark()] };
            self.extend(&trial, &path, unexpected);
            let names = names.iter().filter(|name| !map.has(name));
            self.extend(&trial, &path, names.map(|name| ShapeTree::text(name.clone())).collect());
        }
    }

    /// Schedules a tree with more entries in a map.
    fn extend(&mut self, trial: &OpeningTrial, path: &[usize], keys: Vec<ShapeTree>) {
        if keys.is_empty() {
            return;
        }
        let entries: Vec<_> = keys.into_iter().map(|key| (key, self.mark())).collect();
        // Most of these are names of other parts, which are not read here.
        self.texts.extend(entries.iter().filter_map(|(_, value)| match value {
            ShapeTree::Mark(mark) => Some(*mark),
            _ => None,
        }));
        let added = entries.iter().find_map(|(_, value)| match value {
            ShapeTree::Mark(mark) => Some(*mark),
            _ => None,
        });
        self.push(&OpeningTrial { added, ..trial.clone() }, path.to_vec(), |map| {
            for entry in entries {
                map.push_entry(entry);
            }
        });
    }

    /// Schedules the next variant by number.
    fn push_number(&mut self, trial: &OpeningTrial, path: TreePath) {
        let (as_tag, next) = match trial.tree.at(&path) {
            Some(ShapeTree::Number(number)) => (true, number + 1),
            Some(ShapeTree::Map(entries)) => match entries.first() {
                Some((ShapeTree::Number(number), _)) => (false, number + 1),
                _ => return,
            },
            Some(_) => {
                self.push_numbered(trial, path.clone(), ShapeTree::Number(0));
                (false, 0)
            }
            None => return,
        };
        if next >= MAX_LENGTH as u64 {
            return;
        }
        let tree = if as_tag {
            ShapeTree::Number(next)
        } else {
            ShapeTree::Map(vec![(ShapeTree::Number(next), self.mark())])
        };
        self.push_numbered(trial, path, tree);
    }

    fn push_numbered(&mut self, trial: &OpeningTrial, path: TreePath, tree: ShapeTree) {
        let trial = OpeningTrial { numbered: Some(path.clone()), ..trial.clone() };
        self.push(&trial, path, |at| *at = tree);
    }

    /// Schedules a tree that is changed at one place.
    fn push(&mut self, from: &OpeningTrial, path: TreePath, change: impl FnOnce(&mut ShapeTree)) {
        let mut trial = OpeningTrial { of_mark: None, ..from.clone() };
        trial.tree.change(&path, change);
        trial.focus = path;
        self.trials.push(trial);
    }

    /// Schedules the changes that a message asks for.
    fn answer(&mut self, trial: &OpeningTrial, message: &Heard) {
        match message {
            Heard::Missing(name) => {
                let lacks = |tree: &ShapeTree| matches!(tree, ShapeTree::Map(_)) && !tree.has(name);
                for path in trial.tree.find(lacks) {
                    let entry = (ShapeTree::text(*name), self.mark());
                    let mut focus = path.clone();
                    self.push(trial, path, |map| {
                        focus.push(map.len());
                        map.push_entry(entry);
                    });
                    if let Some(pushed) = self.trials.last_mut() {
                        pushed.focus = focus;
                    }
                }
            }
            Heard::Variants(Some(mark), names) => {
                for path in trial.tree.find(|tree| *tree == ShapeTree::Mark(*mark)) {
                    let mut names = names.iter().map(|name| ShapeTree::text(*name));
                    let Some(first) = names.next() else { return };
                    for other in names {
                        self.later.push((path.clone(), other, trial.clone()));
                    }
                    self.push(trial, path, |at| *at = first);
                }
            }
            Heard::Kind(Some(mark)) => {
                for path in trial.tree.find(|tree| *tree == ShapeTree::Mark(*mark)) {
                    let kinds = [
                        ShapeTree::Unit,
                        ShapeTree::Float,
                        ShapeTree::text("a"),
                        ShapeTree::Bool,
                        ShapeTree::Seq(vec![self.mark()]),
                        ShapeTree::Map(Vec::new()),
                        ShapeTree::Number(1),
                    ];
                    self.push_all(trial, &path, *mark, kinds);
                }
            }
            Heard::Contents => {
                let content = self.mark();
                let path = trial.focus.clone();
                if let Some(ShapeTree::Text(name)) = trial.tree.at(&path) {
                    let tree = ShapeTree::Map(vec![(ShapeTree::Text(name.clone()), content)]);
                    self.push(trial, path, |at| *at = tree);
                }
            }
            Heard::Length(len) if *len < MAX_LENGTH => {
                let is_short =
                    |tree: &ShapeTree| matches!(tree, ShapeTree::Seq(items) if items.len() == *len);
                for path in trial.tree.find(is_short) {
                    let item = self.mark();
                    self.push(trial, path, |seq| {
                        if let ShapeTree::Seq(items) = seq {
                            items.push(item);
                        }
                    });
                }
            }
            Heard::Fields(wrong, names) => {
                for path in trial.tree.find(|tree| tree.has_key(wrong)) {
                    let marks: Vec<ShapeTree> = names.iter().map(|_| self.mark()).collect();
                    self.push(trial, path, |map| map.keep_only(names, marks));
                }
            }
            _ => {}
        }
    }

    /// Handles the refusal of a value because of its content: the string at the focus, or one of
    /// the fields that were added together.
    fn answer_other(
        &mut self,
        trial: &OpeningTrial,
        texts: impl FnOnce() -> Vec<Cow<'static, str>>,
    ) {
        if let Some(ShapeTree::Mark(mark)) = trial.tree.at(&trial.focus) {
            if !trial.before.contains(&Heard::Kind(Some(*mark))) {
                let texts = texts().into_iter().rev().map(ShapeTree::Text);
                self.push_all(trial, &trial.focus, *mark, texts);
            }
            return;
        }
        let Some(first) = trial.added else { return };
        let is_added = |tree: &ShapeTree| matches!(tree, ShapeTree::Mark(mark) if *mark >= first);
        for mut path in trial.tree.find(is_added) {
            let Some(value) = trial.tree.at(&path).cloned() else { continue };
            path.pop();
            let alone = OpeningTrial { before: Vec::new(), added: None, ..trial.clone() };
            self.push(&alone, path, |map| map.retain(|other| !is_added(other) || *other == value));
            if let Some(pushed) = self.trials.last_mut() {
                pushed.focus = pushed.tree.find(|tree| *tree == value).pop().unwrap_or_default();
            }
        }
    }

    fn push_all(
        &mut self,
        trial: &OpeningTrial,
        path: &[usize],
        mark: u32,
        values: impl IntoIterator<Item = ShapeTree>,
    ) {
        for value in values {
            self.push(trial, path.to_vec(), |at| *at = value);
            if let Some(pushed) = self.trials.last_mut() {
                pushed.of_mark = Some(mark);
            }
        }
    }
}

/// Returns how many values were refused because of their kind or content.
fn complaints(heard: &[Heard]) -> usize {
    heard.iter().filter(|message| matches!(message, Heard::Kind(_) | Heard::Other)).count()
}

/// Returns the messages that occur more often than before. Both lists must be sorted.
fn without(heard: &[Heard], before: &[Heard]) -> Vec<Heard> {
    let mut before = before.iter().peekable();
    let is_new = |message: &&Heard| {
        while before.next_if(|known| known < message).is_some() {}
        before.next_if(|known| known == message).is_none()
    };
    heard.iter().filter(is_new).cloned().collect()
}

/// Hashes the names of a tree and the messages about it. The kinds of leaves do not count: each
/// field that accepts several kinds of number would double the trials.
fn state(trial: &OpeningTrial, is_accepted: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    trial.tree.walk(&mut TreePath::new(), &mut |tree, path| {
        path.hash(&mut hasher);
        match tree {
            ShapeTree::Text(text) => text.hash(&mut hasher),
            ShapeTree::Seq(items) => items.len().hash(&mut hasher),
            ShapeTree::Map(entries) => {
                for (key, _) in entries {
                    match key {
                        ShapeTree::Text(name) => name.hash(&mut hasher),
                        ShapeTree::Number(number) => number.hash(&mut hasher),
                        _ => 0_u8.hash(&mut hasher),
                    }
                }
            }
            ShapeTree::Number(number) if trial.numbered.as_ref() == Some(path) => {
                number.hash(&mut hasher);
            }
            _ => {}
        }
    });
    (&trial.before, is_accepted).hash(&mut hasher);
    hasher.finish()
}
