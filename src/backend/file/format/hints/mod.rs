//! [`Hints`]: what the frames of a segment contain, without the bodies. This is the content of an
//! index file, and the result of a scan of a segment.

pub(crate) mod push;
#[cfg(test)]
mod tests;

use super::checksum::{checksum, put_checksum};
use super::tag::Tag;
use super::zigzag::{unzigzag, zigzag};
use super::{DeleteScope, HEAD_BYTES, MAX_BODY_BYTES, MAX_OFFSET, MAX_SEQ, frame_bytes};
use crate::checksum::crc32;
use crate::generation::Generation;
use crate::little_endian::LittleEndianReader;
use crate::mark::Marks;
use crate::mark::{put_marks, read_marks};
use crate::record::Header;
use crate::record::wire::put_varint;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

const MAGIC: [u8; 6] = *b"snfidx";
/// The format of index files. A file with another format is ignored and rebuilt from its segment:
/// files in format 2 do not tell which snapshots are deltas.
const FORMAT: u16 = 3;
// An entry starts with one of these values and some of the bits below.
const PUT: u8 = 1;
const DELETE_ALL: u8 = 2;
const DELETE_BELOW: u8 = 3;
const DELETE_IDS: u8 = 4;
const MARKS: u8 = 5;
/// The sequence number is that of the previous entry plus 1.
const NEXT_SEQ: u8 = 1 << 3;
/// The body has the same length as that of the previous entry.
const SAME_BYTES: u8 = 1 << 4;
/// A put with the same generation as the previous put.
const PUT_AGAIN: u8 = PUT | 1 << 5;
/// For a put: the as-of time is the same as that of the previous put.
const SAME_TIME: u8 = 1 << 6;
/// For a put: the record is a delta, and the entry ends with the distance to its base.
const DELTA: u8 = 1 << 7;

/// One frame: its position, its aggregate, and its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) body_bytes: u32,
    pub(crate) tag: Tag,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Put {
        id: SnapshotId,
        as_of: Timestamp,
        /// The version of the base if the record is a delta: see [`base_of`].
        base: Option<u64>,
    },
    Delete(DeleteScope),
    /// All marks of this snapshot, so that the frame need not be read at opening.
    Marks {
        id: SnapshotId,
        marks: Marks,
    },
}

/// The frames of a segment from its head to [`covered`](Self::covered), in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    entries: Vec<u8>,
    generations: Vec<Generation>,
    last: Last,
    covered: u64,
}

/// The values that the next entry can leave out if they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    seq: u64,
    body_bytes: u32,
    /// The generation of the last put, as an index in the list.
    generation: u64,
    /// The as-of time of the last put.
    as_of: Timestamp,
}

impl Last {
    /// The state before the first entry.
    const NONE: Self =
        Self { seq: 0, body_bytes: 0, generation: 0, as_of: Timestamp::from_micros(0) };

    /// Creates the state after the entries of an index file, of which only the header is known. No
    /// frame has this length and generation, so the next entry contains its own.
    const fn unknown(seq: u64, as_of: Timestamp) -> Self {
        Self { seq, body_bytes: u32::MAX, generation: u64::MAX, as_of }
    }
}

/// A state of [`Hints`] that can be restored.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    entries: usize,
    last: Last,
    covered: u64,
}

impl Point {
    /// Returns the end of the covered frames.
    pub(crate) fn covered(self) -> u64 {
        self.covered
    }
}

