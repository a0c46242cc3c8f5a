//! Finds the newest snapshot that matches a query.

use std::sync::Arc;

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::index::{Hit, Item, Place, Sought, UNKNOWN};
use crate::key::AggregateKey;
use crate::record::Record;
use crate::store::{Found, Lookup, Query};
use crate::timestamp::Timestamp;

impl Core {
    /// Implements [`SnapshotStore::get`](crate::SnapshotStore::get).
    pub(crate) fn get(&self, patience: Patience, query: &Query<'_>) -> Result<Lookup, Unread> {
        self.health.check_open("get a snapshot")?;
        let tag = self.tag(query.key);
        let generation = self.generations.find(query.generation);
        let as_of = query.as_of.unwrap_or(Timestamp::MAX);
        let include_retired = query.include_retired;
        let sought = |at_most| Sought { generation, at_most, as_of, include_retired };
        let mut at_most = query.at_most;
        let mut asked = false;
        loop {
            // The segments are looked up while the index cannot change, so they are the right ones.
            let found = self.index.newest(tag, sought(at_most), |found| {
                found.map(|Hit { item, as_of, bases }| {
                    let at = |item: &Item| Some((self.segments.get(item.place.slot)?, item.place));
                    (item, as_of, at(&item), bases.iter().map_while(at).collect::<Vec<_>>())
                })
            });
            let (item, time, segment, bases) = match found {
                Ok((item, time, Some((segment, _)), bases)) => (item, time, segment, bases),
                Ok((_, _, None, _)) | Err(true) => return Ok(Lookup::OtherGeneration),
                Err(false) if at_most < query.at_most => return Ok(Lookup::OtherGeneration),
                Err(false) => return Ok(Lookup::Absent),
            };
            if item.version < query.at_least {
                return Ok(Lookup::OtherGeneration);
            }
            let wanted = if as_of == Timestamp::MAX || time != UNKNOWN {
                None
            } else {
                // One header is read on the caller's thread, because the newest snapshot is often
                // the right one. There may be many more.
                if asked {
                    if patience != Patience::Unlimited {
                        return Err(Unread::WouldWait);
                    }
                    // The index will know the times at the next call.
                    self.index.keep_times(tag);
                }
                asked = true;
                // The time is in the header, so the payload of a snapshot that is too late is not
                // read.
                self.header(patience, &segment, item.place, |header| {
                    let is_of = header.is_of(query.key);
                    if is_of {
                        self.index.learn(tag, item, header.as_of);
                    }
                    is_of && query.admits(item.version, header.as_of)
                })?
            };
            if wanted != Some(false) {
                let record = self.record(patience, &segment, item.place)?;
                if may_be_of(query.key, &record) {
                    let bases = self.read_bases(patience, query.key, &record, &bases)?;
                    return Ok(Lookup::Found(Found::new(item.version, record).with_bases(bases)));
                }
            }
            match item.version.checked_sub(1) {
                Some(below) => at_most = below,
                None => return Ok(Lookup::OtherGeneration),
            }
        }
    }
}

/// The position of a record.
type At = (Arc<Segment>, Place);

impl Core {
    /// Reads the bases of a delta, nearest first.
    fn read_bases(
        &self,
        patience: Patience,
        key: &AggregateKey,
        delta: &Record,
        chain: &[At],
    ) -> Result<Vec<Record>, Unread> {
        if let Patience::None(most) = patience {
            // The limit is for the whole answer.
            let lens = chain.iter().map(|(_, place)| u64::from(place.len));
            let bytes = delta.as_bytes().len() as u64 + lens.sum::<u64>();
            if !chain.is_empty() && bytes > most.into() {
                return Err(Unread::WouldWait);
            }
        }
        let mut bases = Vec::with_capacity(chain.len());
        for (segment, place) in chain {
            let base = self.record(patience, segment, *place)?;
            // Another aggregate can have the same hash.
            if !may_be_of(key, &base) {
                break;
            }
            bases.push(base);
        }
        Ok(bases)
    }
}

/// Returns whether a record belongs to `key`, or cannot be parsed. The engine reports why.
fn may_be_of(key: &AggregateKey, record: &Record) -> bool {
    record.names(key) || record.header().map_or(true, |header| header.is_of(key))
}

#[cfg(test)]
mod tests {
    //! A query for a time that runs on a task's thread waits for one header at most, and not again
    //! on another thread.

    use super::*;
    use crate::backend::file::disk::sim::SimDisk;
    use crate::backend::file::samples::{core, key, record_as_of};
    use crate::generation::Generation;
    use crate::store::PutOptions;

    #[test]
    fn headers_of_many_snapshots_are_not_read_on_the_thread_of_a_task() {
        for (versions, asked_one_by_one) in [(20, true), (1000, false)] {
            let disk = SimDisk::new(1);
            let mut core = core(&disk);
            for version in 1..=versions {
                let record =
                    record_as_of(version, 5, Timestamp::from_micros(version.cast_signed()));
                let work = core.put_work(vec![record], &PutOptions::default()).unwrap();
                core.commit(vec![work], || ()).answers.remove(0).unwrap();
            }
            // After opening from index files, the behaviour is the same.
            for _ in 0..2 {
                let (key, generation) = (key(), Generation { schema_version: 1, fingerprint: 1 });
                let get = |patience, micros| {
                    let query = Query::latest(&key, generation);
                    core.get(patience, &query.as_of(Timestamp::from_micros(micros)))
                };
                let inline = Patience::None(1 << 20);
                let version = |lookup: Result<Lookup, Unread>| match lookup {
                    Ok(Lookup::Found(found)) => Some(found.version),
                    Ok(_) => None,
                    Err(Unread::WouldWait) => Some(0),
                    Err(Unread::Failed(error)) => panic!("{error}"),
                };
                let newest = i64::try_from(versions).unwrap();
                assert_eq!(version(get(inline, newest)), Some(versions));
                let middle = versions / 2;
                let expected = if asked_one_by_one { 0 } else { middle };
                assert_eq!(version(get(inline, newest / 2)), Some(expected));
                assert_eq!(version(get(Patience::Unlimited, newest / 2)), Some(middle));
                assert_eq!(version(get(Patience::Unlimited, 0)), None);
                // The times are in memory once they have been requested.
                for micros in (0..=newest).rev() {
                    let expected = u64::try_from(micros).ok().filter(|&version| version > 0);
                    assert_eq!(version(get(inline, micros)), expected);
                }
                core.shut_down().unwrap();
                drop(core);
                core = crate::backend::file::samples::core(&disk);
            }
        }
    }
}
