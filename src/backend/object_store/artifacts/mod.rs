//! [`ObjectStoreArtifacts`]: artifacts in object storage.

mod places;
mod urls;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use object_store::path::Path;
use object_store::{
    Attribute, Error as ObjectError, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore,
    ObjectStoreExt as _,
};

use super::error::{RequestEffect, failed};
use super::pause::Pause;
use crate::artifact::{
    Artifact, ArtifactCapabilities, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore,
    FoundArtifact, ListedArtifact, SignedDownload, SignedUpload, Upload,
};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Retry};
use crate::store::Page;
use crate::timestamp::Timestamp;
use places::Places;
pub use urls::{ObjectUrl, ObjectUrlRules, ObjectUrlSigner};
use writer::ArtifactWriter;

/// The largest object that S3 takes in one request, as an upload is.
const MAX_BYTES: u64 = 5 << 30;
/// S3 takes no more parts of an object.
const MAX_PARTS: u64 = 10_000;

/// How often a delete is repeated that a write overtook.
const MAX_OVERTAKEN: u32 = 8;

/// An [`ArtifactStore`] in S3, Google Cloud Storage, Azure, or what speaks their protocols.
///
/// # Objects
/// `{root}/a/{tenant}/{id}` is an artifact, with its content type. `{root}/u/{tenant}/{upload}/{id}`
/// is what a client sent to a signed URL and nobody has checked yet. Let clients read only the first
/// folder, if any. The root may be that of an `ObjectStoreSnapshots`.
///
/// # How an upload is finished
/// [`finish`](ArtifactStore::finish) reads the upload once, hashes what it reads, and writes the
/// same bytes to the place of the artifact with a request that takes effect after the check. The
/// server does not copy, because a client may replace the upload between the check and the copy: a
/// URL is for a single use only where the server checks that. No condition is needed either, because
/// whoever writes to the place of an artifact writes the same bytes. This is right on every server
/// that stores objects atomically. It costs the application as much traffic in each direction as the
/// upload has bytes, and the memory of one part.
///
/// # Requests
/// | call | requests |
/// |---|---|
/// | `put` | HEAD, PUT; above the size of a part: HEAD, one for each part, and two |
/// | `finish` | the same, and GET and DELETE |
/// | `head`, `delete` | one; a delete that a write overtakes is repeated |
/// | `get` | GET; HEAD for an empty range, both for one beyond the end |
/// | `list` | one LIST for every 1,000 artifacts |
/// | `sweep` | one LIST for every 1,000 uploads, and bulk deletes |
/// | `upload`, `download` | none |
///
/// # Obligations of the server and the bucket
/// - Reads and lists see every completed write. S3, Google Cloud Storage and Azure guarantee this.
/// - Lists are in the order of the names, which S3 Express directory buckets do not guarantee. A
///   list that is seen to be out of order fails with [`ErrorKind::Unsupported`].
/// - Headers of its protocol that were not signed are refused. Amazon S3 does that. Otherwise use
///   [`ObjectUrlRules::Ceph`].
/// - Objects have content types: the `LocalFileSystem` of `object_store` refuses them.
/// - A lifecycle rule removes unfinished multipart uploads (`AbortIncompleteMultipartUpload`). A
///   dropped `put` leaves them.
#[derive(Debug)]
pub struct ObjectStoreArtifacts {
    store: Arc<dyn ObjectStore>,
    places: Places,
    part_bytes: usize,
    signer: Option<(Arc<dyn ObjectUrlSigner>, ObjectUrlRules)>,
    public_at: Option<String>,
    clock: Arc<dyn Clock>,
}