impl Hints {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), generations: Vec::new(), last: Last::NONE, covered: HEAD_BYTES }
    }

    /// Returns the end of the covered frames.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    pub(crate) fn point(&self) -> Point {
        Point { entries: self.entries.len(), last: self.last, covered: self.covered }
    }

    /// Removes everything that was added after `point`.
    pub(crate) fn back_to(&mut self, point: Point) {
        self.entries.truncate(point.entries);
        self.last = point.last;
        self.covered = point.covered;
    }

    /// Sets a wrong value, for tests.
    #[cfg(test)]
    pub(crate) fn pretend_to_cover(&mut self, bytes: u64) {
        self.covered = bytes;
    }

    /// Adds the put after the covered frames.
    pub(crate) fn push_put(
        &mut self,
        seq: u64,
        body_bytes: u32,
        tag: Tag,
        id: SnapshotId,
        (as_of, base): (Timestamp, Option<u64>),
    ) {
        let generation = self.generation(id.generation);
        let same_time = if as_of == self.last.as_of { SAME_TIME } else { 0 };
        let bits = same_time | if base.is_some() { DELTA } else { 0 };
        if generation == self.last.generation {
            self.begin(PUT_AGAIN | bits, seq, body_bytes, tag);
        } else {
            self.begin(PUT | bits, seq, body_bytes, tag);
            put_varint(&mut self.entries, generation);
            self.last.generation = generation;
        }
        put_varint(&mut self.entries, id.version);
        if same_time == 0 {
            put_varint(&mut self.entries, zigzag(micros(self.last.as_of), micros(as_of)));
            self.last.as_of = as_of;
        }
        if let Some(base) = base {
            put_varint(&mut self.entries, id.version.wrapping_sub(base));
        }
    }

    /// Adds the delete after the covered frames.
    pub(crate) fn push_delete(&mut self, seq: u64, body_bytes: u32, tag: Tag, scope: &DeleteScope) {
        match scope {
            DeleteScope::All => self.begin(DELETE_ALL, seq, body_bytes, tag),
            DeleteScope::Below(version) => {
                self.begin(DELETE_BELOW, seq, body_bytes, tag);
                put_varint(&mut self.entries, *version);
            }
            DeleteScope::Ids(ids) => {
                self.begin(DELETE_IDS, seq, body_bytes, tag);
                put_varint(&mut self.entries, ids.len() as u64);
                for id in ids {
                    let generation = self.generation(id.generation);
                    put_varint(&mut self.entries, generation);
                    put_varint(&mut self.entries, id.version);
                }
            }
        }
    }

    /// Adds the marks after the covered frames.
    pub(crate) fn push_marks(
        &mut self,
        seq: u64,
        body_bytes: u32,
        tag: Tag,
        id: SnapshotId,
        marks: &Marks,
    ) {
        self.begin(MARKS, seq, body_bytes, tag);
        let generation = self.generation(id.generation);
        put_varint(&mut self.entries, generation);
        put_varint(&mut self.entries, id.version);
        put_marks(&mut self.entries, marks);
    }

    fn begin(&mut self, what: u8, seq: u64, body_bytes: u32, tag: Tag) {
        let next = seq == self.last.seq.wrapping_add(1);
        let same = body_bytes == self.last.body_bytes;
        let bits = if next { NEXT_SEQ } else { 0 } | if same { SAME_BYTES } else { 0 };
        self.entries.push(what | bits);
        if !next {
            put_varint(&mut self.entries, zigzag(self.last.seq, seq));
        }
        if !same {
            put_varint(&mut self.entries, body_bytes.into());
        }
        self.entries.extend_from_slice(&tag.to_bytes());
        self.last.seq = seq;
        self.last.body_bytes = body_bytes;
        self.covered += frame_bytes(body_bytes.into());
    }

    fn generation(&mut self, generation: Generation) -> u64 {
        let known = self.generations.iter().rposition(|known| *known == generation);
        let number = known.unwrap_or_else(|| {
            self.generations.push(generation);
            self.generations.len() - 1
        });
        number as u64
    }

    /// Calls `each` with every frame, in order. Returns `None` if the bytes contradict themselves.
    pub(crate) fn read(&self, mut each: impl FnMut(Hint)) -> Option<()> {
        let mut reader = LittleEndianReader(&self.entries);
        let mut offset = HEAD_BYTES;
        let Last { mut seq, mut body_bytes, mut generation, mut as_of } = Last::NONE;
        while !reader.0.is_empty() {
            let first = reader.u8()?;
            seq = if first & NEXT_SEQ == 0 {
                unzigzag(seq, reader.varint()?)
            } else {
                seq.wrapping_add(1)
            };
            if first & SAME_BYTES == 0 {
                body_bytes = u32::try_from(reader.varint()?).ok()?;
            }
            let tag = Tag::from_bytes(reader.array()?);
            // Meaningless bits are kept, so that the value matches no kind of entry.
            let what = match first & !(NEXT_SEQ | SAME_BYTES) {
                put if matches!(put & !(SAME_TIME | DELTA), PUT | PUT_AGAIN) => {
                    if put & !(SAME_TIME | DELTA) == PUT {
                        generation = reader.varint()?;
                    }
                    let id = self.id(generation, &mut reader)?;
                    if put & SAME_TIME == 0 {
                        let coded = unzigzag(micros(as_of), reader.varint()?);
                        as_of = Timestamp::from_micros(coded.cast_signed());
                    }
                    let base = if put & DELTA == 0 {
                        None
                    } else {
                        let distance = reader.varint()?;
                        Some(id.version.checked_sub(distance).filter(|_| distance > 0)?)
                    };
                    What::Put { id, as_of, base }
                }
                DELETE_ALL => What::Delete(DeleteScope::All),
                DELETE_BELOW => What::Delete(DeleteScope::Below(reader.varint()?)),
                DELETE_IDS => {
                    let count = reader.varint()?;
                    // Each item takes at least two bytes, so a wrong count runs into the end of the
                    // bytes.
                    let ids: Option<Vec<_>> = (0..count)
                        .map(|_| reader.varint().and_then(|number| self.id(number, &mut reader)))
                        .collect();
                    What::Delete(DeleteScope::Ids(ids?))
                }
                MARKS => {
                    let number = reader.varint()?;
                    let id = self.id(number, &mut reader)?;
                    What::Marks { id, marks: read_marks(&mut reader)? }
                }
                _ => return None,
            };
            // No frame has such values, and the index could not store them.
            if seq > MAX_SEQ || u64::from(body_bytes) > MAX_BODY_BYTES || offset >= MAX_OFFSET {
                return None;
            }
            each(Hint { offset, seq, body_bytes, tag, what });
            offset = offset.checked_add(frame_bytes(body_bytes.into()))?;
        }
        let ends_so = seq == self.last.seq && as_of == self.last.as_of;
        (offset == self.covered && ends_so).then_some(())
    }

    /// Returns whether these are the first frames of `all` and nothing else.
    pub(crate) fn is_start_of(&self, all: &Self) -> bool {
        let mut expected = Vec::new();
        let whole = all.read(|hint| expected.push(hint));
        let mut expected = expected.into_iter();
        let mut same = true;
        let own = self.read(|hint| same &= expected.next().is_some_and(|other| other == hint));
        same && whole.is_some() && own.is_some()
    }

    fn id(&self, generation: u64, reader: &mut LittleEndianReader<'_>) -> Option<SnapshotId> {
        let generation = *self.generations.get(usize::try_from(generation).ok()?)?;
        Some(SnapshotId { generation, version: reader.varint()? })
    }

    /// Encodes the index file of the segment with this salt. `secret` is the key of the checksum,
    /// so that tags with another secret are not accepted.
    pub(crate) fn to_bytes(&self, salt: u64, secret: [u64; 2]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.entries.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let generations = u32::try_from(self.generations.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&generations.to_le_bytes());
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&self.covered.to_le_bytes());
        bytes.extend_from_slice(&self.last.seq.to_le_bytes());
        bytes.extend_from_slice(&micros(self.last.as_of).to_le_bytes());
        for generation in &self.generations {
            bytes.extend_from_slice(&generation.fingerprint.to_le_bytes());
            bytes.extend_from_slice(&generation.schema_version.to_le_bytes());
        }
        bytes.extend_from_slice(&self.entries);
        put_checksum(checksum_key(secret), &mut bytes);
        bytes
    }

    /// Parses an index file. Returns `None` if it is damaged, belongs to another segment or has
    /// another format.
    pub(crate) fn parse(bytes: &[u8], salt: u64, secret: [u64; 2]) -> Option<Self> {
        let (format, generations, mut reader) = whole(bytes, salt, secret)?;
        if format != FORMAT {
            return None;
        }
        let (covered, last_seq) = (reader.u64()?, reader.u64()?);
        let as_of = Timestamp::from_micros(reader.u64()?.cast_signed());
        let mut generation = || {
            let fingerprint = reader.u64()?;
            Some(Generation { fingerprint, schema_version: reader.u32()? })
        };
        let generations = (0..generations).map(|_| generation()).collect::<Option<_>>()?;
        let last = Last::unknown(last_seq, as_of);
        Some(Self { entries: reader.0.to_vec(), generations, last, covered })
    }
}

