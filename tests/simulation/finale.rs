//! What must come about once all faults have ended (liveness).

use std::collections::BTreeMap;

use snapfold::manager::{CreateOutcome, Origin};
use snapfold::{ErrorKind, SnapshotId};

use crate::checks::Asked;
use crate::model::Right;
use crate::node::{Client, FOR_EVER, append};
use crate::plan::{Happened, Policy};
use crate::states::{Posted, Subject};

const RULE: &str = "liveness";

impl<A: Subject> Client<A> {
    pub(crate) async fn finale(&self, index: usize, key: usize) {
        if self.load_and_save(index, key).await {
            self.save_in_the_background(index, key).await;
            self.prune(index, key).await;
            self.load_quietly(index, key, Asked::Now).await;
        }
    }

    async fn load_quietly(
        &self,
        index: usize,
        key: usize,
        asked: Asked,
    ) -> Option<snapfold::Loaded<A>> {
        let guard = self.book.begin(index, key, Right::Nothing);
        let loaded = self.ask(key, asked).await;
        self.check_load(&guard.before, key, asked, loaded.as_ref(), true);
        loaded.ok()
    }

    fn own(&self, version: u64) -> SnapshotId {
        SnapshotId { generation: self.readable[0], version }
    }

    /// Whether the snapshot is there, and whether it can be used.
    fn stored(&self, key: usize, id: SnapshotId) -> Option<bool> {
        let model = self.book.lock();
        let floor = model.streams[key].floor;
        model.truth.get(&(key, id)).map(|stored| stored.is_usable(id.version, floor))
    }

    fn is_delta(&self, key: usize, id: SnapshotId) -> bool {
        let model = self.book.lock();
        model.truth.get(&(key, id)).is_some_and(|stored| stored.base.is_some())
    }

    /// False if the aggregate is beyond help, or empty.
    async fn load_and_save(&self, index: usize, key: usize) -> bool {
        let Some(loaded) = self.load_quietly(index, key, Asked::Now).await else { return false };
        if loaded.version == 0 {
            return false;
        }
        let id = self.own(loaded.version);
        let guard = self.book.begin(index, key, Right::Replace(id.version));
        let created = self.create(key, None, false).await;
        // What stands in the way and cannot be used is a conflict, never a silent success.
        let in_the_way = self.stored(key, id) == Some(false);
        // A delta in the way may have lost its base.
        let is_delta = self.is_delta(key, id);
        let right = match &created {
            Err(error) if error.kind() == ErrorKind::Conflict && is_delta => true,
            Ok(created) => !matches!(created, CreateOutcome::Existing { .. }) || !in_the_way,
            Err(error) => error.kind() == ErrorKind::Conflict && in_the_way,
        };
        self.book.require(RULE, right, || format!("{key}: create: {created:?}"));
        self.check_create(&guard.before, key, None, created);
        if self.stored(key, id) == Some(false) {
            let repaired = self.engine.rebuild(self.key(key), id.version).await;
            let floor = self.book.lock().streams[key].floor;
            self.check_repair(&guard.before, key, id.version, repaired.clone());
            self.book.require(RULE, repaired.is_ok() || floor > 0, || format!("{repaired:?}"));
        }
        drop(guard);
        let is_usable = self.stored(key, id);
        self.book.require(RULE, is_usable.is_some(), || format!("{key}: {id} is not there"));
        if is_usable == Some(true) && !is_delta {
            let asked = Asked::Version(id.version);
            let again = self.load_quietly(index, key, asked).await;
            let from_it = again.is_some_and(|again| {
                let provenance = again.provenance;
                provenance.origin == Origin::Snapshot
                    && provenance.snapshot.is_some_and(|used| used.id == id)
                    && provenance.events_replayed == 0
            });
            self.book.require(RULE, from_it, || format!("{key}: {id} is not used"));
            self.book.met("a finale with a snapshot");
        }
        true
    }

    /// A commit that is due leads to a snapshot; no backing off outlives the faults.
    async fn save_in_the_background(&self, index: usize, key: usize) {
        let Some(loaded) = self.load_quietly(index, key, Asked::Now).await else { return };
        let events = [Happened { off: 0, event: Posted { pot: 1, amount: 1 } }; 12];
        let head = append(&self.book, &self.source, &self.clock, self.anchors, key, &events);
        let decision = self.engine.committed(&loaded, head);
        let dropped = matches!(decision, snapfold::manager::Decision::Dropped { .. });
        self.book.require(RULE, !dropped, || format!("{key}: {decision}"));
        let flushed = self.engine.flush(FOR_EVER).await;
        self.book.require(RULE, flushed.is_ok(), || format!("{key}: {flushed:?}"));
        if decision.is_queued() {
            let id = self.own(head);
            let is_there = self.stored(key, id).is_some();
            self.book.require(RULE, is_there, || format!("{key}: {id} was not saved"));
            self.book.met("a finale with a background snapshot");
        }
    }

    /// Retention comes to an end, and leaves what it must and no more.
    async fn prune(&self, index: usize, key: usize) {
        let policy = Policy { last: 1, within: None };
        for round in 0..2 {
            let _guard = self.book.begin(index, key, Right::Compact(policy));
            let done = self.engine.apply_retention(self.key(key), &*policy.build()).await;
            let settled = done.as_ref().is_ok_and(|d| round == 0 || d.deleted.snapshots == 0);
            self.book.require(RULE, settled, || format!("{key}: compaction {round}: {done:?}"));
        }
        let mut left: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let model = self.book.lock();
        let floor = model.streams[key].floor;
        // If the first events are gone, the one of each generation that reaches furthest back: it may
        // be all that other code can read.
        let mut bridges = BTreeMap::new();
        for (id, stored) in model.of_key(key).filter(|_| floor > 0) {
            if stored.is_usable(id.version, floor) {
                let lowest = bridges.entry(id.generation).or_insert(id.version);
                *lowest = id.version.min(*lowest);
            }
        }
        let own = self.own(0).generation.schema_version;
        let others = model
            .of_key(key)
            .filter(|(id, _)| bridges.get(&id.generation) != Some(&id.version))
            .filter(|(id, _)| id.generation.schema_version <= own);
        for (id, stored) in others.filter(|(_, stored)| !stored.is_pinned) {
            left.entry(id.generation).or_default().push(stored.is_usable(id.version, floor));
        }
        drop(model);
        // Besides that, and besides those of newer code: the newest one and the newest that is usable,
        // or all where none is known to be.
        // What deltas are based on stays too.
        let has_deltas = self.book.lock().has_deltas(key);
        let too_many =
            left.values().any(|left| left.len() > 2 && left.contains(&true) && !has_deltas);
        self.book.require(RULE, !too_many, || format!("{key}: retention left {left:?}"));
    }
}
