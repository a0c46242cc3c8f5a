//! Opening a ledger, or creating it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::{Disk, Place, write_file};
use super::super::fault::{bad_file, bad_frame, corrupt, io_error};
use super::super::flaw::Flaw;
use super::super::layout::{Frame, HEAD_BYTES, Kind, unguarded};
use super::super::open::{absolute, lock_file};
use super::super::scan::{Keep, Step, reason_to_keep};
use super::core::{Core, Found, write_manifest};
use super::entry::Entry;
use super::log::{Log, Which, head, parse_head};
use super::manifest::{Known, MANIFEST_BYTES, Manifest};
use super::maps::Maps;
use super::names;
use super::trail::Trail;
use crate::error::Error;

const OPEN: &str = "open a ledger";

/// Opens the ledger in `dir`, or creates it. The log of schedules and statistics is rewritten when
/// it is `slack` bytes longer than twice what counts.
pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, slack: u64) -> Result<Core, Error> {
    let dir = absolute(dir, OPEN)?;
    disk.create_dir(&dir).map_err(|error| io_error(OPEN, &dir, error))?;
    let lock = lock_file(&*disk, &dir.join(names::LOCK), OPEN, true)?;
    let disk = Arc::new(Place::new(disk, dir.clone(), lock));
    let files = disk.files(&dir).map_err(|error| io_error(OPEN, &dir, error))?;
    let there = |name: &str| files.iter().any(|file| file == name);
    for name in names::TEMPORARY.into_iter().filter(|name| there(name)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| io_error(OPEN, &path, error))?;
    }
    let manifest = if there(names::MANIFEST) {
        read_manifest(&*disk, &dir.join(names::MANIFEST))?
    } else {
        for name in [names::AUDIT, names::STATE].into_iter().filter(|name| there(name)) {
            refuse_orphan(&*disk, &dir, name)?;
        }
        create(&*disk, &dir)?
    };
    let (mut trail, mut maps) = (Trail::new(), Maps::default());
    let audit = Opening { disk: &*disk, manifest, which: Which::Audit, known: manifest.audit };
    let audit = audit.log(dir.join(names::AUDIT), |frame, entry| match entry {
        Entry::Audit(_) => {
            trail.push(frame.total_bytes());
            true
        }
        _ => false,
    })?;
    let state = Opening { disk: &*disk, manifest, which: Which::State, known: manifest.state };
    let state = state.log(dir.join(names::STATE), |_, entry| {
        match entry {
            Entry::Mark => {}
            Entry::Fact(fact) => maps.apply(fact),
            Entry::Audit(_) => return false,
        }
        true
    })?;
    // So may the names have been, if a log was written anew and the ledger stopped right after.
    disk.sync_dir(&dir).map_err(|error| io_error(OPEN, &dir, error))?;
    let found = Found { ledger: manifest.ledger, audit, state, trail, maps };
    Ok(Core::new(disk, dir, slack, found))
}

fn read_manifest(disk: &dyn Disk, path: &Path) -> Result<Manifest, Error> {
    // One byte more would be one too many.
    let bytes = disk.open(path, false).and_then(|file| file.read(0, MANIFEST_BYTES + 1));
    let bytes = bytes.map_err(|error| io_error(OPEN, path, error))?;
    Manifest::parse(&bytes).map_err(|bad| bad_file(OPEN, path, bad))
}

/// A log without a manifest may be there if the power failed while the ledger was created, but
/// then it has no entries.
fn refuse_orphan(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), Error> {
    let path = dir.join(name);
    let len = disk.open(&path, false).and_then(|file| file.len());
    if len.map_err(|error| io_error(OPEN, &path, error))? > HEAD_BYTES {
        let why = format!("{} is missing, and {name} has entries", names::MANIFEST);
        return Err(corrupt(OPEN, dir, why));
    }
    Ok(())
}

