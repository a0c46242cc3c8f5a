//! Looking at a closed store: [`inspect`] reads what its files say, [`verify`] reads all of them.

use std::path::Path;

use super::disk::{Disk, DiskFile, Lock};
use super::fault::{corrupt, io_error};
use super::flaw::Flaw;
use super::hints::Hints;
use super::layout::{
    Bad, DeleteBody, Entry, FRAME_BYTES, Frame, HEAD_BYTES, Head, Kind, Manifest, Seal,
};
use super::load;
use super::names;
use super::open;
use super::problem::Problem;
use super::scan::{Scanner, Step, reason_to_keep};
use crate::envelope::Header;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;

/// What the files of a closed store say about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The number that tells this store from all others.
    pub store: u128,
    /// The files of the log, in the order in which they were begun.
    pub segments: Vec<SegmentInfo>,
    /// The names of files in the directory that are not the store's.
    pub foreign: Vec<String>,
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The name of the file.
    pub file: String,
    /// Its length in bytes; `None` if it is missing.
    pub bytes: Option<u64>,
    /// Whether it is complete; at most one is not.
    pub sealed: bool,
    /// Whether there is an index file of it, which makes opening faster.
    pub indexed: bool,
}

/// What a look at every byte of a closed store has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The number of records in the log, of live snapshots and dead ones.
    pub records: u64,
    /// The number of deletes in the log.
    pub deletes: u64,
    /// The bytes at the end of the log that a crash has left, and that the next opening cuts off.
    pub torn_bytes: u64,
    /// What is wrong; empty if all is well.
    pub problems: Vec<Problem>,
}

/// Locks a store as far as the directory lets itself be written to.
fn hold(
    disk: &dyn Disk,
    dir: &Path,
    files: &[String],
    operation: &'static str,
) -> Result<Option<Box<dyn Lock>>, Error> {
    if files.iter().any(|name| name == names::LOCK) {
        return open::lock(disk, dir, operation, false).map(Some);
    }
    Ok(None)
}

fn listing(disk: &dyn Disk, dir: &Path, operation: &'static str) -> Result<Vec<String>, Error> {
    disk.files(dir).map_err(|error| io_error(operation, dir, error))
}

pub(super) fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Inspection, Error> {
    let operation = "inspect a store";
    let files = listing(disk, dir, operation)?;
    let _lock = hold(disk, dir, &files, operation)?;
    let manifest = open::read_manifest(disk, dir, &files, operation)?
        .ok_or_else(|| corrupt(operation, dir, "there is no store in this directory"))?;
    let segments = manifest.segments.iter().map(|entry| {
        let file = names::segment(entry.id);
        let opened = disk.open(&dir.join(&file), false);
        SegmentInfo {
            bytes: opened.and_then(|file| file.len()).ok(),
            sealed: entry.sealed,
            indexed: files.contains(&names::hints(entry.id)),
            file,
        }
    });
    let segments = segments.collect();
    let ours = |name: &String| {
        names::is_temporary(name)
            || names::segment_id(name).is_some()
            || names::hints_id(name).is_some()
            || [names::LOCK, names::MANIFEST, names::RESERVE].contains(&name.as_str())
    };
    let mut foreign: Vec<_> = files.into_iter().filter(|name| !ours(name)).collect();
    foreign.sort_unstable();
    Ok(Inspection { store: u128::from_le_bytes(manifest.store), segments, foreign })
}

