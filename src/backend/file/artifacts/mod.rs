//! [`FileArtifacts`]: artifacts in a directory.

mod drafts;
#[cfg(test)]
mod faults;
mod header;
mod kept;
mod places;
mod writer;

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::artifact::{
    Artifact, ArtifactCapabilities, ArtifactCheck, ArtifactContent, ArtifactId, ArtifactOutcome,
    ArtifactStore, FoundArtifact, ListedArtifact, Upload,
};
use crate::backend::file::disk::{Disk, DiskFile, RealDisk};
use crate::backend::file::errors::io_error;
use crate::blocking::blocking;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::store::Page;
use crate::timestamp::Timestamp;
use header::ArtifactHeader;
use kept::{KeptArtifacts, PUT, READ, cut_short};
use writer::{ArtifactPut, CHUNK_BYTES, gather};

/// An [`ArtifactStore`] in a directory, one file for each artifact. Any number of handles and
/// processes may use one directory at the same time. Clones share one handle.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::artifact::{Artifact, ArtifactStore, in_one_piece};
/// use snapfold::file::FileArtifacts;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("artifacts");
/// let store = FileArtifacts::open(&dir)?;
/// let plot = Artifact::of(b"<svg/>").content_type("image/svg+xml");
/// assert!(store.put("north", &plot, in_one_piece("<svg/>")).await?.is_stored());
/// assert_eq!(store.head("north", &plot.id).await?, Some(plot));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Guarantees
/// - An artifact is synced, together with the names of its file and of the folders above, before
///   anybody is told that it is stored.
/// - Content is written to a file that nobody sees. After it was checked and synced, the file gets
///   its name in one step (a hard link), which fails if there is one already. So the first content
///   type stays, whoever else stores the same.
/// - A crash leaves only such hidden files. They are removed when the directory is opened and by
///   [`sweep`](ArtifactStore::sweep), as soon as the process that wrote them is gone.
/// - Some of the content is in memory: up to 256 KiB and one piece of a stream that is put, and up
///   to 256 KiB of one that is read. Work on the disk never blocks a thread of the runtime.
///
/// # The directory
/// The guide to the [format](crate::guide::format_file_store#artifacts) describes the files. Do not
/// use the directory of a [`FileStore`](super::FileStore). It needs a file system with hard links
/// and file locks: all common local ones have both. What the store did not create is not followed,
/// and is ignored or refused. A file whose header or length was changed is refused with
/// [`CorruptStore`](ErrorKind::CorruptStore): delete the artifact, and store it again. Changes of
/// the content alone are not noticed, because reads do not hash it: compare it with the id.
///
/// Folders that have become empty remain. The store signs no URLs. `sweep` removes what killed
/// processes left, whatever the time, and returns the number of files.
#[derive(Clone, Debug)]
pub struct FileArtifacts {
    kept: Arc<KeptArtifacts>,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
}

impl FileArtifacts {
    /// Opens the store in `dir`, and creates the directory if it does not exist. Blocks.
    ///
    /// # Errors
    /// [`Store`](ErrorKind::Store) or [`OutOfSpace`](ErrorKind::OutOfSpace) if the operating system
    /// fails.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_on(Arc::new(RealDisk), dir.as_ref())
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, Error> {
        let kept = Arc::new(KeptArtifacts::open(disk, dir)?);
        Ok(Self { kept, max_bytes: 5 << 30, clock: Arc::new(SystemClock::new()) })
    }

    /// Sets the maximum size of an artifact in bytes (inclusive): 5 GiB by default.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Takes the times at which artifacts are stored from `clock`.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn place(&self, tenant: &str, id: &ArtifactId) -> Result<PathBuf, Error> {
        self.kept.places.artifact(tenant, id)
    }

    /// Does `work` where it may block.
    async fn with_kept<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&KeptArtifacts) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let kept = Arc::clone(&self.kept);
        blocking(operation, move || work(&kept)).await
    }
}