impl ObjectStoreArtifacts {
    /// Creates a store of artifacts below `root`, which may be empty. Makes no request.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the root is not a path or is longer than 300 bytes.
    pub fn new(store: Arc<dyn ObjectStore>, root: &str) -> Result<Self, Error> {
        Ok(Self {
            store,
            places: Places::below(root)?,
            part_bytes: 8 << 20,
            signer: None,
            public_at: None,
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// Signs URLs for uploads and downloads. They lead to the same bucket as the object store.
    pub fn signer(mut self, signer: Arc<dyn ObjectUrlSigner>, rules: ObjectUrlRules) -> Self {
        self.signer = Some((signer, rules));
        self
    }

    /// Returns public URLs instead of signed ones for downloads: `base`, a slash, and the name of
    /// the object. Such a URL works for anybody, and its file name is ignored.
    pub fn public_at(mut self, base: &str) -> Self {
        self.public_at = Some(base.trim_end_matches('/').to_owned());
        self
    }

    /// Sets the size of the parts in which large artifacts are sent: 8 MiB by default. S3 takes no
    /// smaller ones than 5 MiB and no more than 10,000 of them. 0 is treated as 1.
    pub fn part_bytes(mut self, bytes: usize) -> Self {
        self.part_bytes = bytes.max(1);
        self
    }

    /// Takes the times at which URLs expire from `clock`.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn check_size(&self, artifact: &Artifact) -> Result<(), Error> {
        let limit = self.capabilities().max_bytes;
        if artifact.size <= limit {
            return Ok(());
        }
        let message = format!("the artifact is larger than {limit} bytes");
        Err(Error::new(ErrorKind::InvalidInput, "store an artifact", message))
    }

    fn signed_by(&self) -> Result<&(Arc<dyn ObjectUrlSigner>, ObjectUrlRules), Error> {
        self.signer.as_ref().ok_or_else(|| unsupported("the store has no signer"))
    }

    async fn sign(
        &self,
        signer: &dyn ObjectUrlSigner,
        mut url: ObjectUrl<'_>,
    ) -> Result<(String, Timestamp), Error> {
        // Whole seconds are signed. The signer reads its clock later, so the URL is not valid for
        // less than this.
        url.valid_for = Duration::from_secs(url.valid_for.as_secs());
        let now = self.clock.now().as_micros();
        let now = Timestamp::from_micros(now.saturating_sub(now.rem_euclid(1_000_000)));
        let expires_at = now.saturating_add(url.valid_for);
        let url = signer.sign(url).await.map_err(|error| {
            let failed = Error::new(ErrorKind::Store, "sign a URL", "the signer failed");
            failed.with_source(error).with_retry(Retry::Later)
        })?;
        Ok((url, expires_at))
    }

    /// Returns what is known of an object, or `None` if there is none.
    async fn known(&self, place: &Path) -> Result<Option<GetResult>, Error> {
        found(self.store.get_opts(place, GetOptions { head: true, ..GetOptions::default() }).await)
    }

    async fn is_stored(&self, place: &Path) -> Result<bool, Error> {
        Ok(self.known(place).await?.is_some())
    }

    async fn write(
        &self,
        artifact: &Artifact,
        place: &Path,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        let (store, part_bytes) = (&*self.store, self.part_bytes);
        ArtifactWriter { store, artifact, place, part_bytes }.write(content).await
    }

    async fn remove(&self, place: &Path) -> Result<(), Error> {
        let (mut pause, mut left) = (Pause::new(), MAX_OVERTAKEN);
        loop {
            match self.store.delete(place).await {
                Ok(()) | Err(ObjectError::NotFound { .. }) => return Ok(()),
                Err(error) if left > 0 && is_overtaken(&error) => left -= 1,
                Err(error) => {
                    return Err(failed("delete an object", RequestEffect::Write, &error));
                }
            }
            pause.wait().await;
        }
    }
}

#[async_trait]
impl ArtifactStore for ObjectStoreArtifacts {
    fn capabilities(&self) -> ArtifactCapabilities {
        let signs = self.signer.is_some();
        ArtifactCapabilities::new("object store")
            .durable(true)
            .signs_uploads(signs)
            .signs_downloads(signs || self.public_at.is_some())
            .max_bytes(MAX_BYTES.min(MAX_PARTS.saturating_mul(self.part_bytes as u64)))
            .max_tenant_bytes(self.places.max_tenant_bytes() as u64)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        artifact.check()?;
        self.check_size(artifact)?;
        let place = self.places.artifact(tenant, &artifact.id)?;
        if self.is_stored(&place).await? {
            return Ok(ArtifactOutcome::Existing);
        }
        self.write(artifact, &place, content).await
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        let place = self.places.artifact(tenant, id)?;
        Ok(self.known(&place).await?.map(|result| described(*id, &result)))
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        let place = self.places.artifact(tenant, id)?;
        // No artifact is larger, and not every server takes every number.
        let range = range.map(|range| range.start..range.end.min(MAX_BYTES));
        let mut failure = None;
        if range.as_ref().is_none_or(|range| range.start < range.end) {
            let options =
                GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            match self.store.get_opts(&place, options).await {
                // A server refuses a range beyond the end, in ways that differ.
                Err(error) if range.is_some() => failure = Some(error),
                result => return Ok(found(result)?.map(|result| with_content(*id, result))),
            }
        }
        let Some(artifact) = self.head(tenant, id).await? else { return Ok(None) };
        let part = FoundArtifact::clamped(range, artifact.size);
        match failure {
            Some(error) if !part.is_empty() => Err(read_failed(&error)),
            _ => Ok(Some(FoundArtifact::new(artifact, part, stream::empty().boxed()))),
        }
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        self.remove(&self.places.artifact(tenant, id)?).await
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        let folder = self.places.artifacts(tenant)?;
        let mut objects = match after {
            Some(id) => {
                let after = self.places.artifact(tenant, id)?;
                self.store.list_with_offset(Some(&folder), &after)
            }
            None => self.store.list(Some(&folder)),
        };
        let (limit, mut items, mut last) = (limit.max(1), Vec::new(), after.copied());
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| read_failed(&error))?;
            // Somebody else put other objects there.
            let Some(item) = listed(&object) else { continue };
            if last.is_some_and(|last| item.id <= last) {
                return Err(unsupported("the server lists objects without an order"));
            }
            if items.len() == limit {
                return Ok(Page::new(items, last));
            }
            last = Some(item.id);
            items.push(item);
        }
        Ok(Page::new(items, None))
    }

