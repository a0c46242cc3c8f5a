//! Closes a store.

use std::sync::atomic::Ordering;

use crate::backend::file::core::Core;
use crate::backend::file::core::log::Log;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::names;
use crate::error::Error;

const OPERATION: &str = "close a store";

impl Core {
    /// Closes the store: removes unused space, syncs, writes the index file of the active segment,
    /// records its length in the manifest, and releases the lock. Does nothing on later calls.
    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        if !self.health.close() {
            return Ok(());
        }
        if self.health.is_read_only() {
            return Ok(());
        }
        let _maintenance = self.maintenance.turn();
        // Running writes are completed first. New ones cannot start any more.
        let mut log = self.log();
        let ended = if self.health.is_poisoned() { Ok(()) } else { self.end(&mut log) };
        self.health.unlock();
        ended
    }

    fn end(&self, log: &mut Log) -> Result<(), Error> {
        if let Some(prepared) = log.next.take() {
            // If the file remains, the next open removes it.
            let _ = self.disk.remove(&prepared.temporary);
        }
        let Some(active) = &log.active else { return Ok(()) };
        let path = self.path(&names::segment(active.segment.id));
        // The extra length is not needed. If this fails, the next open cuts it off.
        let _ = active.segment.file.set_len(active.end);
        active.segment.file.sync().map_err(|error| io_error(OPERATION, &path, error))?;
        active.segment.synced.store(active.end, Ordering::Relaxed);
        self.write_hints(&active.segment, &active.hints);
        let manifest = self.manifest(log, &self.segments.all());
        self.commit_manifest(OPERATION, &manifest)
    }
}
