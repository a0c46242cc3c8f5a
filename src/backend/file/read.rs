//! Reading: queries, lists and keys.

use std::io;
use std::sync::Arc;

use super::core::Core;
use super::core::segment::Segment;
use super::errors::io_error;
use super::format::FRAME_BYTES;
use super::format::names;
use super::format::tag::Tag;
use super::index::{Item, Place, Sought, UNKNOWN};
use crate::envelope::{Header, Record, SnapshotMeta};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, Found, KeysRequest, ListRequest, Lookup, Page, Query};
use crate::timestamp::Timestamp;

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Only what the system has in memory; up to this many bytes at a time.
    None(u32),
    /// As long as it takes.
    Unlimited,
}

/// Why a read did not succeed.
pub(super) enum Unread {
    /// It would have had to wait.
    WouldWait,
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How many bytes of a record are read at first to get its header.
const HEADER_GUESS: u32 = 512;

impl Core {
    pub(super) fn tag(&self, key: &AggregateKey) -> Tag {
        Tag::of(self.secret, key)
    }

    /// [`SnapshotStore::get`](crate::SnapshotStore::get).
    pub(super) fn get(&self, patience: Patience, query: &Query<'_>) -> Result<Lookup, Unread> {
        self.check_open("get a snapshot")?;
        let tag = self.tag(query.key);
        let generation = self.generations.find(query.generation);
        let as_of = query.as_of.unwrap_or(Timestamp::MAX);
        let include_retired = query.include_retired;
        let sought = |at_most| Sought { generation, at_most, as_of, include_retired };
        let mut at_most = query.at_most;
        let mut asked = false;
        loop {
            // The segment is taken while the index cannot change, so it is the right one.
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
                // One look on the caller's thread, as the newest is often the one. More may be many.
                if asked {
                    if patience != Patience::Unlimited {
                        return Err(Unread::WouldWait);
                    }
                    // Next time the index knows.
                    self.index.keep_times(tag);
                }
                asked = true;
                // The time is in the header: no need for the payload of one that is too late.
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
                // One that cannot be parsed goes to the engine, which says why.
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

    /// [`SnapshotStore::list`](crate::SnapshotStore::list).
    pub(super) fn list(
        &self,
        patience: Patience,
        request: &ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Unread> {
        self.check_open("list snapshots")?;
        let tag = self.tag(request.key);
        let limit = request.limit.max(1);
        let mut after = request.after;
        let mut items = Vec::new();
        loop {
            let rest = after.map_or(*request, |after| request.after(after));
            let mut page = self.admitted(tag, &rest, limit - items.len());
            let more = page.len() > limit - items.len();
            page.truncate(limit - items.len());
            for (id, place) in page {
                after = Some(id);
                let segment =
                    self.index.marked(tag, place.generation, id.version, |item, marks| {
                        (self.segments.get(item.place.slot), item.place, marks.cloned())
                    });
                // Deleted since.
                let Some((Some(segment), place, marks)) = segment else { continue };
                let meta = self.header(patience, &segment, place, |header| {
                    header.is_of(request.key).then(|| SnapshotMeta::from_header(header))
                })?;
                if let Some(Some(meta)) = meta {
                    items.push(meta?.with_marks(marks.unwrap_or_default()));
                }
            }
            if !more {
                return Ok(Page::new(items, None));
            }
            if items.len() >= limit {
                return Ok(Page::new(items, after));
            }
        }
    }

    /// The snapshots that a list has next, one more than `limit` if there are as many.
    fn admitted(
        &self,
        tag: Tag,
        request: &ListRequest<'_>,
        limit: usize,
    ) -> Vec<(SnapshotId, Place)> {
        let top = request.after.map_or(request.at_most, |after| after.version.min(request.at_most));
        let id = |item: &Item| {
            let generation = self.generations.value(item.place.generation)?;
            Some(SnapshotId { generation, version: item.version })
        };
        let admits = |item: &Item| id(item).is_some_and(|id| request.admits(id));
        let mut admitted = 0;
        let items = self.index.list(tag, top, |items, next| {
            // All of one version are needed, as the index does not order them among each other.
            let last = items.last().map(|item: &Item| item.version);
            admitted += usize::from(items.last().is_some_and(admits));
            next.version >= request.at_least && (admitted <= limit || last == Some(next.version))
        });
        let mut ids: Vec<_> = items
            .iter()
            .filter(|item| admits(item))
            .filter_map(|item| Some((id(item)?, item.place)))
            .collect();
        ids.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        ids
    }

    /// [`SnapshotStore::keys`](crate::SnapshotStore::keys).
    pub(super) fn keys(
        &self,
        patience: Patience,
        request: &KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Unread> {
        self.check_open("list aggregates")?;
        let mut after = request.after.map(|cursor| self.cursor_tag(cursor)).transpose()?;
        let limit = request.limit.max(1);
        let mut keys = Vec::new();
        let mut looked_at = 0;
        loop {
            // A page of what is asked for may be any number of others away.
            if patience != Patience::Unlimited && looked_at > limit.saturating_mul(4) {
                return Err(Unread::WouldWait);
            }
            // One more than may be needed, to know whether there are more.
            let batch = (limit - keys.len()).min(1024);
            let mut tags = self.index.tags_after(after, batch + 1);
            let more = tags.len() > batch;
            tags.truncate(batch);
            looked_at += tags.len();
            for tag in tags {
                after = Some(tag);
                if let Some(key) = self.key_of(patience, tag)?.filter(|key| request.admits(key)) {
                    keys.push(key);
                }
            }
            match after {
                Some(after) if more && keys.len() >= limit => {
                    return Ok(Page::new(keys, Some(self.tag_cursor(after))));
                }
                _ if !more => return Ok(Page::new(keys, None)),
                _ => {}
            }
        }
    }

    /// The key of the aggregate with this tag, from its newest readable snapshot.
    fn key_of(&self, patience: Patience, tag: Tag) -> Result<Option<AggregateKey>, Unread> {
        for item in self.index.list(tag, u64::MAX, |items, _| items.len() < 8) {
            let segment = self.index.exact(tag, item.place.generation, item.version, |item| {
                (self.segments.get(item.place.slot), item.place)
            });
            let Some((Some(segment), place)) = segment else { continue };
            let key = self.header(patience, &segment, place, |header| {
                AggregateKey::from_stored(header.tenant, header.kind, header.id)
            })?;
            if let Some(key) = key {
                return Ok(Some(key?));
            }
        }
        Ok(None)
    }

    fn tag_cursor(&self, tag: Tag) -> Cursor {
        let mut bytes = self.store.to_vec();
        bytes.extend_from_slice(&tag.to_bytes());
        Cursor::new(bytes)
    }

    fn cursor_tag(&self, cursor: &Cursor) -> Result<Tag, Error> {
        let tag = cursor.as_bytes().strip_prefix(&self.store);
        tag.and_then(|tag| tag.try_into().ok()).map(Tag::from_bytes).ok_or_else(|| {
            let message = "the cursor was not made by this store: start again without one";
            Error::new(ErrorKind::InvalidInput, "list aggregates", message)
        })
    }

    /// The record at `place`. Not verified.
    pub(super) fn record(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
    ) -> Result<Record, Unread> {
        let bytes = self.bytes(patience, segment, place, place.len)?;
        Ok(Record::from_bytes(bytes))
    }

    /// Hands the header of the record at `place` to `with`; `None` if it cannot be parsed.
    pub(super) fn header<R>(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
        with: impl FnOnce(&Header<'_>) -> R,
    ) -> Result<Option<R>, Unread> {
        let guess = HEADER_GUESS.min(place.len);
        let bytes = self.bytes(patience, segment, place, guess)?;
        match Header::parse(&bytes) {
            Ok(header) => return Ok(Some(with(&header))),
            Err(_) if guess == place.len => return Ok(None),
            Err(_) => {}
        }
        // Longer than most, or damaged. The length that it claims is bounded by the record's.
        let claimed = Header::claimed_bytes(&bytes).map_or(0, |claimed| claimed.min(place.len));
        if claimed <= guess {
            return Ok(None);
        }
        let bytes = self.bytes(patience, segment, place, claimed)?;
        Ok(Header::parse(&bytes).ok().map(|header| with(&header)))
    }

    fn bytes(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
        len: u32,
    ) -> Result<Vec<u8>, Unread> {
        let offset = place.offset + FRAME_BYTES;
        let read = match patience {
            Patience::Unlimited => segment.file.read(offset, len as usize),
            Patience::None(most) if len <= most => segment.file.read_cached(offset, len as usize),
            Patience::None(_) => return Err(Unread::WouldWait),
        };
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && patience != Patience::Unlimited =>
            {
                Err(Unread::WouldWait)
            }
            Err(error) => {
                let path = self.path(&names::segment(segment.id));
                let error = io_error("read a snapshot", &path, error);
                self.note_damage(segment, &error);
                Err(Unread::Failed(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Who asks for a time on the thread of a task waits for one header at most, and no second time
    //! for another thread.

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
            // After an opening from index files, it is as before.
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
                // Asked for once, the times are in memory.
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
