//! The oracle: what really happened, and what follows from it.
//!
//! It stands below the faults (it sees each record that is really stored and deleted) and above
//! them (it hears what the engine told the application). What the application was told is certain;
//! what failed is *unknown*: it may have happened, and only what is really there is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use snapfold::record::{Generation, Header, Record, SnapshotMeta};
use snapfold::store::PutOutcome;
use snapfold::{Aggregate, AggregateKey, SnapshotId, Timestamp};
use tokio::time::Instant;

use crate::plan::{KEYS, Policy};
use crate::states::{KIND, Posted, Subject};

/// A snapshot: the index of its key, and which one.
pub(crate) type Id = (usize, SnapshotId);

/// Something that must never be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// The model, shared by all that takes part in a run.
pub(crate) struct Book {
    model: Mutex<Model>,
    began: Instant,
    pub(crate) keys: Vec<AggregateKey>,
    /// Whether acknowledged puts may be forgotten in this run.
    pub(crate) loses: bool,
    /// Whether requests may have their effect after their operation has ended.
    pub(crate) lingers: bool,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) streams: Vec<Stream>,
    /// What is really stored.
    pub(crate) truth: BTreeMap<Id, Stored>,
    /// What was ever really stored.
    pub(crate) attempted: BTreeSet<Id>,
    /// What was ever the base of a delta.
    pub(crate) bases: BTreeSet<Id>,
    /// What was acknowledged and not stored, by a fault.
    pub(crate) lost: BTreeSet<Id>,
    /// When a snapshot was last deleted.
    pub(crate) removed_at: BTreeMap<Id, u64>,
    /// Counts changes of what is stored.
    pub(crate) seq: u64,
    pub(crate) running: BTreeMap<usize, Running>,
    /// Those of them that have ended, and whose requests may still have an effect.
    ended: BTreeSet<usize>,
    /// What any process that has run applies to each aggregate in the background keeps at least.
    background: Option<usize>,
    /// The aggregates whose snapshots a call of retention may have deleted.
    called: BTreeSet<usize>,
    /// How many calls of the store and of the source have failed, and answers lied.
    pub(crate) failures: u64,
    pub(crate) source_failures: u64,
    pub(crate) stale: u64,
    pub(crate) damaged: u64,
    /// How many restores there were: no two lives have an event in common that came after one.
    pub(crate) lives: i64,
    pub(crate) appended: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Vec<String>,
    pub(crate) coverage: BTreeMap<String, u64>,
}

/// What happened to one aggregate, in each life of its stream; the last one is the present one.
#[derive(Clone, Default)]
pub(crate) struct Stream {
    pub(crate) lives: Vec<Vec<(Timestamp, Posted)>>,
    pub(crate) floor: u64,
    /// Versions at which a snapshot of a life that is over was stored.
    pub(crate) ghosts: BTreeSet<u64>,
    /// What could make up for the events that the last truncation took.
    pub(crate) bridges: BTreeSet<SnapshotId>,
    pub(crate) changes: Changes,
}

/// How often something happened to an aggregate that explains an odd answer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Changes {
    pub(crate) removed: u64,
    pub(crate) removed_by_hand: u64,
    pub(crate) truncated: u64,
    pub(crate) rotted: u64,
}

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    /// When it was put, by [`Model::seq`].
    pub(crate) put_at: u64,
    pub(crate) as_of: Timestamp,
    /// The version of the base if it is a delta.
    pub(crate) base: Option<u64>,
    pub(crate) is_pinned: bool,
    pub(crate) is_rotten: bool,
    /// The life that it belongs to went on otherwise.
    pub(crate) is_lost: bool,
}

impl Stored {
    /// Whether a load that may begin at its version could go on from it.
    pub(crate) fn is_usable(&self, version: u64, floor: u64) -> bool {
        !self.is_rotten && !self.is_lost && version >= floor
    }

    /// The same, whatever becomes of other snapshots: a delta needs its base.
    pub(crate) fn is_usable_alone(&self, version: u64, floor: u64) -> bool {
        self.base.is_none() && self.is_usable(version, floor)
    }
}

/// An operation that is under way, and what may follow from it.
pub(crate) struct Running {
    pub(crate) key: usize,
    pub(crate) right: Right,
    pub(crate) before: Arc<Before>,
}

/// What an operation may do to what is stored, besides adding to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right {
    Nothing,
    Compact(Policy),
    Delete(u64),
    DeleteBefore(u64),
    Replace(u64),
}

