//! Closing a store.

use std::sync::atomic::Ordering;

use crate::backend::file::core::Core;
use crate::backend::file::core::log::Log;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::names;
use crate::error::Error;

const OPERATION: &str = "close a store";

impl Core {
    /// Ends all use: cuts off what was not used, syncs, writes the index file of the active
    /// segment, notes in the manifest how long it is, and gives the lock up. Does nothing the
    /// second time.
    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        if !self.health.close() {
            return Ok(());
        }
        let _maintenance = self.maintenance.turn();
        // Whoever still writes is waited for, though nobody may begin any more.
        let mut log = self.log();
        let ended = if self.health.is_poisoned() { Ok(()) } else { self.end(&mut log) };
        self.health.unlock();
        ended
    }

    fn end(&self, log: &mut Log) -> Result<(), Error> {
        if let Some(prepared) = log.next.take() {
            // If it stays, the next opening removes it.
            let _ = self.disk.remove(&prepared.temporary);
        }
        let Some(active) = &log.active else { return Ok(()) };
        let path = self.path(&names::segment(active.segment.id));
        // What it was lengthened by need not stay; if it does, the next opening cuts it off.
        let _ = active.segment.file.set_len(active.end);
        active.segment.file.sync().map_err(|error| io_error(OPERATION, &path, error))?;
        active.segment.synced.store(active.end, Ordering::Relaxed);
        self.write_hints(&active.segment, &active.hints);
        let manifest = self.manifest(log, &self.segments.all());
        self.commit_manifest(OPERATION, &manifest)
    }
}
