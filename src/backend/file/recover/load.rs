//! Loads the content of segments when a store is opened, from index files or by scanning.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::scan::{Keep, Scanner, Step, reason_to_keep};
use super::view::busy;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::{Disk, DiskFile, read_whole};
use crate::backend::file::errors::{REPAIR, bad_file, bad_frame, corrupt, io_error};
use crate::backend::file::format::flaw::Flaw;
use crate::backend::file::format::hints::push::push;
use crate::backend::file::format::hints::{Hints, What};
use crate::backend::file::format::{
    Entry, Frame, HEAD_BYTES, Head, Kind, Manifest, SEAL_BYTES, SegmentSeal, names,
};
use crate::error::{Error, ErrorKind};

pub(crate) const OPERATION: &str = "open a store";

/// A segment whose file is open and whose head has been checked.
pub(crate) struct Opened {
    pub(crate) entry: Entry,
    pub(crate) file: Arc<dyn DiskFile>,
}

pub(super) fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
) -> Result<Vec<Opened>, Error> {
    let open = |entry: &Entry| {
        let path = dir.join(names::segment(entry.id));
        let file = disk.open(&path, true).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refusal(&path, "the file is missing"),
            _ => io_error(OPERATION, &path, error),
        })?;
        check_head(&*file, manifest, entry, &path)?;
        Ok(Opened { entry: *entry, file })
    };
    manifest.segments.iter().map(open).collect()
}

/// Fails unless the file is the segment of this entry.
pub(super) fn check_head(
    file: &dyn DiskFile,
    manifest: &Manifest,
    entry: &Entry,
    path: &Path,
) -> Result<(), Error> {
    let head = file.read(0, 48).map_err(|error| io_error(OPERATION, path, error))?;
    let head = Head::parse(&head).map_err(|bad| bad_file(OPERATION, path, bad))?;
    if (head.store, head.id, head.salt) != (manifest.store, entry.id, entry.salt) {
        return Err(refusal(path, "the segment belongs to another store or has another name"));
    }
    Ok(())
}

/// The content of a segment.
pub(crate) struct Loaded<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) hints: Hints,
    /// The end of the frames.
    pub(crate) end: u64,
    pub(crate) sealed: bool,
    pub(crate) seal: SegmentSeal,
    pub(crate) segment: Option<Arc<Segment>>,
    /// Whether the index file contains everything that is in `hints`.
    pub(crate) indexed: bool,
    /// The frames that were found after the part that was durable when the manifest was written, by
    /// their offset. Only for a store that is opened read-only.
    pub(crate) unproven: HashMap<u64, Frame>,
}

/// Loads the segments, several at a time. If `read_only`, nothing is changed, and another process may
/// be writing to the unsealed segment.
pub(super) fn load_all<'a>(
    opened: &'a [Opened],
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    read_only: bool,
) -> Result<Vec<Loaded<'a>>, Error> {
    let threads = threads(manifest.segments.iter().map(|entry| entry.bytes).sum(), opened.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some(opened) = opened.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = load(opened, disk, dir, manifest, read_only);
            results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut loaded = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    loaded.sort_unstable_by_key(|loaded| loaded.opened.entry.id);
    Ok(loaded)
}

fn load<'a>(
    opened: &'a Opened,
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    read_only: bool,
) -> Result<Loaded<'a>, Error> {
    let Opened { entry, file } = opened;
    let path = dir.join(names::segment(entry.id));
    let io = |error| io_error(OPERATION, &path, error);
    let len = file.len().map_err(io)?;
    if len < entry.bytes || (entry.sealed && len != entry.bytes) {
        let why = format!("the file is {len} bytes long instead of {}", entry.bytes);
        return Err(refusal(&path, &why));
    }
    let hints_path = dir.join(names::hints(entry.id));
    let hints = read_whole(disk, &hints_path)
        .ok()
        .and_then(|bytes| Hints::parse(&bytes, entry.salt, manifest.secret))
        .filter(|hints| hints.covered() <= entry.bytes)
        .and_then(|hints| count(&hints).map(|seal| (hints, seal)));
    let from_file = hints.is_some();
    let (mut hints, seal) = hints.unwrap_or((Hints::new(), SegmentSeal::default()));
    if entry.sealed && from_file {
        if entry.bytes.checked_sub(SEAL_BYTES) == Some(hints.covered()) {
            let loaded = Loaded {
                opened,
                hints,
                end: len,
                sealed: true,
                seal,
                segment: None,
                indexed: true,
                unproven: HashMap::new(),
            };
            return Ok(loaded);
        }
        hints = Hints::new();
    }
    let mut unproven = HashMap::new();
    let scanned = if read_only && !entry.sealed {
        scan_beside_writer(&**file, entry, &mut hints, manifest.secret, &path, &mut unproven)?
    } else {
        scan(&**file, entry, &mut hints, len, manifest.secret, &path, None)?
    };
    let seal = count(&hints)
        .ok_or_else(|| refusal(&path, "the segment is longer than the format allows"))?;
    if scanned.sealed.is_some_and(|found| found != seal) {
        return Err(refusal(&path, "the seal does not match the frames before it"));
    }
    if entry.sealed && scanned.sealed.is_none() {
        return Err(refusal(&path, "the seal is missing"));
    }
    if !entry.sealed && !read_only {
        if scanned.end < len {
            file.set_len(scanned.end).map_err(io)?;
        }
        // The data that was read may have been only in the system's memory.
        file.sync().map_err(io)?;
    }
    Ok(Loaded {
        opened,
        end: scanned.end,
        sealed: scanned.sealed.is_some(),
        hints,
        seal,
        segment: None,
        indexed: false,
        unproven,
    })
}