/// How things were when an operation began.
pub(crate) struct Before {
    pub(crate) seq: u64,
    failures: u64,
    source_failures: u64,
    stale: u64,
    damaged: u64,
    keys: Vec<KeyBefore>,
}

pub(crate) struct KeyBefore {
    pub(crate) head: u64,
    pub(crate) floor: u64,
    changes: Changes,
    pub(crate) there: BTreeMap<SnapshotId, Stored>,
}

/// What has happened since then.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are what explains an odd answer, each by itself"
)]
pub(crate) struct Since {
    pub(crate) failed: bool,
    pub(crate) source_failed: bool,
    pub(crate) stale: bool,
    pub(crate) damaged: bool,
    pub(crate) removed: bool,
    pub(crate) removed_by_hand: bool,
    pub(crate) truncated: bool,
    pub(crate) truncated_often: bool,
    pub(crate) rotted: bool,
}

impl Book {
    pub(crate) fn new(loses: bool, lingers: bool) -> Self {
        // One that another one begins with, and the same id in another tenant.
        let keys = [("", "a"), ("t", "a"), ("", "a/b")];
        let stream = Stream { lives: vec![Vec::new()], ..Stream::default() };
        let model = Model { streams: vec![stream; KEYS], ..Model::default() };
        Self {
            model: Mutex::new(model),
            began: Instant::now(),
            keys: keys
                .map(|(tenant, id)| AggregateKey::from_parts(tenant, KIND, id).unwrap())
                .into(),
            loses,
            lingers,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn note(&self, text: &str) {
        // The name of an object has a random number.
        let text = text.split_once(" for r/").map_or(text, |(said, _)| said);
        let line = format!("{:>6} ms  {text}", self.began.elapsed().as_millis());
        self.lock().trace.push(line);
    }

    pub(crate) fn met(&self, what: &str) {
        let mut model = self.lock();
        if let Some(count) = model.coverage.get_mut(what) {
            *count += 1;
        } else {
            model.coverage.insert(what.to_owned(), 1);
        }
    }

    pub(crate) fn violate(&self, rule: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.note(&format!("VIOLATION of {rule}: {what}"));
        self.lock().violations.push(Violation { rule, what });
    }

    /// Records a violation unless `holds`.
    pub(crate) fn require(&self, rule: &'static str, holds: bool, what: impl Fn() -> String) {
        if !holds {
            self.violate(rule, what());
        }
    }

    pub(crate) fn index(&self, key: &AggregateKey) -> usize {
        self.keys.iter().position(|known| known == key).unwrap()
    }

    pub(crate) fn id_of(&self, meta: &SnapshotMeta) -> Id {
        (self.index(&meta.key), meta.id())
    }

    fn id_in(&self, header: &Header<'_>) -> Id {
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
        let id = SnapshotId { generation: header.generation, version: header.version };
        (self.index(&key), id)
    }

    /// A record was really put.
    pub(crate) fn was_put(&self, record: &Record, outcome: PutOutcome, pins: bool) {
        let header = record.header().unwrap();
        let id = self.id_in(&header);
        self.note(&format!("  disk: put {}: {outcome:?}", name(id)));
        let mut wrong = Vec::new();
        let mut model = self.lock();
        let events = model.streams[id.0].events();
        let folded = usize::try_from(id.1.version).unwrap();
        let agrees = folded <= events.len()
            && events[folded - 1].0 == header.last_recorded_at
            && events[..folded].iter().map(|(at, _)| *at).max() == Some(header.as_of);
        if !agrees {
            wrong.push(("R6", "a snapshot of what was never committed was put"));
        }
        let is_there = model.truth.contains_key(&id);
        match outcome {
            PutOutcome::Existing { .. } if !is_there => wrong.push(("R10", "it is not there")),
            PutOutcome::Existing { .. } => {}
            PutOutcome::Stored | PutOutcome::Replaced => {
                if is_there && outcome == PutOutcome::Stored {
                    wrong.push(("R10", "it was there already"));
                }
                let repaired = model.running.values().any(|running| {
                    running.key == id.0
                        && matches!(running.right, Right::Replace(at) if at == id.1.version)
                });
                // What a background snapshot finds in its place, and cannot use, it replaces.
                let stored = model.truth.get(&id);
                let seen_damaged = model.damaged > 0;
                let replaceable = stored.is_some_and(|stored| {
                    let is_good = stored.is_usable_alone(id.1.version, 0);
                    !stored.is_pinned && (!is_good || seen_damaged)
                });
                // Two savers may have found it unusable, and the other one was first.
                let is_repeated = stored
                    .and_then(|stored| stored.record.header().ok())
                    .is_some_and(|was| content(&was) == content(&header));
                if outcome == PutOutcome::Replaced && !repaired && !replaceable && !is_repeated {
                    wrong.push(("R10", "replaced, and nobody repairs it"));
                }
                let is_pinned = pins || stored.is_some_and(|stored| stored.is_pinned);
                model.seq += 1;
                let stored = Stored {
                    record: record.clone(),
                    put_at: model.seq,
                    as_of: header.as_of,
                    base: header.base.map(|base| base.version),
                    is_pinned,
                    is_rotten: false,
                    is_lost: false,
                };
                let base = stored.base.map(|version| (id.0, SnapshotId { version, ..id.1 }));
                model.bases.extend(base);
                model.attempted.insert(id);
                model.truth.insert(id, stored);
            }
            _ => wrong.push(("R10", "an unknown outcome")),
        }
        drop(model);
        if header.base.is_some() {
            self.met("a delta");
        }
        for (rule, what) in wrong {
            self.violate(rule, format!("{}: {what}", name(id)));
        }
    }

    /// A record really got another form, which nothing but its size and its base may show.
    pub(crate) fn was_rewritten(&self, record: &Record) {
        let header = record.header().unwrap();
        let id = self.id_in(&header);
        self.note(&format!("  disk: rewrote {}", name(id)));
        let mut model = self.lock();
        let stored = model.truth.get_mut(&id).unwrap();
        let is_same = stored.record.header().is_ok_and(|was| {
            content(&was) == content(&header)
                && was.created_at == header.created_at
                && was.labels().eq(header.labels())
        });
        let was_delta = stored.base.is_some();
        stored.base = header.base.map(|base| base.version);
        stored.is_rotten = record.verify().is_err();
        stored.record = record.clone();
        drop(model);
        self.met("a rewritten snapshot");
        if was_delta {
            self.met("a delta made whole");
        }
        self.require("R10", is_same && header.base.is_none(), || {
            format!("{} was rewritten as another snapshot", name(id))
        });
    }

    /// The marks of a key may have changed: all its snapshots, as they are now.
    pub(crate) fn were_marked(&self, metas: &[SnapshotMeta]) {
        let mut model = self.lock();
        for meta in metas {
            if let Some(stored) = model.truth.get_mut(&self.id_of(meta)) {
                stored.is_pinned = meta.is_pinned();
            }
        }
    }

    /// Records were really deleted.
    pub(crate) fn were_deleted(&self, key: usize, ids: &[SnapshotId]) {
        let mut by_compaction = Vec::new();
        let mut model = self.lock();
        for id in ids {
            let by_hand = model.running.values().any(|running| {
                running.key == key
                    && match running.right {
                        Right::Delete(version) => version == id.version,
                        Right::DeleteBefore(version) => id.version < version,
                        _ => false,
                    }
            });
            model.seq += 1;
            let seq = model.seq;
            model.removed_at.insert((key, *id), seq);
            let stored = model.truth.remove(&(key, *id)).unwrap();
            // The engine takes a delta back whose base went before it was put, or seems to have.
            let base = stored.base.map(|version| (key, SnapshotId { version, ..*id }));
            let is_orphan = base.is_some_and(|base| {
                !model.truth.contains_key(&base) || model.stale > 0 || model.damaged > 0
            });
            if by_hand || is_orphan {
                model.streams[key].changes.removed_by_hand += 1;
            } else {
                by_compaction.push((*id, stored));
            }
        }
        let mut wrong: Option<(&'static str, String)> = None;
        if !by_compaction.is_empty() {
            wrong = Some(("R14", "deleted, and nobody asked for it".to_owned()));
            // In the background, or by a call.
            if model.background.is_some() {
                wrong = model.wrong_background(key, &by_compaction);
            }
            for running in model.running.values().filter(|running| running.key == key) {
                let Right::Compact(policy) = running.right else { continue };
                if wrong.is_none() {
                    break;
                }
                wrong = model.wrong_compaction(running, policy, &by_compaction);
            }
        }
        // Only now: what another one removed meanwhile excuses, what this one did does not.
        model.streams[key].changes.removed += ids.len() as u64;
        drop(model);
        let mut names = String::new();
        for id in ids {
            write!(names, " {}", name((key, *id))).unwrap();
        }
        self.note(&format!("  disk: deleted{names}"));
        if let Some((rule, what)) = wrong {
            self.violate(rule, format!("{what}:{names}"));
        }
    }

    /// A process applies this policy after its background snapshots.
    pub(crate) fn applies(&self, policy: Policy) {
        let mut model = self.lock();
        let least = model.background.map_or(policy.last, |least| least.min(policy.last));
        model.background = Some(least);
    }

    /// Begins an operation: it runs until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, index: usize, key: usize, right: Right) -> Guard {
        let mut model = self.lock();
        let before = Arc::new(model.before());
        if matches!(right, Right::Compact(_)) {
            model.called.insert(key);
        }
        let running = Running { key, right, before: Arc::clone(&before) };
        model.running.insert(index, running);
        model.ended.remove(&index);
        Guard { book: Arc::clone(self), index, before }
    }

    pub(crate) fn since(&self, before: &Before, key: usize) -> Since {
        self.lock().since(before, key)
    }

    /// What was acknowledged is there (R11), unless it was deleted since.
    pub(crate) fn require_durable(&self, before: &Before, id: Id) {
        let model = self.lock();
        let removed = model.removed_at.get(&id).is_some_and(|at| *at > before.seq);
        let durable = model.truth.contains_key(&id) || model.lost.contains(&id) || removed;
        drop(model);
        self.require("R11", durable, || format!("{} was acknowledged and is not there", name(id)));
    }
}

/// A running operation.
pub(crate) struct Guard {
    book: Arc<Book>,
    index: usize,
    pub(crate) before: Arc<Before>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut model = self.book.lock();
        if self.book.lingers {
            model.ended.insert(self.index);
        } else {
            model.running.remove(&self.index);
        }
    }
}

pub(crate) fn name((key, id): Id) -> String {
    let shape = id.generation.fingerprint % 1_000;
    format!("{key}@{} (schema {} shape {shape})", id.version, id.generation.schema_version)
}

impl Model {
    pub(crate) fn forget_ended(&mut self) {
        for index in std::mem::take(&mut self.ended) {
            self.running.remove(&index);
        }
    }