fn create(disk: &dyn Disk, dir: &Path) -> Result<Manifest, Error> {
    let ledger = (u128::from(disk.random()) | u128::from(disk.random()) << 64).to_le_bytes();
    let log = |which, name| {
        let (path, salt) = (dir.join(name), disk.random());
        write_file(disk, &path, &head(ledger, which, salt))
            .map_err(|error| io_error(OPEN, &path, error))?;
        Ok(Known { salt, bytes: HEAD_BYTES })
    };
    let (audit, state) = (log(Which::Audit, names::AUDIT)?, log(Which::State, names::STATE)?);
    let manifest = Manifest { ledger, audit, state };
    disk.sync_dir(dir).map_err(|error| io_error(OPEN, dir, error))?;
    write_manifest(disk, dir, OPEN, manifest)?;
    Ok(manifest)
}

/// A log that is being opened.
struct Opening<'a> {
    disk: &'a dyn Disk,
    manifest: Manifest,
    which: Which,
    known: Known,
}

impl Opening<'_> {
    /// Reads and checks the log at `path`, cuts off what a crash has left of a write that was never
    /// acknowledged, and refuses what a crash cannot have left. `take` is given every entry, and
    /// tells whether it belongs there.
    fn log(
        &self,
        path: PathBuf,
        mut take: impl FnMut(&Frame, Entry) -> bool,
    ) -> Result<Log, Error> {
        let io = |error| io_error(OPEN, &path, error);
        let refuse = |why: String| Err(corrupt(OPEN, &path, why));
        let file = self.disk.open(&path, true).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(OPEN, &path, "the file is missing"),
            _ => io(error),
        })?;
        let head = file.read(0, 48).map_err(io)?;
        let head = parse_head(&head).map_err(|bad| bad_file(OPEN, &path, bad))?;
        // Schedules and statistics are written anew at times, under another salt.
        let same = head.salt == self.known.salt;
        let own = head.store == self.manifest.ledger && head.id == self.which as u32;
        if !own || !(same || self.which == Which::State) {
            return refuse("the file belongs to another ledger or place".to_owned());
        }
        let durable = if same { self.known.bytes } else { HEAD_BYTES };
        let len = file.len().map_err(io)?;
        if len < durable {
            return refuse(format!("the file has {len} bytes and should have {durable} or more"));
        }
        let mut scanner = Log::scanner(&*file, head.salt, HEAD_BYTES, len);
        let mut next_seq = 1;
        let why = loop {
            let at = scanner.at;
            match scanner.step().map_err(io)? {
                Step::Frame(frame, body) => {
                    let in_order =
                        frame.kind == Kind::Entry && !frame.more && frame.seq == next_seq;
                    let entry = Entry::parse(unguarded(body)).filter(|_| in_order);
                    if !entry.is_some_and(|entry| take(&frame, entry)) {
                        return refuse(format!("damaged at offset {at}: no entry of this log"));
                    }
                    next_seq += 1;
                }
                Step::End => break None,
                Step::Bad(Flaw::Torn(why)) => break Some(why),
                Step::Bad(flaw) => return Err(bad_frame(OPEN, &path, at, &flaw)),
            }
        };
        let end = scanner.at;
        if let Some(why) = why {
            if end < durable {
                return refuse(format!("damaged at offset {end}: {why}"));
            }
            match reason_to_keep(&*file, head.salt, end, len).map_err(io)? {
                Some(Keep::Durable(after)) => {
                    return refuse(format!(
                        "damaged at offset {end}: {why}, and a frame at {after} shows that it had \
                         been whole"
                    ));
                }
                Some(Keep::Newer(after, format)) => {
                    return Err(bad_frame(OPEN, &path, after, &Flaw::Newer(format)));
                }
                None => {}
            }
            file.set_len(end).map_err(io)?;
        }
        // What was read may have been in the system's memory only.
        file.sync().map_err(io)?;
        Ok(Log { file, path, salt: head.salt, end, next_seq })
    }
}
