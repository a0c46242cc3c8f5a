//! Writes the manifest, which lists the segments of the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Core;
use super::log::Log;
use super::segment::Segment;
use crate::backend::file::disk::write_file;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{Entry, Manifest, names};
use crate::error::Error;

impl Core {
    /// Returns the manifest for these segments, except for retired ones. Those are still open, but
    /// their files may be removed at any moment.
    pub(crate) fn manifest(&self, log: &Log, segments: &[Arc<Segment>]) -> Manifest {
        let segments = segments.iter().filter(|segment| !log.retired.contains(&segment.id));
        let entries = segments.map(|segment| Entry {
            id: segment.id,
            sealed: segment.sealed.load(Ordering::Relaxed),
            salt: segment.salt,
            bytes: log.durable_bytes(segment),
        });
        Manifest {
            store: self.store,
            secret: self.secret,
            next_seq: log.next_seq,
            next_id: self.segments.next_id(),
            segments: entries.collect(),
            retired: log.retired.clone(),
        }
    }

    /// Replaces the manifest on disk with `manifest`. After an error other than [`Retry::Unknown`],
    /// the old manifest is still in force.
    pub(crate) fn commit_manifest(
        &self,
        operation: &'static str,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let path = self.path(names::MANIFEST);
        let temporary = self.path(&names::temporary(names::MANIFEST));
        write_file(&*self.disk, &temporary, &manifest.to_bytes())
            .map_err(|error| io_error(operation, &temporary, error))?;
        self.disk
            .rename(&temporary, &path)
            .and_then(|()| self.disk.sync_dir(self.dir()))
            .map_err(|error| self.health.unknown(operation, &path, error))
    }
}
