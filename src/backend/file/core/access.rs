//! [`Access`]: how a store uses its directory.

use std::sync::Arc;

use crate::backend::file::disk::{Disk, LockedDir, ReadOnlyDisk};

/// How a store uses its directory.
pub(crate) enum Access {
    /// For reading and writing, under the lock.
    Locked(Arc<LockedDir>),
    /// For reading only, without a lock.
    ReadOnly(Arc<ReadOnlyDisk>),
}

impl Access {
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        match self {
            Self::Locked(dir) => Arc::clone(dir) as Arc<dyn Disk>,
            Self::ReadOnly(disk) => Arc::clone(disk) as Arc<dyn Disk>,
        }
    }
}
