//! [`MemoryArtifacts`]: artifacts in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::ArtifactStore;
use super::capabilities::ArtifactCapabilities;
use super::check::ArtifactCheck;
use super::content::{ArtifactContent, FoundArtifact, in_one_piece};
use super::description::{Artifact, ListedArtifact};
use super::id::ArtifactId;
use super::outcome::ArtifactOutcome;
use super::upload::{SignedDownload, SignedUpload, Upload};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::hex::{hex, unhex};
use crate::key::AggregateKey;
use crate::store::Page;
use crate::timestamp::Timestamp;

/// An [`ArtifactStore`] in memory, for tests and examples. Clones share the same artifacts.
///
/// Its URLs lead to [`receive`](Self::receive) and [`serve`](Self::serve), which stand for the
/// server, so that a test can play the client.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use snapfold::artifact::{Artifact, ArtifactOutcome, ArtifactStore, MemoryArtifacts, Upload};
///
/// let store = MemoryArtifacts::new();
/// let plot = Artifact::of(b"<svg/>").content_type("image/svg+xml");
/// let upload = Upload::new("north", "publication-7", &plot);
/// let signed = store.upload(upload, Duration::from_secs(60)).await?;
/// assert!(store.receive(&signed.url, "<svg/>"));
/// assert_eq!(store.head("north", &plot.id).await?, None);
/// assert_eq!(store.finish(upload).await?, ArtifactOutcome::Stored);
/// assert_eq!(store.head("north", &plot.id).await?, Some(plot));
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryArtifacts {
    held: Arc<Mutex<HeldArtifacts>>,
    clock: Arc<dyn Clock>,
    signs: bool,
}

#[derive(Default)]
struct HeldArtifacts {
    artifacts: BTreeMap<(String, ArtifactId), HeldArtifact>,
    uploads: BTreeMap<Place, HeldUpload>,
}

struct HeldArtifact {
    artifact: Artifact,
    content: Bytes,
    stored_at: Timestamp,
}

/// Where an upload waits: its tenant, its name, and the id of the artifact.
type Place = (String, String, ArtifactId);

struct HeldUpload {
    content: Bytes,
    at: Timestamp,
}

impl MemoryArtifacts {
    /// Creates a store without artifacts.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// Creates a store that takes its times from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { held: Arc::default(), clock, signs: true }
    }

    /// Signs no URLs, so that all content passes through the application. Use it where real clients
    /// send and read artifacts: they cannot do anything with a URL of this store.
    pub fn without_urls(mut self) -> Self {
        self.signs = false;
        self
    }

    fn check_signs(&self, operation: &'static str) -> Result<(), Error> {
        if self.signs {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, operation, "this store signs no URLs"))
    }

    /// Takes content that a client sends to the URL of an upload. Returns `false` if the URL is not
    /// valid, or no longer, or if something was already sent and not finished. As on a real server,
    /// neither the size nor the hash is checked.
    pub fn receive(&self, url: &str, content: impl Into<Bytes>) -> bool {
        let Some((place, expires_at)) = parse_upload(url) else { return false };
        let at = self.clock.now();
        let mut held = self.lock();
        if at > expires_at || held.uploads.contains_key(&place) {
            return false;
        }
        held.uploads.insert(place, HeldUpload { content: content.into(), at });
        true
    }

    /// Returns the content to which the URL of a download leads, or `None` if there is none or the
    /// URL is not valid.
    pub fn serve(&self, url: &str) -> Option<Bytes> {
        let (tenant, id, expires_at) = parse_download(url)?;
        let kept = self.lock().artifacts.get(&(tenant, id)).map(|kept| kept.content.clone());
        kept.filter(|_| self.clock.now() <= expires_at)
    }

    fn lock(&self) -> MutexGuard<'_, HeldArtifacts> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldArtifacts {
    fn has(&self, tenant: &str, id: ArtifactId) -> bool {
        self.artifacts.contains_key(&(tenant.to_owned(), id))
    }

    /// Stores checked content, unless somebody else was faster.
    fn keep(
        &mut self,
        tenant: &str,
        artifact: &Artifact,
        content: Bytes,
        stored_at: Timestamp,
    ) -> ArtifactOutcome {
        if self.has(tenant, artifact.id) {
            return ArtifactOutcome::Existing;
        }
        let kept = HeldArtifact { artifact: artifact.clone(), content, stored_at };
        self.artifacts.insert((tenant.to_owned(), artifact.id), kept);
        ArtifactOutcome::Stored
    }
}

#[async_trait]
impl ArtifactStore for MemoryArtifacts {
    fn capabilities(&self) -> ArtifactCapabilities {
        ArtifactCapabilities::new("memory").signs_uploads(self.signs).signs_downloads(self.signs)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        check_tenant(tenant)?;
        artifact.check()?;
        if artifact.size > self.capabilities().max_bytes {
            return Err(invalid("the artifact is larger than 1 GiB"));
        }
        if self.lock().has(tenant, artifact.id) {
            return Ok(ArtifactOutcome::Existing);
        }
        let collected = collect(artifact, content).await?;
        let stored_at = self.clock.now();
        Ok(match collected {
            Ok(content) => self.lock().keep(tenant, artifact, content, stored_at),
            Err(wrong) => wrong,
        })
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        check_tenant(tenant)?;
        let held = self.lock();
        Ok(held.artifacts.get(&(tenant.to_owned(), *id)).map(|kept| kept.artifact.clone()))
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        check_tenant(tenant)?;
        let held = self.lock();
        Ok(held.artifacts.get(&(tenant.to_owned(), *id)).map(|kept| {
            let range = FoundArtifact::clamped(range, kept.content.len() as u64);
            let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
            let content = kept.content.slice(at(range.start)..at(range.end));
            FoundArtifact::new(kept.artifact.clone(), range, in_one_piece(content))
        }))
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        check_tenant(tenant)?;
        self.lock().artifacts.remove(&(tenant.to_owned(), *id));
        Ok(())
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        check_tenant(tenant)?;
        let start = match after {
            Some(id) => Bound::Excluded((tenant.to_owned(), *id)),
            None => Bound::Included((tenant.to_owned(), ArtifactId::from_bytes([0; 32]))),
        };
        let held = self.lock();
        let mut own = held
            .artifacts
            .range((start, Bound::Unbounded))
            .take_while(|((of, _), _)| of == tenant)
            .map(|((_, id), kept)| ListedArtifact::new(*id, kept.artifact.size, kept.stored_at));
        let items: Vec<_> = own.by_ref().take(limit.max(1)).collect();
        let more = own.next().is_some();
        let next = items.last().filter(|_| more).map(|last| last.id);
        Ok(Page::new(items, next))
    }

