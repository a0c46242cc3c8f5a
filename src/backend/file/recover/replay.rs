//! Fills the index with the content of the segments.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::load::{Loaded, OPERATION, threads};
use crate::backend::file::core::segment::{Segment, Segments};
use crate::backend::file::format::hints::{Hint, What};
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteScope, Frame, PROVEN_BYTES, frame_bytes};
use crate::backend::file::index::{
    Added, Generations, Index, Item, Note, Place, Replaced, UNKNOWN,
};
use crate::error::{Error, ErrorKind};

/// The result of filling the index.
pub(crate) struct Replayed {
    pub(crate) snapshots: u64,
    pub(crate) max_seq: u64,
}

/// Fills the index. The segments may come in any order: a put or marks frame counts unless a
/// delete, or a frame of the same kind for the same snapshot, has a higher sequence number.
pub(crate) fn replay(
    loaded: &[Loaded<'_>],
    index: &Index,
    segments: &Segments,
    generations: &Generations,
) -> Result<Replayed, Error> {
    let mut deletes: HashMap<Tag, Vec<(u64, DeleteScope)>> = HashMap::new();
    for Loaded { hints, seal, .. } in loaded {
        if seal.others > 0 {
            hints.read(|hint| {
                if let What::Delete(scope) = hint.what {
                    deletes.entry(hint.tag).or_default().push((hint.seq, scope));
                }
            });
        }
    }
    let failure = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(one) = loaded.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(segment) = &one.segment else { continue };
            let mut cached = None;
            one.hints.read(|hint| {
                let Hint { offset, seq, body_bytes, tag, what } = hint;
                let total = frame_bytes(body_bytes.into());
                let (id, what) = match what {
                    What::Put { id, as_of, base } => (id, Ok((as_of, base))),
                    What::Marks { id, marks } => (id, Err(marks)),
                    What::Delete(_) => return segment.count_delete(seq, total),
                };
                segment.count_put(seq);
                let covered = !deletes.is_empty()
                    && deletes.get(&tag).is_some_and(|deletes| {
                        deletes.iter().any(|(later, scope)| *later > seq && scope.covers(id))
                    });
                if covered {
                    return;
                }
                let number = match cached {
                    Some((known, number)) if known == id.generation => Some(number),
                    _ => generations.number(id.generation),
                };
                let Some(generation) = number else {
                    let message = "the store has more generations than this release supports: \
                                   upgrade snapfold";
                    let error = Error::new(ErrorKind::OutOfSpace, OPERATION, message);
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                };
                cached = Some((id.generation, generation));
                let place = Place { slot: segment.slot, offset, len: body_bytes, generation };
                let item = Item { version: id.version, place };
                match what {
                    Ok((as_of, base)) => {
                        let new = Added { item, as_of, base };
                        enter(index, segments, (tag, seq), new, &|place| seq_of(loaded, place));
                    }
                    Err(marks) => {
                        segment.add_live(total);
                        let displaced = index.insert_note(tag, Note { item, seq, marks });
                        forget(segments, displaced.map(|note| note.item));
                    }
                }
            });
        }
    };
    let threads = threads(loaded.iter().map(|loaded| loaded.end).sum(), loaded.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let all = segments.all();
    let live: u64 = all.iter().map(|segment| segment.live_puts.load(Ordering::Relaxed)).sum();
    Ok(Replayed {
        snapshots: live - index.notes() as u64,
        max_seq: loaded.iter().map(|loaded| loaded.seal.max_seq).max().unwrap_or(0),
    })
}

