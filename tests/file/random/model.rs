//! What a store must answer: an ordered map.

use std::collections::{BTreeMap, BTreeSet};

use snapfold::record::Record;
use snapfold::store::{
    DeleteOptions, Deleted, Found, KeysRequest, ListRequest, Lookup, MarkChange, Marks, PutOptions,
    PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId, Timestamp};

#[derive(Clone, Debug, Default)]
pub(crate) struct Model(BTreeMap<AggregateKey, BTreeMap<SnapshotId, Stored>>);

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) as_of: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) marks: Marks,
    /// Whether the log has a frame about its marks, if only to say that there are none left.
    has_frame: bool,
}

impl Stored {
    fn mark(&mut self, marks: Marks) {
        self.has_frame |= self.marks != marks;
        self.marks = marks;
    }
}

/// What the frame takes that says which marks a snapshot has.
fn framed_marks(key: &AggregateKey, marks: &Marks) -> u64 {
    let parts = [key.tenant(), key.kind(), key.id()].map(str::len);
    let marks: usize =
        marks.iter().map(|mark| 15 + mark.name.len() + mark.actor.len() + mark.note.len()).sum();
    let body = 8 + 4 + 26 + parts.iter().sum::<usize>() + 1 + marks;
    (20 + body as u64).next_multiple_of(8)
}

/// What a record takes in a segment: a head of 20 bytes and itself, up to the alignment.
fn framed(record: &Record) -> u64 {
    (20 + record.as_bytes().len() as u64).next_multiple_of(8)
}

/// The stored bases of a snapshot, nearest first.
fn chain(
    snapshots: &BTreeMap<SnapshotId, Stored>,
    id: SnapshotId,
) -> impl Iterator<Item = SnapshotId> {
    let next = |id: &SnapshotId| {
        let version = snapshots[id].record.header().unwrap().base?.version;
        let base = SnapshotId { version, ..*id };
        (version < id.version && snapshots.contains_key(&base)).then_some(base)
    };
    std::iter::successors(next(&id), next)
}

impl Model {
    pub(crate) fn put(&mut self, record: &Record, options: &PutOptions) -> PutOutcome {
        let header = record.header().unwrap();
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
        let id = SnapshotId { generation: header.generation, version: header.version };
        let snapshots = self.0.entry(key).or_default();
        let outcome = match snapshots.get(&id) {
            Some(old) if !options.replace => {
                return PutOutcome::Existing { identical: old.record.has_state_of(record) };
            }
            Some(_) => PutOutcome::Replaced,
            None => PutOutcome::Stored,
        };
        let (as_of, created_at) = (header.as_of, header.created_at);
        let new = Stored {
            record: record.clone(),
            as_of,
            created_at,
            marks: Marks::NONE,
            has_frame: false,
        };
        let stored = snapshots.entry(id).or_insert_with(|| new.clone());
        let (marks, has_frame) = (stored.marks.clone(), stored.has_frame);
        let after = marks.merged(&options.marks).unwrap();
        *stored = Stored { marks, has_frame, ..new };
        stored.mark(after);
        outcome
    }

    pub(crate) fn delete(
        &mut self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Deleted {
        let (mut deleted, mut pinned, mut needed) = (Vec::new(), 0, 0);
        if let Some(snapshots) = self.0.get_mut(key) {
            let is_kept = |id: &SnapshotId, stored: &Stored| {
                let is_pinned = stored.marks.is_pinned() && !options.overrule_pins;
                !selection.admits(*id) || is_pinned
            };
            let kept = snapshots.iter().filter(|(id, stored)| is_kept(id, stored));
            let needs: BTreeSet<_> = kept.flat_map(|(id, _)| chain(snapshots, *id)).collect();
            snapshots.retain(|id, stored| {
                if is_kept(id, stored) {
                    pinned += u64::from(selection.admits(*id));
                    return true;
                }
                if needs.contains(id) {
                    needed += 1;
                    return true;
                }
                deleted.push(stored.record.as_bytes().len() as u64);
                false
            });
            if snapshots.is_empty() {
                self.0.remove(key);
            }
        }
        Deleted::new(deleted.len() as u64, deleted.iter().sum()).kept(pinned, needed)
    }

    pub(crate) fn mark(
        &mut self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> u64 {
        let mut changed = 0;
        for (id, stored) in self.0.get_mut(key).into_iter().flatten() {
            let after = stored.marks.changed(change).unwrap();
            if let Some(after) = after.filter(|_| selection.admits(*id)) {
                stored.mark(after);
                changed += 1;
            }
        }
        changed
    }

    /// The answer to a query. `OtherGeneration` where the versions below the bound hold anything.
    pub(crate) fn get(&self, query: &Query<'_>) -> Lookup {
        let mut below = self.newest_first(query.key).filter(|(id, stored)| {
            id.version <= query.at_most && (query.include_retired || !stored.marks.is_retired())
        });
        let any = below.clone().next().is_some();
        let found = below.find(|(id, stored)| {
            id.generation == query.generation && query.admits(id.version, stored.as_of)
        });
        match found {
            Some((id, stored)) => {
                let snapshots = &self.0[query.key];
                let bases = chain(snapshots, id).take(Found::MAX_BASES);
                let bases = bases.map(|base| snapshots[&base].record.clone()).collect();
                let found = Found::new(id.version, stored.record.clone());
                Lookup::Found(found.with_bases(bases))
            }
            None if any => Lookup::OtherGeneration,
            None => Lookup::Absent,
        }
    }

    /// All of a list, whatever its limit.
    pub(crate) fn list(&self, request: &ListRequest<'_>) -> Vec<SnapshotId> {
        let all = self.newest_first(request.key).map(|(id, _)| id);
        all.filter(|id| request.admits(*id)).collect()
    }

    /// All keys that a request asks for, whatever its limit, in order.
    pub(crate) fn keys(&self, request: &KeysRequest<'_>) -> Vec<AggregateKey> {
        self.0.keys().filter(|key| request.admits(key)).cloned().collect()
    }

    pub(crate) fn newest_first(
        &self,
        key: &AggregateKey,
    ) -> impl Iterator<Item = (SnapshotId, &Stored)> + Clone {
        let snapshots = self.0.get(key).into_iter().flatten();
        snapshots.rev().map(|(id, stored)| (*id, stored))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&AggregateKey, SnapshotId, &Stored)> {
        self.0.iter().flat_map(|(key, snapshots)| {
            snapshots.iter().map(move |(id, stored)| (key, *id, stored))
        })
    }

    /// Aggregates, snapshots, and the bytes that these take in the log.
    pub(crate) fn sums(&self) -> (u64, u64, u64) {
        let (snapshots, bytes) = self.all().fold((0, 0), |(count, sum), (key, _, stored)| {
            let marks = if stored.has_frame { framed_marks(key, &stored.marks) } else { 0 };
            (count + 1, sum + framed(&stored.record) + marks)
        });
        (self.0.len() as u64, snapshots, bytes)
    }
}
