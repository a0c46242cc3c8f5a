//! Makes written frames durable.

use std::sync::atomic::Ordering;

use super::append::{OPERATION, Written};
use crate::backend::file::config::Durability;
use crate::backend::file::core::Core;
use crate::backend::file::format::names;
use crate::error::{Error, ErrorKind, Retry};

impl Core {
    /// Makes written frames durable. Only one sync runs at a time, because with two, the system may
    /// report a device failure to only one of them.
    pub(super) fn sync(&self, written: &Written) -> Result<(), Error> {
        let segment = &written.segment;
        if self.health.is_poisoned() {
            // The previous sync failed. A new sync could succeed although pages were lost.
            let message =
                "the store stopped before it synced the write: reopen it and check what was stored";
            let error = Error::new(ErrorKind::Poisoned, OPERATION, message);
            return Err(error.with_retry(Retry::Unknown));
        }
        if self.config.durability == Durability::Sync {
            let synced = segment.file.sync();
            let path = || self.path(&names::segment(segment.id));
            synced.map_err(|error| self.health.unknown(OPERATION, &path(), error))?;
            segment.synced.fetch_max(written.end, Ordering::Relaxed);
        }
        segment.bytes.fetch_max(written.end, Ordering::Relaxed);
        Ok(())
    }
}
