//! [`examine`]: checks every byte of one segment by the rules that apply when a store is opened.
//! `verify` and `repair` both use it, so neither overlooks what the other finds.

use crate::backend::file::disk::DiskFile;
use crate::backend::file::format::flaw::Flaw;
use crate::backend::file::format::hints::push::push;
use crate::backend::file::format::hints::{Hints, is_outdated};
use crate::backend::file::format::{
    DeleteBody, Entry, FRAME_BYTES, Frame, HEAD_BYTES, Kind, MarksBody, SegmentSeal,
};
use crate::backend::file::problem::Problem;
use crate::backend::file::recover::scan::{Scanner, Step, reason_to_keep};
use crate::key::AggregateKey;
use crate::record::Header;
use crate::snapshot_id::SnapshotId;

/// The result of checking everything in a segment after its head.
pub(crate) struct Examined {
    /// The problems found.
    pub(crate) problems: Vec<Problem>,
    /// The first frame that only a newer release can interpret.
    pub(crate) newer: Option<(u64, Flaw)>,
    /// The number of valid frames, without unacknowledged ones at the end that a crash left.
    pub(crate) counts: Counts,
    /// The number of bytes that a crash left at the end. The next open cuts them off.
    pub(crate) torn_bytes: u64,
    pub(crate) frames: Frames,
    /// The content of a correct index file for the segment.
    pub(crate) hints: Hints,
}

/// Checks every frame of the segment `name`. `entry` is its entry in the manifest. Without one,
/// nothing at the end is treated as the remains of an unacknowledged write.
pub(crate) fn examine(
    file: &dyn DiskFile,
    name: &str,
    salt: u64,
    secret: [u64; 2],
    entry: Option<&Entry>,
) -> std::io::Result<Examined> {
    let len = file.len()?;
    let mut problems = Vec::new();
    if let Some(entry) = entry
        && (len < entry.bytes || (entry.sealed && len != entry.bytes))
    {
        let what = format!("the file is {len} bytes long instead of {}", entry.bytes);
        problems.push(Problem::new(name, None, what));
    }
    let (mut frames, mut hints) = (Frames::default(), Hints::new());
    let mut tail = Tail { cut: HEAD_BYTES, checked: false, torn: false };
    let mut newer = None;
    let mut counts = Counts::default();
    // The counts of the unfinished batch.
    let mut batch = Counts::default();
    walk(file, salt, len, |at, part| {
        if tail.torn {
            return Ok(());
        }
        match part {
            Part::Frame(frame, body) => {
                match frame.kind {
                    Kind::Put => batch.records += 1,
                    Kind::Delete => batch.deletes += 1,
                    Kind::Marks => batch.marks += 1,
                    Kind::Seal => {}
                }
                // A seal has no hint, and any other frame that cannot be parsed is a bad part.
                let _ = push(&mut hints, &frame, body, secret);
                if let Err(what) = frames.add(&frame, body) {
                    problems.push(Problem::new(name, Some(at), what));
                }
                if !frame.more {
                    counts.add(std::mem::take(&mut batch));
                    tail.cut = at + frame.total_bytes();
                }
            }
            Part::Bad { flaw, until, snapshot } => {
                let torn = matches!(flaw, Flaw::Torn(_));
                if torn && tail.is_torn(file, entry, at, until, len)? {
                    batch = Counts::default();
                    return Ok(());
                }
                counts.add(std::mem::take(&mut batch));
                tail.cut = until;
                let mut problem = Problem::new(name, Some(at), flaw.to_string());
                problem.snapshot = snapshot;
                problems.push(problem);
                if flaw.is_newer() {
                    newer = newer.take().or(Some((at, flaw)));
                }
            }
        }
        Ok(())
    })?;
    if !tail.torn && frames.within_batch {
        if tail.is_torn(file, entry, len, len, len)? {
            batch = Counts::default();
        } else {
            problems.push(Problem::new(name, None, "the file ends within a batch"));
        }
    }
    counts.add(std::mem::take(&mut batch));
    if entry.is_some_and(|entry| entry.sealed) && !frames.sealed {
        problems.push(Problem::new(name, None, "the seal is missing"));
    }
    // A file that is truncated within its head has no torn part.
    let torn_bytes = if tail.torn { len.saturating_sub(tail.cut) } else { 0 };
    Ok(Examined { problems, newer, counts, torn_bytes, frames, hints })
}

/// The number of frames of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) deletes: u64,
    pub(crate) marks: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, more: Self) {
        self.records += more.records;
        self.deletes += more.deletes;
        self.marks += more.marks;
    }
}

/// Returns what is wrong with the index file `name`. `read` is its content, and `scanned` is the
/// correct one.
pub(super) fn check_hints(
    name: &str,
    read: Option<Vec<u8>>,
    scanned: &Hints,
    salt: u64,
    secret: [u64; 2],
) -> Option<Problem> {
    let read = read.unwrap_or_default();
    match Hints::parse(&read, salt, secret) {
        // It is ignored, and replaced when the store is opened.
        None if is_outdated(&read, salt, secret) => None,
        None => {
            let what = "the index file is damaged: the next open rebuilds it";
            Some(Problem::new(name, None, what))
        }
        Some(parsed) if !parsed.is_start_of(scanned) => {
            let what = "the index file does not match its segment: run FileStore::repair()";
            Some(Problem::new(name, None, what))
        }
        Some(_) => None,
    }
}