    pub(crate) fn before(&self) -> Before {
        let key = |(at, stream): (usize, &Stream)| KeyBefore {
            head: stream.head(),
            floor: stream.floor,
            changes: stream.changes,
            there: self.of_key(at).map(|(id, stored)| (id, stored.clone())).collect(),
        };
        Before {
            seq: self.seq,
            failures: self.failures,
            source_failures: self.source_failures,
            stale: self.stale,
            damaged: self.damaged,
            keys: self.streams.iter().enumerate().map(key).collect(),
        }
    }

    pub(crate) fn since(&self, before: &Before, key: usize) -> Since {
        let (then, now) = (before.keys[key].changes, self.streams[key].changes);
        Since {
            failed: self.failures > before.failures,
            source_failed: self.source_failures > before.source_failures,
            stale: self.stale > before.stale,
            damaged: self.damaged > before.damaged,
            removed: now.removed > then.removed,
            removed_by_hand: now.removed_by_hand > then.removed_by_hand,
            truncated: now.truncated > then.truncated,
            truncated_often: now.truncated > then.truncated + 1,
            rotted: now.rotted > then.rotted,
        }
    }

    /// What a delete of these removes: not what a remaining delta is based on.
    pub(crate) fn gone(
        &self,
        key: usize,
        selected: impl Fn(SnapshotId, &Stored) -> bool,
    ) -> Vec<SnapshotId> {
        let all = || self.of_key(key);
        let stay = || all().filter(|(id, stored)| !selected(*id, stored));
        // Deltas are made of whole snapshots only.
        let is_needed = |id: SnapshotId| {
            stay().any(|(delta, stored)| {
                delta.generation == id.generation && stored.base == Some(id.version)
            })
        };
        let gone = all().filter(|(id, stored)| selected(*id, stored));
        gone.map(|(id, _)| id).filter(|id| !is_needed(*id)).collect()
    }