/// Returns the sequence number of the put at `place`, from the data its segment was loaded from.
fn seq_of(loaded: &[Loaded<'_>], place: Place) -> Option<u64> {
    let is_of = |segment: &Arc<Segment>| segment.slot == place.slot;
    let loaded = loaded.iter().find(|loaded| loaded.segment.as_ref().is_some_and(is_of))?;
    let mut seq = None;
    loaded.hints.read(|hint| {
        if hint.offset == place.offset {
            seq = Some(hint.seq);
        }
    });
    seq
}

/// Counts a frame that has left the index as dead.
fn forget(segments: &Segments, item: Option<Item>) {
    if let Some(item) = item
        && let Some(segment) = segments.get(item.place.slot)
    {
        segment.drop_live(frame_bytes(item.place.len.into()));
    }
}

/// Adds a put to the index, unless the index has a later put of the same snapshot. `known` is a
/// slower way to find the sequence number of a put whose frame is damaged.
fn enter(
    index: &Index,
    segments: &Segments,
    (tag, seq): (Tag, u64),
    new: Added,
    known: &dyn Fn(Place) -> Option<u64>,
) {
    let place = new.item.place;
    if let Some(segment) = segments.get(place.slot) {
        segment.add_live(frame_bytes(place.len.into()));
    }
    let mut entered_seq = seq;
    let mut displaced = index.insert(tag, new);
    // Reached only for replaced snapshots: their sequence numbers are read from the frames.
    while let Some(Replaced { item: old, base }) = displaced {
        let there = segments.get(old.place.slot);
        let old_seq = there.as_ref().and_then(|segment| {
            let head = segment.file.read(old.place.offset, PROVEN_BYTES).ok()?;
            Some(Frame::parse(&head, segment.salt, old.place.offset)?.seq)
        });
        // A damaged snapshot must not give way to the one that it replaced.
        let old_seq = old_seq.or_else(|| known(old.place));
        displaced = match old_seq {
            // The old put is restored with its base. It may displace something other than `item`, because another
            // thread may have added a third put in between.
            Some(old_seq) if old_seq > entered_seq => {
                entered_seq = old_seq;
                index.insert(tag, Added { item: old, as_of: UNKNOWN, base })
            }
            _ => {
                forget(segments, Some(old));
                None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    //! Several puts of a replaced snapshot arrive in any order and from several threads. Whatever
    //! the timing, the last one counts.

    use std::sync::Barrier;

    use super::*;
    use crate::backend::file::config::FileStoreConfig;
    use crate::backend::file::disk::sim::SimDisk;
    use crate::backend::file::read::Patience;
    use crate::backend::file::recover::open;
    use crate::generation::Generation;
    use crate::key::AggregateKey;
    use crate::record::RecordBuilder;
    use crate::store::{DeleteOptions, Lookup, PutOptions, Query, Selection};
    use crate::timestamp::Timestamp;

    /// The defect: the replaced snapshot reappeared, whole and verified.
    #[test]
    fn a_snapshot_whose_frame_is_damaged_does_not_give_way_to_what_it_had_replaced() {
        let config = FileStoreConfig::new("/store".into()).segment_bytes(4096);
        let config = config.reserve_bytes(0).background(false).compact_at(0.2);
        let disk = SimDisk::new(1);
        let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
        let key = AggregateKey::new("k", "a").unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        let put = |version: u64, payload: &[u8]| {
            let at = Timestamp::from_seconds(1);
            let record = RecordBuilder::new(key.clone(), generation, version, at);
            let record = record.build(payload).unwrap();
            let options = PutOptions { replace: true, ..PutOptions::default() };
            let work = core.put_work(vec![record.clone()], &options).unwrap();
            core.commit(vec![work], || ()).answers.remove(0).unwrap();
            record
        };
        let old = put(5, b"old");
        put(4, &[1; 3000]);
        put(3, &[1; 2000]);
        let work =
            core.delete_work(&key, Selection::Below(5), DeleteOptions::default()).unwrap().unwrap();
        core.commit(vec![work], || ()).answers.remove(0).unwrap();
        // The copy is in a segment that comes after the segment with the newer put.
        assert_eq!(core.compact(&mut |_| true).unwrap().removed, 1);
        let new = put(5, b"new");
        let tag = core.tag(&key);
        let place = core.index.exact(tag, 0, 5, |item| item).unwrap().place;
        let file = Arc::clone(&core.segments.get(place.slot).unwrap().file);
        core.shut_down().unwrap();
        drop(core);
        for whole in [true, false] {
            if !whole {
                file.write(place.offset, &[std::io::IoSlice::new(&[0; 8])]).unwrap();
            }
            let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
            let query = Query::latest(&key, generation);
            let Ok(Lookup::Found(found)) = core.get(Patience::Unlimited, &query) else {
                panic!("it is lost")
            };
            assert!(found.record == new && found.record != old, "{whole}");
        }
    }

    #[test]
    fn of_many_replacements_that_are_entered_at_once_the_last_counts() {
        let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
        let core = open::open(Arc::new(SimDisk::new(1)), config).unwrap();
        let key = AggregateKey::new("k", "a").unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        let tag = core.tag(&key);
        let puts = (1..=12).map(|seq| {
            let record = RecordBuilder::new(key.clone(), generation, 5, Timestamp::from_seconds(1));
            let record = record.build(&[seq; 8]).unwrap();
            let options = PutOptions { replace: true, ..PutOptions::default() };
            core.commit(vec![core.put_work(vec![record], &options).unwrap()], || ());
            (core.index.exact(tag, 0, 5, |item| item).unwrap(), u64::from(seq))
        });
        let puts: Vec<_> = puts.collect();
        let live = || -> u64 {
            core.segments.all().iter().map(|one| one.live_puts.load(Ordering::Relaxed)).sum()
        };
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..1000 {
            // Every second one is a delta, and the last one counts with its base or without.
            let bases = |seq: u64| (seq + round).is_multiple_of(2).then_some(seq % 5);
            let (index, before) = (Index::new(), live());
            let mut order = puts.clone();
            random.shuffle(&mut order);
            let together = Barrier::new(2);
            std::thread::scope(|scope| {
                for half in order.chunks(6) {
                    let (index, core, together) = (&index, &core, &together);
                    scope.spawn(move || {
                        together.wait();
                        for (item, seq) in half {
                            let as_of = Timestamp::from_seconds(1);
                            let new = Added { item: *item, as_of, base: bases(*seq) };
                            enter(index, &core.segments, (tag, *seq), new, &|_| None);
                        }
                    });
                }
            });
            assert_eq!(index.exact(tag, 0, 5, |item| item), puts.last().map(|(item, _)| *item));
            let last = bases(12).map(|base| ((0, 5), base));
            assert_eq!(index.bases_of(tag), last.into_iter().collect());
            assert_eq!(live(), before + 1);
        }
    }
}