/// Returns how many threads to use for loading `segments` segments with this total size.
pub(crate) fn threads(bytes: u64, segments: usize) -> usize {
    if bytes < 8 << 20 {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(segments).min(8)
}

/// Returns the seal that would match the frames, or `None` if the hints contradict themselves.
fn count(hints: &Hints) -> Option<SegmentSeal> {
    let mut seal = SegmentSeal { min_seq: u64::MAX, ..SegmentSeal::default() };
    hints.read(|hint| {
        seal.min_seq = seal.min_seq.min(hint.seq);
        seal.max_seq = seal.max_seq.max(hint.seq);
        match hint.what {
            What::Put { .. } => seal.puts += 1,
            What::Delete(_) | What::Marks { .. } => seal.others += 1,
        }
    })?;
    Some(seal)
}

struct Scanned {
    end: u64,
    sealed: Option<SegmentSeal>,
}

/// How often a segment is scanned if its writer continues it meanwhile.
const SCANS: usize = 16;

/// Scans the unsealed segment while another process may be writing to it.
///
/// A frame that is read while it is being written looks torn, and a moment later the next frame
/// proves that it was durable. This looks like damage. But what is durable is complete, so another
/// scan gets further, unless it is damage indeed.
fn scan_beside_writer(
    file: &dyn DiskFile,
    entry: &Entry,
    hints: &mut Hints,
    secret: [u64; 2],
    path: &Path,
    unproven: &mut HashMap<u64, Frame>,
) -> Result<Scanned, Error> {
    let (start, mut reached) = (hints.point(), None);
    for _ in 0..SCANS {
        let len = file.len().map_err(|error| io_error(OPERATION, path, error))?;
        unproven.clear();
        match scan(file, entry, hints, len, secret, path, Some(unproven)) {
            Err(error) if error.kind() == ErrorKind::CorruptStore => {
                let covered = Some(hints.covered());
                if covered <= reached {
                    return Err(error);
                }
                reached = covered;
                hints.back_to(start);
            }
            other => return other,
        }
    }
    Err(busy(OPERATION, path.parent().unwrap_or(path)))
}

/// Reads the frames that `hints` does not cover yet, and adds them to it. Those after the part that
/// was durable when the manifest was written are added to `unproven` too.
fn scan(
    file: &dyn DiskFile,
    entry: &Entry,
    hints: &mut Hints,
    len: u64,
    secret: [u64; 2],
    path: &Path,
    mut unproven: Option<&mut HashMap<u64, Frame>>,
) -> Result<Scanned, Error> {
    let io = |error| io_error(OPERATION, path, error);
    let mut scanner = Scanner::new(file, entry.salt, hints.covered(), len);
    // The start of the unfinished batch.
    let mut batch = hints.point();
    let why = loop {
        let at = scanner.at;
        match scanner.step().map_err(io)? {
            Step::Frame(frame, body) if frame.kind == Kind::Seal => {
                let seal = SegmentSeal::parse(body);
                if seal.is_none() || hints.point().covered() != batch.covered() {
                    return Err(refusal(
                        path,
                        &format!("the seal at offset {at} is in the wrong place"),
                    ));
                }
                let end = scanner.at;
                // After a seal, a crash can leave zeros and unacknowledged frames.
                refuse_what_counts(file, entry.salt, end, len, path, |after| {
                    format!("the frame at offset {after} follows the seal at offset {at}")
                })?;
                return Ok(Scanned { end, sealed: seal });
            }
            Step::Frame(frame, body) => {
                let understood = push(hints, &frame, body, secret);
                understood.map_err(|why| refusal(path, &format!("{why} at offset {at}")))?;
                if let Some(unproven) = unproven.as_mut().filter(|_| at >= entry.bytes) {
                    unproven.insert(at, frame);
                }
                if !frame.more {
                    batch = hints.point();
                }
            }
            Step::End if batch.covered() == at => return Ok(Scanned { end: at, sealed: None }),
            Step::End => break "the file ends within a batch",
            Step::Bad(Flaw::Torn(why)) => break why,
            Step::Bad(flaw) => return Err(bad_frame(OPERATION, path, at, &flaw)),
        }
    };
    let (bad, cut) = (scanner.at, batch.covered());
    hints.back_to(batch);
    if entry.sealed || bad < entry.bytes {
        return Err(refusal(path, &format!("damaged at offset {bad} ({why})")));
    }
    refuse_what_counts(file, entry.salt, cut, len, path, |after| {
        format!(
            "damaged at offset {bad} ({why}), but the frame at offset {after} shows it was synced"
        )
    })?;
    Ok(Scanned { end: cut, sealed: None })
}

/// Fails if the data from `cut` on is more than the remains of an unacknowledged write. `why`
/// returns the reason, from the offset of a later frame that proves it.
fn refuse_what_counts(
    file: &dyn DiskFile,
    salt: u64,
    cut: u64,
    len: u64,
    path: &Path,
    why: impl FnOnce(u64) -> String,
) -> Result<(), Error> {
    let keep = reason_to_keep(file, salt, cut, len);
    match keep.map_err(|error| io_error(OPERATION, path, error))? {
        Some(Keep::Durable(after)) => Err(refusal(path, &why(after))),
        Some(Keep::Newer(after, format)) => {
            Err(bad_frame(OPERATION, path, after, &Flaw::Newer(format)))
        }
        None => Ok(()),
    }
}

pub(super) fn refusal(path: &Path, why: &str) -> Error {
    corrupt(OPERATION, path, format!("{why}: {REPAIR}"))
}

// In a segment without frames, the frames end at the end of the head.
const _: () = assert!(HEAD_BYTES.is_multiple_of(8));