    async fn upload(&self, upload: Upload<'_>, valid_for: Duration) -> Result<SignedUpload, Error> {
        let (signer, rules) = self.signed_by()?;
        upload.check()?;
        Upload::check_validity(valid_for)?;
        self.check_size(upload.artifact)?;
        let path = &self.places.upload(upload)?;
        let (sent, covered) = rules.headers(upload.artifact);
        let headers = if covered { sent.clone() } else { Vec::new() };
        let url = ObjectUrl { method: "PUT", path, valid_for, query: Vec::new(), headers };
        let (url, expires_at) = self.sign(&**signer, url).await?;
        let bare = SignedUpload::new(url, expires_at).single_use(covered);
        Ok(sent.into_iter().fold(bare, |upload, (name, value)| upload.header(name, value)))
    }

    async fn finish(&self, upload: Upload<'_>) -> Result<ArtifactOutcome, Error> {
        upload.check()?;
        let place = self.places.artifact(upload.tenant, &upload.artifact.id)?;
        let sent = self.places.upload(upload)?;
        if self.is_stored(&place).await? {
            self.remove(&sent).await?;
            return Ok(ArtifactOutcome::Existing);
        }
        let Some(result) = found(self.store.get_opts(&sent, GetOptions::default()).await)? else {
            // Another call may have stored the artifact since, which is done before its upload is
            // removed.
            let stored = self.is_stored(&place).await?;
            return Ok(if stored { ArtifactOutcome::Existing } else { ArtifactOutcome::Missing });
        };
        let found = result.meta.size;
        let outcome = if found == upload.artifact.size {
            self.write(upload.artifact, &place, content(result)).await?
        } else {
            ArtifactOutcome::WrongSize { found }
        };
        self.remove(&sent).await?;
        Ok(outcome)
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, Error> {
        let old = self.store.list(Some(&self.places.uploads()?)).try_filter_map(move |object| {
            let is_old = at(&object) < before;
            future::ready(Ok(is_old.then_some(object.location)))
        });
        let (mut removed, mut results) = (0, self.store.delete_stream(old.boxed()));
        while let Some(result) = results.next().await {
            match result {
                Ok(_) => removed += 1,
                // It was finished meanwhile.
                Err(ObjectError::NotFound { .. }) => {}
                Err(error) => return Err(failed("sweep uploads", RequestEffect::Write, &error)),
            }
        }
        Ok(removed)
    }

    async fn download(
        &self,
        tenant: &str,
        id: &ArtifactId,
        valid_for: Duration,
        file_name: Option<&str>,
    ) -> Result<SignedDownload, Error> {
        SignedDownload::check(valid_for, file_name)?;
        let path = &self.places.artifact(tenant, id)?;
        if let Some(base) = &self.public_at {
            return Ok(SignedDownload::new(format!("{base}/{path}"), None));
        }
        let (signer, rules) = self.signed_by()?;
        let saved_as = |name| {
            let unnamed = "the server cannot sign a file name";
            rules.saved_as(name).ok_or_else(|| unsupported(unnamed))
        };
        let query = file_name.map(saved_as).transpose()?.into_iter().collect();
        let url = ObjectUrl { method: "GET", path, valid_for, query, headers: Vec::new() };
        let (url, expires_at) = self.sign(&**signer, url).await?;
        Ok(SignedDownload::new(url, Some(expires_at)))
    }
}

/// Returns whether the server took a request for deletes and refused an object in it. Ceph does so if
/// the object is written at the same time.
fn is_overtaken(error: &ObjectError) -> bool {
    // The type that has the code is private: the text is all there is.
    matches!(error, ObjectError::Generic { .. })
        && error.to_string().contains("DeleteObjects request failed for key")
}

fn read_failed(error: &ObjectError) -> Error {
    failed("read an artifact", RequestEffect::Read, error)
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "use an artifact", message)
}

/// Returns the result of a read, or `None` if there is no such object.
fn found(result: Result<GetResult, ObjectError>) -> Result<Option<GetResult>, Error> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(ObjectError::NotFound { .. }) => Ok(None),
        Err(error) => Err(read_failed(&error)),
    }
}

fn described(id: ArtifactId, result: &GetResult) -> Artifact {
    let artifact = Artifact::new(id, result.meta.size);
    match result.attributes.get(&Attribute::ContentType) {
        Some(content_type) => artifact.content_type(content_type.as_ref()),
        None => artifact,
    }
}

fn with_content(id: ArtifactId, result: GetResult) -> FoundArtifact {
    let (artifact, range) = (described(id, &result), result.range.clone());
    FoundArtifact::new(artifact, range, content(result))
}

fn content(result: GetResult) -> ArtifactContent {
    result.into_stream().map_err(|error| read_failed(&error)).boxed()
}

fn listed(object: &ObjectMeta) -> Option<ListedArtifact> {
    let id = object.location.filename()?.parse().ok()?;
    Some(ListedArtifact::new(id, object.size, at(object)))
}

/// When the object was written, by the clock of the server.
fn at(object: &ObjectMeta) -> Timestamp {
    Timestamp::from_micros(object.last_modified.timestamp_micros())
}