    pub(crate) fn has_deltas(&self, key: usize) -> bool {
        self.bases.iter().any(|(of, _)| *of == key)
    }

    pub(crate) fn of_key(&self, key: usize) -> impl Iterator<Item = (SnapshotId, &Stored)> {
        self.truth.iter().filter(move |(id, _)| id.0 == key).map(|(id, stored)| (id.1, stored))
    }

    /// What retention in the background did wrong if it deleted these. When it began is not known, so
    /// this is less than what is known of a call.
    fn wrong_background(
        &self,
        key: usize,
        deleted: &[(SnapshotId, Stored)],
    ) -> Option<(&'static str, String)> {
        if let Some((id, _)) = deleted.iter().find(|(_, stored)| stored.is_pinned) {
            return Some(("R14", format!("{} was pinned, and is gone", name((key, *id)))));
        }
        let by_call = self.streams[key].changes.removed_by_hand > 0 || self.called.contains(&key);
        if by_call || self.stale > 0 {
            return None;
        }
        let least = self.background.unwrap_or(usize::MAX);
        for (id, _) in deleted {
            let there = self.of_key(key).map(|(id, _)| id);
            let all = there.chain(deleted.iter().map(|(id, _)| *id));
            let newer = all.filter(|o| o.generation == id.generation && o.version > id.version);
            if newer.count() < least {
                return Some(("R14", format!("{} was among the newest {least}", name((key, *id)))));
            }
        }
        None
    }

