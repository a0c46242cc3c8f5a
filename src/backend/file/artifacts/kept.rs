//! [`KeptArtifacts`]: the files of artifacts, and what is done with them. Everything here blocks.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::drafts::{ArtifactDraft, ArtifactDrafts};
use super::header::ArtifactHeader;
use super::places::ArtifactPlaces;
use crate::artifact::{ArtifactId, ArtifactOutcome, ListedArtifact};
use crate::backend::file::disk::{Disk, DiskFile, PathKind};
use crate::backend::file::errors::{corrupt, io_error};
use crate::backend::file::format::Bad;
use crate::error::{Error, ErrorKind, Retry};
use crate::store::Page;

const LIST: &str = "list artifacts";
pub(super) const READ: &str = "read an artifact";
pub(super) const PUT: &str = "store an artifact";

/// The files of artifacts in one directory.
#[derive(Debug)]
pub(super) struct KeptArtifacts {
    disk: Arc<dyn Disk>,
    pub(super) places: ArtifactPlaces,
    pub(super) drafts: Arc<ArtifactDrafts>,
}

/// An artifact with its open file.
pub(super) struct KeptArtifact {
    pub(super) header: ArtifactHeader,
    pub(super) file: Arc<dyn DiskFile>,
}

impl KeptArtifacts {
    pub(super) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, Error> {
        let places = ArtifactPlaces::below(root);
        let failed = |error| io_error("open a store of artifacts", root, error);
        let dir = places.drafts();
        disk.create_dir(&dir).and_then(|()| disk.create_dir(&places.all())).map_err(failed)?;
        let drafts = ArtifactDrafts::open(Arc::clone(&disk), dir).map_err(failed)?;
        drafts.collect().map_err(failed)?;
        Ok(Self { disk, places, drafts: Arc::new(drafts) })
    }

    /// Opens the file of an artifact. `None` if it is not stored.
    pub(super) fn find(
        &self,
        place: &Path,
        id: &ArtifactId,
    ) -> Result<Option<KeptArtifact>, Error> {
        for folder in ArtifactPlaces::folders(place).rev() {
            if !self.is_there(folder, PathKind::Dir)? {
                return Ok(None);
            }
        }
        // A pipe must not be opened.
        if !self.is_there(place, PathKind::File)? {
            return Ok(None);
        }
        let Some(file) = found(self.disk.open(place, false), place)? else { return Ok(None) };
        let failed = |error| io_error(READ, place, error);
        let start = file.read(0, ArtifactHeader::BYTES).map_err(failed)?;
        let header = ArtifactHeader::parse(&start).map_err(|bad| damaged(place, bad))?;
        let bytes = file.len().map_err(failed)?.checked_sub(ArtifactHeader::BYTES as u64);
        if header.artifact.id != *id || bytes != Some(header.artifact.size) {
            let why = "the name or the length of the file is not what its header says";
            return Err(damaged(place, Bad::Damaged(why)));
        }
        Ok(Some(KeptArtifact { header, file }))
    }

    /// Returns whether something is at `path`. Fails if it is of another kind.
    fn is_there(&self, path: &Path, kind: PathKind) -> Result<bool, Error> {
        match found(self.disk.look(path), path)? {
            None => Ok(false),
            Some(found) if found == kind => Ok(true),
            Some(_) => {
                let why = "the store did not create what is there, such as a link: remove it";
                Err(corrupt(READ, path, why))
            }
        }
    }

    /// Returns whether the artifact is stored, durably.
    pub(super) fn holds(&self, place: &Path, id: &ArtifactId) -> Result<bool, Error> {
        let is_stored = self.find(place, id)?.is_some();
        if is_stored {
            // Whoever stored it may not have come to that yet.
            self.sync_folders(place)?;
        }
        Ok(is_stored)
    }