pub(super) fn verify(disk: &dyn Disk, dir: &Path) -> Result<Verification, Error> {
    let operation = "verify a store";
    let files = listing(disk, dir, operation)?;
    let _lock = hold(disk, dir, &files, operation)?;
    let mut found = Verification::default();
    let manifest = match open::read_manifest(disk, dir, &files, operation) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            found.problems.push(Problem::new(names::MANIFEST, None, "the file is missing"));
            return Ok(found);
        }
        Err(error) if error.kind() == crate::error::ErrorKind::CorruptStore => {
            found.problems.push(Problem::new(names::MANIFEST, None, error.to_string()));
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for name in &files {
        if let Some(id) = names::segment_id(name)
            && !manifest.segments.iter().any(|entry| entry.id == id)
            && !manifest.retired.contains(&id)
        {
            let what = format!("it is not listed in {}", names::MANIFEST);
            found.problems.push(Problem::new(name, None, what));
        }
    }
    for entry in &manifest.segments {
        verify_segment(disk, dir, &manifest, entry, &files, &mut found)
            .map_err(|error| io_error(operation, &dir.join(names::segment(entry.id)), error))?;
    }
    Ok(found)
}

fn verify_segment(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    entry: &Entry,
    files: &[String],
    found: &mut Verification,
) -> std::io::Result<()> {
    let name = names::segment(entry.id);
    let mut problem = |offset, what: &str| {
        found.problems.push(Problem::new(&name, offset, what));
    };
    let temporary = names::temporary(&name);
    let present = [&name, &temporary].into_iter().find(|name| files.contains(name));
    let Some(present) = present else {
        problem(None, "the file is missing");
        return Ok(());
    };
    let file = disk.open(&dir.join(present), false)?;
    let len = file.len()?;
    if len < entry.bytes || (entry.sealed && len != entry.bytes) {
        problem(None, &format!("it has {len} bytes and should have {}", entry.bytes));
    }
    match Head::parse(&file.read(0, 48)?) {
        Ok(head) if (head.store, head.id, head.salt) == (manifest.store, entry.id, entry.salt) => {}
        Ok(_) => problem(Some(0), "it belongs to another store or place"),
        Err(Bad::Foreign) => problem(Some(0), "it is not a segment"),
        Err(Bad::Newer(_)) => problem(Some(0), "its format is newer than this release"),
        Err(Bad::Damaged(what)) => problem(Some(0), what),
    }
    let (mut frames, mut scanned) = (Frames::default(), Hints::new());
    let mut tail = Tail { cut: HEAD_BYTES, checked: false, torn: false };
    // The records and deletes of the batch that has not ended yet.
    let mut batch = (0, 0);
    let mut end_batch = |batch: &mut (u64, u64)| {
        let (records, deletes) = std::mem::take(batch);
        found.records += records;
        found.deletes += deletes;
    };
    let mut problems = Vec::new();
    walk(&*file, entry.salt, len, |at, part| {
        if tail.torn {
            return Ok(());
        }
        match part {
            Part::Frame(frame, body) => {
                match frame.kind {
                    Kind::Put => batch.0 += 1,
                    Kind::Delete => batch.1 += 1,
                    Kind::Seal | Kind::Entry => {}
                }
                // A seal has no hint, and whatever else does not parse is a bad part.
                let _ = load::push(&mut scanned, &frame, body, manifest.secret);
                if let Err(what) = frames.add(&frame, body) {
                    problems.push(Problem::new(&name, Some(at), what));
                }
                if !frame.more {
                    end_batch(&mut batch);
                    tail.cut = at + frame.total_bytes();
                }
            }
            Part::Bad { flaw, until, snapshot } => {
                let torn = matches!(flaw, Flaw::Torn(_));
                if torn && tail.is_torn(&*file, entry, at, until, len)? {
                    batch = (0, 0);
                    return Ok(());
                }
                end_batch(&mut batch);
                tail.cut = until;
                let mut problem = Problem::new(&name, Some(at), flaw.to_string());
                problem.snapshot = snapshot;
                problems.push(problem);
            }
        }
        Ok(())
    })?;
    if !tail.torn && frames.within_batch {
        if tail.is_torn(&*file, entry, len, len, len)? {
            batch = (0, 0);
        } else {
            problems.push(Problem::new(&name, None, "the file ends within a batch"));
        }
    }
    end_batch(&mut batch);
    found.problems.append(&mut problems);
    if entry.sealed && !frames.sealed {
        found.problems.push(Problem::new(&name, None, "the seal is missing"));
    }
    if tail.torn {
        // A file that is cut within its head has no torn part behind it.
        found.torn_bytes += len.saturating_sub(tail.cut);
    }
    let hints = names::hints(entry.id);
    if files.contains(&hints) {
        let read = open::read_whole(disk, &dir.join(&hints)).ok();
        let parsed = read.and_then(|read| Hints::parse(&read, entry.salt, manifest.secret));
        match parsed {
            None => {
                let what = "it is damaged, and is made again at the next opening";
                found.problems.push(Problem::new(&hints, None, what));
            }
            Some(parsed) if !parsed.is_start_of(&scanned) => {
                let what = format!("it does not match {name}, and is made again after a repair");
                found.problems.push(Problem::new(&hints, None, what));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What a crash may have left at the end of a segment, by the rule by which a store is opened.
struct Tail {
    /// Where the last whole batch ends.
    cut: u64,
    /// The rule was applied in the middle of the file: once, as that may read all of the rest.
    checked: bool,
    /// Everything from `cut` on was never acknowledged.
    torn: bool,
}

impl Tail {
    /// Whether the bad part from `at` to `until`, and all behind it, is what a crash has left.
    fn is_torn(
        &mut self,
        file: &dyn DiskFile,
        entry: &Entry,
        at: u64,
        until: u64,
        len: u64,
    ) -> std::io::Result<bool> {
        if entry.sealed || at < entry.bytes || (self.checked && until != len) {
            return Ok(false);
        }
        self.checked = true;
        self.torn = reason_to_keep(file, entry.salt, self.cut, len)?.is_none();
        Ok(self.torn)
    }
}

/// A part of a segment.
pub(super) enum Part<'a> {
    Frame(Frame, &'a [u8]),
    /// Bytes that are no frame, up to the next one or the end; or a frame that holds nothing of
    /// use.
    Bad {
        flaw: Flaw,
        until: u64,
        snapshot: Option<(AggregateKey, SnapshotId)>,
    },
}

/// Hands each part of a segment to `each`, beyond any damage too.
pub(super) fn walk(
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
        // The body of a frame that is damaged may still say whose it is.
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

/// Whether the body of a whole frame is what it should be. Its checksum matches, so it was written
/// like that, by whomever.
fn check(kind: Kind, body: &[u8]) -> Result<(), &'static str> {
    match kind {
        // Whole means that its record verifies.
        Kind::Put => Ok(()),
        Kind::Delete => DeleteBody::parse(body).map(|_| ()).ok_or("the delete is not valid"),
        Kind::Seal => Seal::parse(body).map(|_| ()).ok_or("the seal is not valid"),
        Kind::Entry => Err("an entry of a ledger is out of place"),
    }
}

/// The frames of a segment so far, as its seal would tell of them.
pub(super) struct Frames {
    pub(super) seal: Seal,
    /// Whether the last one was a seal that tells of just the frames before it.
    pub(super) sealed: bool,
    within_batch: bool,
}

impl Default for Frames {
    fn default() -> Self {
        let seal = Seal { min_seq: u64::MAX, ..Seal::default() };
        Self { seal, sealed: false, within_batch: false }
    }
}

impl Frames {
    /// Adds the next one. `Err` if it is a seal and does not tell of what is before it.
    pub(super) fn add(&mut self, frame: &Frame, body: &[u8]) -> Result<(), &'static str> {
        let before = (self.sealed, self.within_batch);
        (self.sealed, self.within_batch) = (false, frame.more);
        match frame.kind {
            Kind::Put => self.seal.puts += 1,
            Kind::Delete => self.seal.deletes += 1,
            Kind::Entry => return Err("an entry of a ledger is out of place"),
            Kind::Seal if before != (false, false) => return Err("the seal is out of place"),
            Kind::Seal if Seal::parse(body) != Some(self.seal) => {
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
    let header = Header::parse(body).ok()?;
    let key = AggregateKey::from_parts(header.tenant, header.kind, header.id).ok()?;
    Some((key, SnapshotId { generation: header.generation, version: header.version }))
}