    /// What a compaction did wrong when it deleted these (R14).
    fn wrong_compaction(
        &self,
        running: &Running,
        policy: Policy,
        deleted: &[(SnapshotId, Stored)],
    ) -> Option<(&'static str, String)> {
        let (key, before) = (running.key, &running.before);
        let since = self.since(before, key);
        if since.stale || since.removed_by_hand {
            return None;
        }
        if let Some((id, _)) = deleted.iter().find(|(_, stored)| stored.is_pinned) {
            return Some(("R14", format!("{} was pinned, and is gone", name((key, *id)))));
        }
        if !since.removed {
            let of = |generation: Generation| {
                let there = self.of_key(key).map(|(id, _)| id);
                let all = there.chain(deleted.iter().map(|(id, _)| *id));
                all.filter(move |id| id.generation == generation)
            };
            for (id, _) in deleted {
                let newer = of(id.generation).filter(|other| other.version > id.version).count();
                if newer < policy.last.max(1) {
                    let name = name((key, *id));
                    return Some(("R14", format!("{name} has {newer} newer ones and is gone")));
                }
            }
        }
        if since.truncated || since.rotted {
            return None;
        }
        let (then, floor) = (&before.keys[key], self.streams[key].floor);
        let generations: BTreeSet<_> = deleted.iter().map(|(id, _)| id.generation).collect();
        for generation in generations {
            let usable = then.there.iter().rev().find(|(id, stored)| {
                id.generation == generation && stored.is_usable_alone(id.version, floor)
            });
            let Some((newest, _)) = usable else { continue };
            // A load that no truncation affects tries three, and then replays all events.
            let newer = self
                .of_key(key)
                .filter(|(id, _)| id.generation == generation && id.version > newest.version);
            if floor == 0 && newer.count() > 3 {
                continue;
            }
            // A record that was damaged on the way was not seen to be usable.
            let lowest = if since.damaged { 0 } else { newest.version };
            let kept = self.of_key(key).any(|(id, stored)| {
                id.generation == generation
                    && id.version >= lowest
                    && stored.is_usable(id.version, floor)
            });
            if !kept {
                let name = name((key, *newest));
                return Some(("R14", format!("{name} was the newest usable, and none is left")));
            }
        }
        None
    }
}

impl Before {
    pub(crate) fn of(&self, key: usize) -> &KeyBefore {
        &self.keys[key]
    }
}

impl Stream {
    pub(crate) fn events(&self) -> &[(Timestamp, Posted)] {
        self.lives.last().unwrap()
    }

    pub(crate) fn head(&self) -> u64 {
        self.events().len() as u64
    }

    /// R9 by hand: how many of the first `head` events there are before the first one that was
    /// recorded after `time`.
    pub(crate) fn version_at(&self, time: Timestamp, head: u64) -> u64 {
        let events = &self.events()[..usize::try_from(head).unwrap()];
        let later = events.iter().position(|(at, _)| *at > time);
        later.map_or(head, |at| at as u64)
    }
}

/// What a header says of the state.
fn content<'h>(header: &Header<'h>) -> impl PartialEq + use<'h> {
    let times = (header.as_of, header.last_recorded_at);
    (header.digest, times, header.codec, header.anchor)
}

/// The fold by hand, and its as-of time.
pub(crate) fn fold<A: Subject>(
    key: &AggregateKey,
    events: &[(Timestamp, Posted)],
) -> (A, Option<Timestamp>) {
    let mut state = <A as Aggregate>::initial(key);
    let mut as_of = None;
    for (recorded_at, event) in events {
        state.apply(event);
        as_of = as_of.max(Some(*recorded_at));
    }
    (state, as_of)
}