/// Returns the version of the base of a delta. `None` if the record is not a delta, or names a base
/// that is not below it, which is never returned or protected.
pub(crate) fn base_of(header: &Header<'_>) -> Option<u64> {
    header.base.map(|base| base.version).filter(|base| *base < header.version)
}

/// Returns whether these are the bytes of a valid index file of an earlier release.
pub(crate) fn is_outdated(bytes: &[u8], salt: u64, secret: [u64; 2]) -> bool {
    whole(bytes, salt, secret).is_some_and(|(format, ..)| (1..FORMAT).contains(&format))
}

/// Checks the start of an index file, which all formats share, and its checksum. Returns its format,
/// its number of generations and the rest.
fn whole(bytes: &[u8], salt: u64, secret: [u64; 2]) -> Option<(u16, u32, LittleEndianReader<'_>)> {
    let mut reader = LittleEndianReader(bytes);
    if reader.array()? != MAGIC {
        return None;
    }
    let format = reader.u16()?;
    if reader.u32()? != checksum(checksum_key(secret), bytes) {
        return None;
    }
    let generations = reader.u32()?;
    (reader.u64()? == salt).then_some((format, generations, reader))
}

const fn micros(time: Timestamp) -> u64 {
    time.as_micros().cast_unsigned()
}

fn checksum_key([a, b]: [u64; 2]) -> u32 {
    crc32(&(a ^ b.rotate_left(32)).to_le_bytes())
}