/// The part at the end of a segment that a crash may have left, by the rule for opening a store.
struct Tail {
    /// The end of the last complete batch.
    cut: u64,
    /// Whether the rule was already applied in the middle of the file. It is applied there only
    /// once, because it may read the whole rest.
    checked: bool,
    /// Whether nothing from `cut` on was acknowledged.
    torn: bool,
}

impl Tail {
    /// Returns whether a crash left the bad part from `at` to `until` and everything after it.
    fn is_torn(
        &mut self,
        file: &dyn DiskFile,
        entry: Option<&Entry>,
        at: u64,
        until: u64,
        len: u64,
    ) -> std::io::Result<bool> {
        let Some(entry) = entry else { return Ok(false) };
        if entry.sealed || at < entry.bytes || (self.checked && until != len) {
            return Ok(false);
        }
        self.checked = true;
        self.torn = reason_to_keep(file, entry.salt, self.cut, len)?.is_none();
        Ok(self.torn)
    }
}

/// A part of a segment.
pub(crate) enum Part<'a> {
    Frame(Frame, &'a [u8]),
    /// Bytes up to the next frame or the end that are not a frame, or a frame with unusable
    /// content.
    Bad {
        flaw: Flaw,
        until: u64,
        snapshot: Option<(AggregateKey, SnapshotId)>,
    },
}

/// Calls `each` with every part of a segment, and continues after damage.
pub(crate) fn walk(
    file: &dyn DiskFile,
    salt: u64,
    len: u64,
    mut each: impl FnMut(u64, Part<'_>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut scanner = Scanner::new(file, salt, 0, len);
    loop {
        let at = scanner.at;
        let flaw = match scanner.step()? {
            Step::End => return Ok(()),
            Step::Frame(frame, body) => match check(frame.kind, body) {
                Ok(()) => {
                    each(at, Part::Frame(frame, body))?;
                    continue;
                }
                Err(why) => Flaw::Written(why.to_owned()),
            },
            Step::Bad(flaw) => flaw,
        };
        // The body of a damaged frame may still identify the snapshot.
        let body = at + FRAME_BYTES;
        let guess = usize::try_from(len.saturating_sub(body).min(1 << 12)).unwrap_or(0);
        let snapshot = identity(&file.read(body, guess)?);
        if let Flaw::Torn(_) = flaw {
            scanner.at += 1;
            scanner.seek()?;
        }
        each(at, Part::Bad { flaw, until: scanner.at, snapshot })?;
    }
}

/// Checks the body of a frame whose checksum matches, so any flaw in it was written that way.
fn check(kind: Kind, body: &[u8]) -> Result<(), &'static str> {
    match kind {
        // The scanner has already verified the record.
        Kind::Put => Ok(()),
        Kind::Delete => DeleteBody::parse(body).map(|_| ()).ok_or("the delete is invalid"),
        Kind::Marks => MarksBody::parse(body).map(|_| ()).ok_or("the marks are invalid"),
        Kind::Seal => SegmentSeal::parse(body).map(|_| ()).ok_or("the seal is invalid"),
    }
}

/// The frames of a segment so far, summarized like a seal.
pub(crate) struct Frames {
    pub(crate) seal: SegmentSeal,
    /// Whether the last frame was a seal that matches the frames before it.
    pub(crate) sealed: bool,
    within_batch: bool,
}

impl Default for Frames {
    fn default() -> Self {
        let seal = SegmentSeal { min_seq: u64::MAX, ..SegmentSeal::default() };
        Self { seal, sealed: false, within_batch: false }
    }
}

impl Frames {
    /// Adds the next frame. Returns `Err` if the frame follows a seal, or if it is a seal in the
    /// wrong place or one that does not match the frames before it.
    pub(crate) fn add(&mut self, frame: &Frame, body: &[u8]) -> Result<(), &'static str> {
        let before = (self.sealed, self.within_batch);
        (self.sealed, self.within_batch) = (false, frame.more);
        match frame.kind {
            Kind::Put => self.seal.puts += 1,
            Kind::Delete | Kind::Marks => self.seal.others += 1,
            Kind::Seal if before != (false, false) => return Err("the seal is in the wrong place"),
            Kind::Seal if SegmentSeal::parse(body) != Some(self.seal) => {
                return Err("the seal does not match the frames before it");
            }
            Kind::Seal => {
                self.sealed = true;
                return Ok(());
            }
        }
        self.seal.min_seq = self.seal.min_seq.min(frame.seq);
        self.seal.max_seq = self.seal.max_seq.max(frame.seq);
        if before.0 { Err("a frame follows the seal") } else { Ok(()) }
    }
}

fn identity(body: &[u8]) -> Option<(AggregateKey, SnapshotId)> {
    let Ok(header) = Header::parse(body) else { return MarksBody::identify(body) };
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).ok()?;
    Some((key, SnapshotId { generation: header.generation, version: header.version }))
}
