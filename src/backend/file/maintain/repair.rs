//! Repair: makes a damaged store usable again, with every record in it that verifies.

use std::io::IoSlice;
use std::path::Path;

use super::examine::{Frames, Part, check_hints, examine, walk};
use crate::backend::file::disk::{Disk, DiskFile, read_whole, write_all};
use crate::backend::file::errors::{bad_file, bad_frame, corrupt, io_error};
use crate::backend::file::format::hints::Hints;
use crate::backend::file::format::{
    Bad, Entry, Frame, HEAD_BYTES, Head, Kind, MAX_SEQ, Manifest, encode_seal, names,
};
use crate::backend::file::problem::Problem;
use crate::backend::file::recover::directory;
use crate::error::{Error, ErrorKind};

const OPERATION: &str = "repair a store";

/// The result of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// The number of records that were kept, live and dead.
    pub kept: u64,
    /// One problem for each record or frame that could not be kept.
    pub problems: Vec<Problem>,
    /// The files that were replaced. `.damaged` was appended to the name of each.
    pub replaced: Vec<String>,
}

/// A segment after the repair.
struct Fixed {
    entry: Entry,
    max_seq: u64,
    /// The salt of the segment as it was found. `hints` is its correct index.
    salt: u64,
    hints: Hints,
}

pub(crate) fn repair(disk: &dyn Disk, dir: &Path) -> Result<RepairReport, Error> {
    let fail = |error| io_error(OPERATION, dir, error);
    let _lock = directory::lock(disk, dir, OPERATION, true)?;
    let mut files = disk.files(dir).map_err(fail)?;
    let mut done = RepairReport::default();
    let old = match directory::read_manifest(disk, dir, &files, OPERATION) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == ErrorKind::CorruptStore => None,
        Err(error) => return Err(error),
    };
    // After a crash, listed segments may still have their temporary names.
    for entry in old.iter().flat_map(|manifest| &manifest.segments) {
        let (name, temporary) =
            (names::segment(entry.id), names::temporary(&names::segment(entry.id)));
        if !files.contains(&name) && files.contains(&temporary) {
            disk.rename(&dir.join(&temporary), &dir.join(&name)).map_err(fail)?;
            files.push(name);
        } else if !files.contains(&name) {
            done.problems.push(Problem::new(&name, None, "the file is missing"));
        }
    }
    if old.is_none() {
        let what = "the manifest was missing or damaged: it was rebuilt from the segments";
        done.problems.push(Problem::new(names::MANIFEST, None, what));
    }
    let mut ids: Vec<_> = files.iter().filter_map(|name| names::segment_id(name)).collect();
    ids.retain(|id| old.as_ref().is_none_or(|old| !old.retired.contains(id)));
    ids.sort_unstable();
    let store = store_of(disk, dir, old.as_ref(), &ids).map_err(fail)?;
    let store = store.ok_or_else(|| {
        corrupt(OPERATION, dir, "the directory does not contain a store: check the path")
    })?;
    let next_id = ids.last().map_or(1, |last| last.saturating_add(1));
    let next_id = next_id.max(old.as_ref().map_or(1, |old| old.next_id));
    let mut manifest = Manifest {
        store,
        secret: old.as_ref().map_or([disk.random(), disk.random()], |old| old.secret),
        next_seq: old.as_ref().map_or(1, |old| old.next_seq),
        next_id,
        segments: Vec::new(),
        retired: Vec::new(),
    };
    let (mut replaced, mut written) = (Vec::new(), Vec::new());
    for id in ids {
        let listed = old.iter().flat_map(|old| &old.segments).find(|entry| entry.id == id);
        if old.is_some() && listed.is_none() {
            let what =
                format!("the segment is not listed in {}: its records were added", names::MANIFEST);
            done.problems.push(Problem::new(&names::segment(id), None, what));
        }
        let fixed = fix(disk, dir, id, listed, old.is_none(), &mut manifest, &mut done)?;
        let is_kept = fixed.as_ref().is_some_and(|fixed| fixed.entry.id == id);
        let hints = names::hints(id);
        if files.contains(&hints) {
            let problem = match &fixed {
                Some(Fixed { salt, hints: scanned, .. }) => {
                    let read = read_whole(disk, &dir.join(&hints)).ok();
                    check_hints(&hints, read, scanned, *salt, manifest.secret)
                }
                None => {
                    Some(Problem::new(&hints, None, "the segment of this index file was set aside"))
                }
            };
            // The next open rebuilds the index file.
            if !is_kept || problem.is_some() {
                disk.remove(&dir.join(&hints)).map_err(fail)?;
            }
            // Without the old manifest, index files cannot be checked.
            done.problems.extend(problem.filter(|_| old.is_some()));
        }
        let Some(fixed) = fixed else { continue };
        manifest.next_seq = manifest.next_seq.max(fixed.max_seq.saturating_add(1)).min(MAX_SEQ);
        if !is_kept {
            replaced.push(id);
            written.push(fixed.entry.id);
        }
        manifest.segments.push(fixed.entry);
    }
    manifest.segments.sort_unstable_by_key(|entry| entry.id);
    if old.as_ref().is_some_and(|old| old.segments == manifest.segments) {
        // Only index files were changed, which just make opening faster.
        return Ok(done);
    }
    manifest.retired = old.map_or_else(Vec::new, |old| old.retired);
    finish(disk, dir, &manifest, &replaced, &written, &mut done).map_err(fail)?;
    Ok(done)
}

