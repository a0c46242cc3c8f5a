//! Finds the newest snapshot that matches a query.

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::index::{Sought, UNKNOWN};
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
            // The segment is looked up while the index cannot change, so it is the right one.
            let found = self.index.newest(tag, sought(at_most), |found| {
                found.map(|(item, time)| (item, time, self.segments.get(item.place.slot)))
            });
            let (item, time, segment) = match found {
                Ok((item, time, Some(segment))) => (item, time, segment),
                Ok((.., None)) | Err(true) => return Ok(Lookup::OtherGeneration),
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
                // The engine reports why a record cannot be parsed.
                if record.names(query.key)
                    || record.header().map_or(true, |header| header.is_of(query.key))
                {
                    return Ok(Lookup::Found(Found::new(item.version, record)));
                }
            }
            match item.version.checked_sub(1) {
                Some(below) => at_most = below,
                None => return Ok(Lookup::OtherGeneration),
            }
        }
    }
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
