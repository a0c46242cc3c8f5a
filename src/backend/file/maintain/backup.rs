//! Backup: a consistent copy of an open store.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::{DiskFile, write_all, write_file};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::names;
use crate::backend::file::recover::directory;
use crate::error::{Error, ErrorKind};

const OPERATION: &str = "back up a store";

/// The size of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The number of snapshots in the backup.
    pub snapshots: u64,
    /// The number of files that are hard links to files of the store.
    pub linked: u64,
    /// The number of bytes that were copied.
    pub copied_bytes: u64,
}

impl Core {
    /// Copies the current content of the store to `to`, as a new store. Writers continue;
    /// compaction waits.
    pub(crate) fn backup(&self, to: &Path) -> Result<BackedUp, Error> {
        self.health.check_not_read_only(OPERATION)?;
        self.health.check_open(OPERATION)?;
        let failed = |error| io_error(OPERATION, to, error);
        self.disk.create_dir(to).map_err(failed)?;
        let check_empty = || {
            let files = self.disk.files(to).map_err(failed)?;
            if files.iter().all(|name| name == names::LOCK) {
                return Ok(());
            }
            let message =
                format!("{} is not empty: back up to an empty or new directory", to.display());
            Err(Error::new(ErrorKind::InvalidInput, OPERATION, message))
        };
        check_empty()?;
        // No other process can open the directory or copy into it before the backup is complete.
        let _lock = directory::lock(&*self.disk, to, OPERATION, true)?;
        check_empty()?;
        let _maintenance = self.maintenance.turn();
        // While the log is locked, everything is read at one point in time between two groups.
        let log = self.log();
        let mut segments = self.segments.all();
        segments.retain(|segment| !log.retired.contains(&segment.id));
        let mut manifest = self.manifest(&log, &segments);
        // After a failed sync, the file may contain more data, of unknown state.
        let end = |segment: &Segment| segment.bytes.load(Ordering::Relaxed);
        let active = log.active.as_ref().map(|active| (active.segment.id, end(&active.segment)));
        let snapshots = self.snapshots.load(Ordering::Relaxed);
        drop(log);

        let mut done = BackedUp { snapshots, ..BackedUp::default() };
        manifest.retired.clear();
        for (segment, entry) in segments.iter().zip(&mut manifest.segments) {
            let name = names::segment(segment.id);
            let end = active.filter(|(id, _)| *id == segment.id).map(|(_, end)| end);
            // The active segment may have been sealed since. Only its content at that point is
            // copied.
            let end = end.filter(|_| !entry.sealed);
            entry.bytes = end.unwrap_or(entry.bytes);
            if end.is_none() && self.disk.hard_link(&self.path(&name), &to.join(&name)).is_ok() {
                done.linked += 1;
            } else {
                copy(&*segment.file, self, &to.join(&name), entry.bytes).map_err(failed)?;
                done.copied_bytes += entry.bytes;
            }
            if end.is_none() {
                // The index file only makes opening faster.
                let hints = names::hints(segment.id);
                let _ = self.disk.hard_link(&self.path(&hints), &to.join(&hints));
            }
        }
        write_file(&*self.disk, &to.join(names::MANIFEST), &manifest.to_bytes())
            .and_then(|()| self.disk.sync_dir(to))
            .map_err(failed)?;
        Ok(done)
    }
}

fn copy(from: &dyn DiskFile, core: &Core, to: &Path, len: u64) -> io::Result<()> {
    let to = core.disk.create(to)?;
    let mut at = 0;
    while at < len {
        let wanted = usize::try_from((len - at).min(1 << 20)).unwrap_or(0);
        let bytes = from.read(at, wanted)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all(&*to, at, &mut [IoSlice::new(&bytes)])?;
        at += bytes.len() as u64;
    }
    to.sync()
}