    /// Makes a draft whose content was checked the artifact, unless somebody else was faster.
    pub(super) fn publish(
        &self,
        draft: &ArtifactDraft,
        header: &ArtifactHeader,
        place: &Path,
    ) -> Result<ArtifactOutcome, Error> {
        let failed = |error| io_error(PUT, place, error);
        draft.seal(header).map_err(failed)?;
        if let Some(folder) = place.parent() {
            self.disk.create_dir(folder).map_err(failed)?;
        }
        let outcome = match draft.link(place) {
            Ok(()) => ArtifactOutcome::Stored,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // It may have been deleted since. It was stored before that.
                self.find(place, &header.artifact.id)?;
                ArtifactOutcome::Existing
            }
            Err(error) => return Err(failed(error)),
        };
        self.sync_folders(place)?;
        Ok(outcome)
    }

    /// Makes the name of an artifact durable, and those of the folders above it, which another
    /// process may have created just now.
    fn sync_folders(&self, place: &Path) -> Result<(), Error> {
        ArtifactPlaces::folders(place).try_for_each(|folder| {
            let synced = self.disk.sync_dir(folder);
            synced.map_err(|error| io_error(PUT, folder, error).with_retry(Retry::Unknown))
        })
    }

    pub(super) fn delete(&self, place: &Path) -> Result<(), Error> {
        const DELETE: &str = "delete an artifact";
        let failed = |error| io_error(DELETE, place, error);
        match self.disk.remove(place) {
            Ok(()) => {}
            // Whoever deleted it may not have synced that yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let Some(folder) = place.parent() else { return Ok(()) };
        match self.disk.sync_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(error).with_retry(Retry::Unknown))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn list(
        &self,
        tenant: &str,
        after: Option<ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        let mut items: Vec<ListedArtifact> = Vec::new();
        let start = after.map_or(0, |id| {
            let [first, ..] = *id.as_bytes();
            first
        });
        for first in start..=u8::MAX {
            let folder = self.places.folder(tenant, first)?;
            let mut ids = self.ids(&folder, first)?;
            ids.retain(|id| after.is_none_or(|after| *id > after));
            ids.sort_unstable();
            for id in ids {
                if items.len() == limit.max(1) {
                    let last = items.last().map(|last| last.id);
                    return Ok(Page::new(items, last));
                }
                if let Some(kept) = self.find(&folder.join(id.to_string()), &id)? {
                    let size = kept.header.artifact.size;
                    items.push(ListedArtifact::new(id, size, kept.header.stored_at));
                }
            }
        }
        Ok(Page::new(items, None))
    }

    /// Returns the ids of the artifacts in a folder. Files with other names are ignored.
    fn ids(&self, folder: &Path, first: u8) -> Result<Vec<ArtifactId>, Error> {
        if !self.is_there(folder, PathKind::Dir)? {
            return Ok(Vec::new());
        }
        let names = self.disk.files(folder).map_err(|error| io_error(LIST, folder, error))?;
        let ids = names.iter().filter_map(|name| name.parse::<ArtifactId>().ok());
        Ok(ids.filter(|id| id.as_bytes().first() == Some(&first)).collect())
    }
}

/// Returns `None` if there is nothing.
fn found<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(READ, path, error)),
    }
}

/// Returns the error for a file that is not as the store wrote it.
fn damaged(place: &Path, bad: Bad) -> Error {
    let why = match bad {
        Bad::Newer(format) => {
            let message = format!(
                "{}: file format {format} is newer than this release supports: upgrade snapfold",
                place.display()
            );
            return Error::new(ErrorKind::Unsupported, READ, message);
        }
        Bad::Foreign => "the file is not of an artifact",
        Bad::Damaged(why) => why,
    };
    corrupt(READ, place, format!("{why}: delete the artifact, and store it again"))
}

/// Returns the error for content that ends early.
pub(super) fn cut_short(id: &ArtifactId) -> Error {
    let message = format!("the file of the artifact {id} was cut while it was read");
    Error::new(ErrorKind::CorruptStore, READ, message)
}
