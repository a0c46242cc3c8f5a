//! The frames of an archive. `docs/format-archive.md` specifies them.

use twox_hash::XxHash3_64;

use crate::mark::{Mark, MarkKind, Marks};
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::wire::{ByteReader, put_sized, put_text, put_time};

/// The first bytes of an archive. The last of them is the format.
pub(super) const MAGIC: [u8; 8] = *b"SNFARCH\x01";
/// The length of a frame's head: tag, length of the body, checksum.
pub(super) const HEAD_BYTES: usize = 9;
/// A reader rejects an archive with an unknown tag from here on, and skips others.
pub(super) const CRITICAL: u8 = 0x80;

pub(super) const START: u8 = 0x01;
pub(super) const DICTIONARY: u8 = 0x02;
pub(super) const SNAPSHOT: u8 = CRITICAL | 0x01;
pub(super) const END: u8 = CRITICAL | 0x02;

/// A hash of all frames so far. It detects frames that are missing, repeated or in another order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameChain(pub(super) u64);

impl FrameChain {
    fn add(&mut self, head: &[u8; HEAD_BYTES]) {
        let mut bytes = [0; 8 + HEAD_BYTES];
        let (before, new) = bytes.split_at_mut(8);
        before.copy_from_slice(&self.0.to_le_bytes());
        new.copy_from_slice(head);
        self.0 = XxHash3_64::oneshot(&bytes);
    }

    /// Appends a frame to `out`. The body has less than 4 GiB.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, tag: u8, body: &[&[u8]]) {
        let bytes: usize = body.iter().map(|part| part.len()).sum();
        let length = u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let head = head(tag, length, checksum(tag, length, body));
        self.add(&head);
        out.extend_from_slice(&head);
        for part in body {
            out.extend_from_slice(part);
        }
    }

    /// Adds a frame that was read, if its checksum matches.
    pub(super) fn accept(&mut self, read: &[u8; HEAD_BYTES], body: &[u8]) -> bool {
        let FrameHead { tag, length, checksum: stored } = FrameHead::of(read);
        let is_whole = checksum(tag, length.to_le_bytes(), &[body]) == stored;
        if is_whole {
            self.add(read);
        }
        is_whole
    }
}

/// Returns the checksum of a frame.
fn checksum(tag: u8, length: [u8; 4], body: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[tag]);
    hasher.update(&length);
    for part in body {
        hasher.update(part);
    }
    hasher.finalize()
}

fn head(tag: u8, length: [u8; 4], checksum: u32) -> [u8; HEAD_BYTES] {
    let mut head = [tag; HEAD_BYTES];
    let (start, end) = head.split_at_mut(HEAD_BYTES - 4);
    if let Some(field) = start.last_chunk_mut::<4>() {
        *field = length;
    }
    end.copy_from_slice(&checksum.to_le_bytes());
    head
}

/// The parsed head of a frame.
#[derive(Clone, Copy)]
pub(super) struct FrameHead {
    pub(super) tag: u8,
    pub(super) length: u32,
    checksum: u32,
}

impl FrameHead {
    pub(super) fn of(bytes: &[u8; HEAD_BYTES]) -> Self {
        let mut reader = ByteReader(bytes);
        let [tag] = reader.array().unwrap_or_default();
        let (length, checksum) = (reader.u32(), reader.u32());
        // There are always enough bytes.
        let (length, checksum) = (length.unwrap_or_default(), checksum.unwrap_or_default());
        Self { tag, length, checksum }
    }
}

/// Returns the body of a snapshot's frame before its record.
pub(super) fn marks_body(marks: &Marks) -> Vec<u8> {
    let mut body = vec![u8::try_from(marks.len()).unwrap_or(u8::MAX)];
    for mark in marks.iter() {
        body.push(match mark.kind {
            MarkKind::Pin => 1,
            MarkKind::Retirement => 2,
        });
        put_time(&mut body, mark.at);
        for text in [&mark.name, &mark.actor, &mark.note] {
            put_text(&mut body, text);
        }
    }
    let mut sized = Vec::with_capacity(body.len() + 4);
    put_sized(&mut sized, &body);
    sized
}

/// Reads the body of a snapshot's frame.
pub(super) fn read_snapshot(body: &[u8]) -> Option<(Marks, Record)> {
    let mut reader = ByteReader(body);
    let mut marks = ByteReader(reader.sized()?);
    let [count] = marks.array()?;
    let mut read = Vec::new();
    for _ in 0..count {
        let kind = match marks.array()? {
            [1] => MarkKind::Pin,
            [2] => MarkKind::Retirement,
            _ => return None,
        };
        let at = marks.time()?;
        read.push(Mark::new(kind, marks.text()?, at).actor(marks.text()?).note(marks.text()?));
    }
    let is_over = marks.0.is_empty();
    let marks = Marks::new(read).ok()?;
    is_over.then(|| (marks, Record::from_bytes(reader.0.to_vec())))
}

/// The body of the first frame: when the archive was made.
pub(super) fn start_body(created_at: Timestamp) -> Vec<u8> {
    let mut body = Vec::new();
    put_time(&mut body, created_at);
    body
}

/// The content of the last frame. The chain covers all frames before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArchiveEnd {
    pub(super) aggregates: u64,
    pub(super) snapshots: u64,
    pub(super) chain: FrameChain,
}

impl ArchiveEnd {
    pub(super) fn body(&self) -> [[u8; 8]; 3] {
        [self.aggregates, self.snapshots, self.chain.0].map(u64::to_le_bytes)
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(body);
        let (aggregates, snapshots) = (reader.u64()?, reader.u64()?);
        let chain = FrameChain(reader.u64()?);
        reader.0.is_empty().then_some(Self { aggregates, snapshots, chain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::crc32;

    #[test]
    fn marks_and_records_come_back_as_written_and_no_prefix_of_them_passes() {
        let at = Timestamp::from_micros;
        let some = [
            Mark::pin("a\0\u{1f980}", at(i64::MAX)).actor("x").note("why"),
            Mark::retirement("b", at(i64::MIN)),
        ];
        let record = Record::from_bytes(b"the record".to_vec());
        for marks in [Marks::NONE, Marks::new(some).unwrap()] {
            let mut body = marks_body(&marks);
            let least = body.len();
            body.extend_from_slice(record.as_bytes());
            assert_eq!(read_snapshot(&body), Some((marks, record.clone())));
            for len in 0..least {
                assert_eq!(read_snapshot(&body[..len]), None, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_frame_with_any_byte_changed_is_not_accepted() {
        let (mut chain, mut out) = (FrameChain::default(), Vec::new());
        chain.write(&mut out, SNAPSHOT, &[b"one", b" body"]);
        let accepts = |out: &[u8]| {
            let (head, body) = out.split_first_chunk::<HEAD_BYTES>().unwrap();
            let mut read = FrameChain::default();
            read.accept(head, body).then_some(read)
        };
        assert_eq!(accepts(&out), Some(chain));
        assert_eq!(crc32(&[&out[..5], &out[9..]].concat()).to_le_bytes(), out[5..9]);
        for at in 0..out.len() {
            let mut changed = out.clone();
            changed[at] ^= 1;
            assert_eq!(accepts(&changed), None, "byte {at}");
        }
    }
}