/// Commits the manifest, and renames the segments that it no longer lists and the new ones.
fn finish(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    replaced: &[u32],
    written: &[u32],
    done: &mut RepairReport,
) -> std::io::Result<()> {
    // If the repair is interrupted, the next open renames segments with temporary names.
    let temporary = dir.join(names::temporary(names::MANIFEST));
    let mut kept = manifest.clone();
    kept.retired.extend_from_slice(replaced);
    let file = disk.create(&temporary)?;
    write_all(&*file, 0, &mut [IoSlice::new(&kept.to_bytes())])?;
    file.sync()?;
    // The old files are kept for further analysis and not removed as retired segments.
    for id in replaced {
        let name = names::segment(*id);
        disk.rename(&dir.join(&name), &dir.join(format!("{name}{}", names::DAMAGED)))?;
        done.replaced.push(name);
    }
    disk.rename(&temporary, &dir.join(names::MANIFEST))?;
    disk.sync_dir(dir)?;
    for id in written {
        let name = names::segment(*id);
        disk.rename(&dir.join(names::temporary(&name)), &dir.join(&name))?;
    }
    disk.sync_dir(dir)
}

/// Returns the id of the store: from the manifest, or else from the majority of the segments.
fn store_of(
    disk: &dyn Disk,
    dir: &Path,
    old: Option<&Manifest>,
    ids: &[u32],
) -> std::io::Result<Option<[u8; 16]>> {
    if let Some(old) = old {
        return Ok(Some(old.store));
    }
    let mut stores = Vec::new();
    for id in ids {
        let file = disk.open(&dir.join(names::segment(*id)), false)?;
        if let Ok(head) = Head::parse(&file.read(0, 48)?) {
            stores.push(head.store);
        }
    }
    let count = |store: &[u8; 16]| stores.iter().filter(|other| *other == store).count();
    Ok(stores.iter().max_by_key(|store| count(store)).copied())
}

