//! The location of the snapshots.

use std::sync::Arc;

use snapfold::file::FileStore;
use snapfold::{MemoryStore, SnapshotStore};
use tempfile::TempDir;

use crate::args::Store;
use crate::error::Error;

/// An open store, and its cleanup.
pub(crate) struct Place {
    store: Arc<dyn SnapshotStore>,
    shown: String,
    file: Option<FileStore>,
    /// Removed when dropped.
    temporary: Option<TempDir>,
}

impl Place {
    pub(crate) fn open(store: &Store) -> Result<Self, Error> {
        let (directory, shown, temporary) = match store {
            Store::Memory => {
                let (store, shown) = (Arc::new(MemoryStore::new()), "in memory".to_owned());
                return Ok(Self { store, shown, file: None, temporary: None });
            }
            Store::Directory(directory) => {
                let shown = std::path::absolute(directory).unwrap_or(directory.clone());
                (directory.clone(), shown.display().to_string(), None)
            }
            Store::Temporary => {
                let made = tempfile::Builder::new().prefix("git_history-snapshots-").tempdir();
                let made = made.map_err(Error::io("creating a temporary directory"))?;
                let shown = "a temporary directory (--store file:DIR keeps them)".to_owned();
                (made.path().to_owned(), shown, Some(made))
            }
        };
        let file = FileStore::open(directory)?;
        Ok(Self { store: Arc::new(file.clone()), shown, file: Some(file), temporary })
    }

    pub(crate) fn store(&self) -> Arc<dyn SnapshotStore> {
        Arc::clone(&self.store)
    }

    /// The location in the form shown to the user.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    #[cfg(test)]
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.file.as_ref().map(FileStore::dir)
    }

    /// Closes the store, and reports failures.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Self { store, file, temporary, .. } = self;
        drop(store);
        file.map_or(Ok(()), FileStore::close)?;
        match temporary {
            Some(directory) => {
                directory.close().map_err(Error::io("removing a temporary directory"))
            }
            None => Ok(()),
        }
    }
}