#[async_trait]
impl ArtifactStore for FileArtifacts {
    fn capabilities(&self) -> ArtifactCapabilities {
        ArtifactCapabilities::new("file").durable(true).max_bytes(self.max_bytes)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        mut content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        artifact.check()?;
        if artifact.size > self.max_bytes {
            let message = format!("the artifact is larger than {} bytes", self.max_bytes);
            return Err(Error::new(ErrorKind::InvalidInput, PUT, message));
        }
        let (place, id) = (self.place(tenant, &artifact.id)?, artifact.id);
        let known = place.clone();
        if self.with_kept(PUT, move |kept| kept.holds(&known, &id)).await? {
            return Ok(ArtifactOutcome::Existing);
        }
        let mut put = ArtifactPut {
            kept: Arc::clone(&self.kept),
            artifact: artifact.clone(),
            place,
            check: ArtifactCheck::of(artifact),
            draft: None,
            clock: Arc::clone(&self.clock),
        };
        let mut left = artifact.size;
        loop {
            let (pieces, bytes, has_ended) = gather(&mut content, left).await?;
            left = left.saturating_sub(bytes);
            match blocking(PUT, move || put.step(&pieces, has_ended)).await? {
                ControlFlow::Continue(next) => put = next,
                ControlFlow::Break(outcome) => return Ok(outcome),
            }
        }
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        let (place, id) = (self.place(tenant, id)?, *id);
        let found = self.with_kept("look for an artifact", move |kept| kept.find(&place, &id));
        Ok(found.await?.map(|found| found.header.artifact))
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        let (place, id) = (self.place(tenant, id)?, *id);
        let found = self.with_kept("get an artifact", move |kept| kept.find(&place, &id)).await?;
        Ok(found.map(|found| {
            let artifact = found.header.artifact;
            let range = FoundArtifact::clamped(range, artifact.size);
            let content = content(found.file, artifact.id, range.clone());
            FoundArtifact::new(artifact, range, content)
        }))
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        let place = self.place(tenant, id)?;
        self.with_kept("delete an artifact", move |kept| kept.delete(&place)).await
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        let (tenant, after) = (tenant.to_owned(), after.copied());
        self.with_kept("list artifacts", move |kept| kept.list(&tenant, after, limit)).await
    }

    async fn finish(&self, upload: Upload<'_>) -> Result<ArtifactOutcome, Error> {
        upload.check()?;
        let id = upload.artifact.id;
        let place = self.place(upload.tenant, &id)?;
        let holds = self.with_kept("finish an upload", move |kept| kept.holds(&place, &id)).await?;
        Ok(if holds { ArtifactOutcome::Existing } else { ArtifactOutcome::Missing })
    }

    async fn sweep(&self, _: Timestamp) -> Result<u64, Error> {
        const SWEEP: &str = "sweep what crashes left";
        self.with_kept(SWEEP, |kept| {
            let dir = kept.places.drafts();
            kept.drafts.collect().map_err(|error| io_error(SWEEP, &dir, error))
        })
        .await
    }
}

/// Reads a part of an artifact, a chunk at a time.
fn content(file: Arc<dyn DiskFile>, id: ArtifactId, range: Range<u64>) -> ArtifactContent {
    let chunks = stream::try_unfold((file, range), move |(file, range)| async move {
        let bytes = range.end.saturating_sub(range.start).min(CHUNK_BYTES);
        if bytes == 0 {
            return Ok(None);
        }
        let (from, wanted) = (range.start, usize::try_from(bytes).unwrap_or(usize::MAX));
        let (file, chunk) = blocking(READ, move || {
            let chunk = file.read(ArtifactHeader::BYTES as u64 + from, wanted);
            let failed = |error| io_error(READ, Path::new(&id.to_string()), error);
            chunk.map(|chunk| (file, chunk)).map_err(failed)
        })
        .await?;
        if chunk.len() < wanted {
            return Err(cut_short(&id));
        }
        Ok(Some((Bytes::from(chunk), (file, from + bytes..range.end))))
    });
    chunks.boxed()
}