    async fn upload(&self, upload: Upload<'_>, valid_for: Duration) -> Result<SignedUpload, Error> {
        self.check_signs("sign an upload")?;
        check_tenant(upload.tenant)?;
        upload.check()?;
        Upload::check_validity(valid_for)?;
        if upload.artifact.size > self.capabilities().max_bytes {
            return Err(invalid("the artifact is larger than 1 GiB"));
        }
        let expires_at = self.clock.now().saturating_add(valid_for);
        let (tenant, name, id) = place(upload);
        let path = [hex(tenant.as_bytes()), hex(name.as_bytes()), id.to_string()].join("/");
        let url = format!("memory:upload/{path}?{}", expires_at.as_micros());
        let signed = SignedUpload::new(url, expires_at).single_use(true);
        Ok(signed.header("content-type", &upload.artifact.content_type))
    }

    async fn finish(&self, upload: Upload<'_>) -> Result<ArtifactOutcome, Error> {
        check_tenant(upload.tenant)?;
        upload.check()?;
        let stored_at = self.clock.now();
        // One step, so that nobody finds neither the upload nor the artifact.
        let mut held = self.lock();
        let arrived = held.uploads.remove(&place(upload));
        if held.has(upload.tenant, upload.artifact.id) {
            return Ok(ArtifactOutcome::Existing);
        }
        let Some(HeldUpload { content, .. }) = arrived else { return Ok(ArtifactOutcome::Missing) };
        let mut check = ArtifactCheck::of(upload.artifact);
        check.update(&content);
        Ok(match check.finish() {
            Ok(()) => held.keep(upload.tenant, upload.artifact, content, stored_at),
            Err(wrong) => wrong,
        })
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, Error> {
        let mut held = self.lock();
        let all = held.uploads.len();
        held.uploads.retain(|_, arrived| arrived.at >= before);
        Ok((all - held.uploads.len()) as u64)
    }

    async fn download(
        &self,
        tenant: &str,
        id: &ArtifactId,
        valid_for: Duration,
        file_name: Option<&str>,
    ) -> Result<SignedDownload, Error> {
        self.check_signs("sign a download")?;
        check_tenant(tenant)?;
        SignedDownload::check(valid_for, file_name)?;
        let expires_at = self.clock.now().saturating_add(valid_for);
        let path = [hex(tenant.as_bytes()), id.to_string()].join("/");
        let url = format!("memory:download/{path}?{}", expires_at.as_micros());
        Ok(SignedDownload::new(url, Some(expires_at)))
    }
}

/// Reads content that must be that of `artifact`, or returns what is wrong with it.
async fn collect(
    artifact: &Artifact,
    mut content: ArtifactContent,
) -> Result<Result<Bytes, ArtifactOutcome>, Error> {
    let (mut check, mut whole) = (ArtifactCheck::of(artifact), BytesMut::new());
    while let Some(piece) = content.next().await {
        let piece = piece?;
        if !check.update(&piece) {
            break;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(check.finish().map(|()| whole.freeze()))
}

fn place(upload: Upload<'_>) -> Place {
    (upload.tenant.to_owned(), upload.name.to_owned(), upload.artifact.id)
}

fn parse_upload(url: &str) -> Option<(Place, Timestamp)> {
    let (path, expires_at) = parse("memory:upload/", url)?;
    let (tenant, rest) = path.split_once('/')?;
    let (name, id) = rest.split_once('/')?;
    Some(((text(tenant)?, text(name)?, id.parse().ok()?), expires_at))
}

fn parse_download(url: &str) -> Option<(String, ArtifactId, Timestamp)> {
    let (path, expires_at) = parse("memory:download/", url)?;
    let (tenant, id) = path.split_once('/')?;
    Some((text(tenant)?, id.parse().ok()?, expires_at))
}

fn parse<'u>(scheme: &str, url: &'u str) -> Option<(&'u str, Timestamp)> {
    let (path, micros) = url.strip_prefix(scheme)?.split_once('?')?;
    Some((path, Timestamp::from_micros(micros.parse().ok()?)))
}

fn text(digits: &str) -> Option<String> {
    String::from_utf8(unhex(digits)?).ok()
}

fn check_tenant(tenant: &str) -> Result<(), Error> {
    if tenant.len() <= AggregateKey::MAX_PART_BYTES {
        return Ok(());
    }
    Err(invalid("the tenant is longer than 65,535 bytes"))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "use an artifact", message)
}

impl Default for MemoryArtifacts {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryArtifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.lock();
        f.debug_struct("MemoryArtifacts")
            .field("artifacts", &held.artifacts.len())
            .field("uploads", &held.uploads.len())
            .finish_non_exhaustive()
    }
}