/// Checks one segment, and writes a new one if the segment is damaged or not listed. Returns `None`
/// if it belongs to another store or nothing in it can be read. Fails if it contains records of a
/// newer release. If the manifest is lost (`is_lost`), a valid segment is kept unchanged if it is
/// sealed.
fn fix(
    disk: &dyn Disk,
    dir: &Path,
    id: u32,
    listed: Option<&Entry>,
    is_lost: bool,
    manifest: &mut Manifest,
    done: &mut RepairReport,
) -> Result<Option<Fixed>, Error> {
    let name = names::segment(id);
    let path = dir.join(&name);
    let io = |error| io_error(OPERATION, &path, error);
    let set_aside = || {
        let aside = dir.join(format!("{name}{}", names::DAMAGED));
        disk.rename(&path, &aside).map_err(io)
    };
    let file = disk.open(&path, false).map_err(io)?;
    let len = file.len().map_err(io)?;
    let problems = done.problems.len();
    let head = file.read(0, 48).map_err(io)?;
    let salt = match Head::parse(&head) {
        Ok(head) if head.store != manifest.store => {
            let what = "the segment belongs to another store: it was set aside unchanged";
            done.problems.push(Problem::new(&name, Some(0), what));
            set_aside()?;
            return Ok(None);
        }
        Ok(head) => {
            if head.id != id {
                let what = "the segment was created with another file name";
                done.problems.push(Problem::new(&name, Some(0), what));
            } else if listed.is_some_and(|entry| entry.salt != head.salt) {
                let what = format!("this is not the segment that is listed in {}", names::MANIFEST);
                done.problems.push(Problem::new(&name, Some(0), what));
            }
            Some(head.salt)
        }
        // This is not damage: a newer release wrote it, and can read data that this release would
        // drop.
        Err(bad @ Bad::Newer(_)) if Head::is_whole(&head) => {
            return Err(bad_file(OPERATION, &path, bad));
        }
        Err(Bad::Newer(_) | Bad::Foreign | Bad::Damaged(_)) => {
            done.problems.push(Problem::new(&name, Some(0), "the segment head is damaged"));
            listed.map(|entry| entry.salt)
        }
    };
    let Some(salt) = salt else {
        set_aside()?;
        return Ok(None);
    };
    let secret = manifest.secret;
    let examined = examine(&*file, &name, salt, secret, listed).map_err(io)?;
    if let Some((at, flaw)) = examined.newer {
        return Err(bad_frame(OPERATION, &path, at, &flaw));
    }
    done.problems.extend(examined.problems);
    let (seal, hints) = (examined.frames.seal, examined.hints);
    let max_seq = seal.max_seq;
    // Without a manifest, only the seal proves that a segment is complete.
    let entry = listed.copied().or_else(|| {
        let entry = Entry { id, sealed: true, salt, bytes: len };
        (is_lost && examined.frames.sealed).then_some(entry)
    });
    if let Some(entry) = entry
        && done.problems.len() == problems
    {
        done.kept += examined.counts.records;
        return Ok(Some(Fixed { entry, max_seq, salt, hints }));
    }
    done.kept += seal.puts;
    let entry = rewrite(disk, dir, &*file, salt, len, manifest).map_err(io)?;
    Ok(Some(Fixed { entry, max_seq, salt, hints }))
}

/// Copies the valid frames of a segment to a new sealed segment with a temporary name.
fn rewrite(
    disk: &dyn Disk,
    dir: &Path,
    from: &dyn DiskFile,
    salt: u64,
    len: u64,
    manifest: &mut Manifest,
) -> std::io::Result<Entry> {
    let head = Head { store: manifest.store, id: manifest.next_id, salt: disk.random() };
    // The highest number is never assigned to a segment.
    manifest.next_id = manifest.next_id.checked_add(1).ok_or(std::io::ErrorKind::StorageFull)?;
    let to = disk.create(&dir.join(names::temporary(&names::segment(head.id))))?;
    write_all(&*to, 0, &mut [IoSlice::new(&head.to_bytes())])?;
    let mut end = HEAD_BYTES;
    let mut frames = Frames::default();
    walk(from, salt, len, |_, part| {
        let Part::Frame(frame, body) = part else { return Ok(()) };
        if frame.kind == Kind::Seal {
            return Ok(());
        }
        // Each valid frame is kept, even if the rest of its batch is invalid.
        let frame = Frame { more: false, durable_below: end, ..frame };
        // Without a seal among the frames, any order is accepted.
        let _ = frames.add(&frame, body);
        let mut bytes = Vec::new();
        frame.put(body, head.salt, end, &mut bytes);
        write_all(&*to, end, &mut [IoSlice::new(&bytes)])?;
        end += bytes.len() as u64;
        Ok(())
    })?;
    let seal = frames.seal;
    let bytes = encode_seal(seal, seal.max_seq, head.salt, end, end);
    write_all(&*to, end, &mut [IoSlice::new(&bytes)])?;
    to.sync()?;
    Ok(Entry { id: head.id, sealed: true, salt: head.salt, bytes: end + bytes.len() as u64 })
}
