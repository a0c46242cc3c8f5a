//! [`ArtifactStore`]: content beside the snapshots, such as plots, code and records that were built
//! elsewhere.
//!
//! An artifact is immutable and is named by the hash of its content. Each tenant has its own. How an
//! artifact belongs to a snapshot is recorded elsewhere, by its [`ArtifactId`].
//!
//! # Two ways in
//! - [`put`](ArtifactStore::put) passes the content through the application, as a stream.
//! - [`upload`](ArtifactStore::upload) returns a URL with which a client sends the content straight
//!   to the storage. [`finish`](ArtifactStore::finish) then checks it and makes it visible.
//!
//! A server that accepts a signed URL does not necessarily check what was signed: the size, the
//! hash, or the condition that a URL is used only once. A client can therefore send anything, and
//! can send something else while it is being checked. So the URL does not write to the place of the
//! artifact, and `finish` stores exactly the bytes that it has read and checked. The
//! application reads each upload once for that.

mod capabilities;
mod check;
mod content;
mod description;
mod id;
#[cfg(feature = "memory")]
mod memory;
mod outcome;
mod upload;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::store::Page;
use crate::timestamp::Timestamp;

pub use capabilities::ArtifactCapabilities;
pub use check::ArtifactCheck;
pub use content::{ArtifactContent, FoundArtifact, in_one_piece};
pub use description::{Artifact, ListedArtifact};
pub use id::ArtifactId;
#[cfg(feature = "memory")]
pub use memory::MemoryArtifacts;
pub use outcome::ArtifactOutcome;
pub use upload::{SignedDownload, SignedUpload, Upload};

/// Stores artifacts. Object-safe. Any number of nodes may share one store.
///
/// # Obligations on every method
/// Each obligation has an id, which the conformance kit (`conformance::artifacts`) reports.
/// - **A-01** Tenants are isolated: a call for one tenant never returns, counts or changes what
///   another one has, and its result does not depend on that, whatever bytes the names of the
///   tenants contain.
/// - **A-02** `Err` means that the store failed or does not support the request. A missing artifact
///   is `Ok`: `None`, an empty page, [`Missing`](ArtifactOutcome::Missing). No input causes a panic
///   or a hang.
/// - **A-03** A call with a tenant, a description, a name or a time that exceeds its limit fails
///   with [`InvalidInput`](ErrorKind::InvalidInput) and stores nothing. Tenants of up to
///   [`ArtifactCapabilities::max_tenant_bytes`] are accepted.
/// - **A-04** When a call has returned `Ok`, its changes are visible to every call that starts
///   later, on any node, and with [`ArtifactCapabilities::durable`] they survive a crash of the
///   process or of the machine.
/// - **A-05** If a returned future or a stream is dropped, at any time, each artifact is either
///   stored completely or not at all, and the store remains usable.
/// - **A-06** An artifact that is found or listed has the size and the hash of its id. Those of the
///   very bytes that are stored were checked before anybody could see them, whatever clients send
///   meanwhile.
/// - **A-07** [`capabilities`](Self::capabilities) returns the same value on every call.
///
/// # Errors
/// [`Store`](ErrorKind::Store) or a more specific kind. After
/// [`Retry::Unknown`](crate::Retry::Unknown), repeat the call: every method can be repeated.
#[async_trait]
pub trait ArtifactStore: fmt::Debug + Send + Sync {
    /// Returns what this store supports. The value never changes, and the call must be cheap.
    fn capabilities(&self) -> ArtifactCapabilities;

    /// Stores an artifact. Its content passes through the application.
    ///
    /// Whoever knows the hash of a stored artifact gets [`Existing`](ArtifactOutcome::Existing)
    /// without having its content. Where that matters within a tenant, the caller checks whether
    /// the artifact may be referred to.
    ///
    /// # Obligations
    /// - **A-10** Exactly the content with the size and the hash of the description is stored.
    ///   Other content is not, and the outcome is [`WrongSize`](ArtifactOutcome::WrongSize) or
    ///   [`WrongHash`](ArtifactOutcome::WrongHash).
    /// - **A-11** An artifact that is already stored is kept with its content type. The outcome is
    ///   [`Existing`](ArtifactOutcome::Existing), and the content need not be read. If several
    ///   calls store an artifact at the same time, each is told `Stored` or `Existing`, and the
    ///   content type is that of one of them.
    /// - **A-12** If the content ends with an error, the call fails with that error and stores
    ///   nothing.
    /// - **A-13** The memory that the call needs is bounded, whatever the size, unless the store
    ///   itself is in memory. Content that is too long is not read to its end.
    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error>;

    /// Returns the description of a stored artifact.
    ///
    /// # Obligations
    /// - **A-20** The content type is that with which the artifact was stored first.
    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error>;

    /// Returns a stored artifact with its content, or with the bytes in `range`, counted from 0,
    /// with an exclusive end.
    ///
    /// The content is not hashed again.
    ///
    /// # Obligations
    /// - **A-21** The content is returned byte for byte. If the artifact is deleted meanwhile, the
    ///   rest is returned or the content ends with an error.
    /// - **A-22** A range is cut to the bytes that the artifact has
    ///   ([`FoundArtifact::clamped`]), and [`FoundArtifact::range`] says which these are. A range
    ///   without any is not an error.
    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error>;

    /// Deletes an artifact.
    ///
    /// Nothing protects an artifact that somebody has just been told exists. Whoever deletes what
    /// nobody refers to must first wait until a reference could have been recorded.
    ///
    /// # Obligations
    /// - **A-30** After the call has returned, the artifact is neither found nor listed until it is
    ///   stored again. Others are unchanged. Deleting a missing artifact does nothing.
    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error>;

    /// Lists the artifacts of a tenant after the id `after` (exclusive); at most `limit` (0 is
    /// treated as 1).
    ///
    /// # Obligations
    /// - **A-40** The artifacts are in ascending order of their ids, with their sizes.
    ///   [`Page::next`] is the id of the last one if more may follow, otherwise `None`. A page with
    ///   a `next` is never empty. Following `next` lists each artifact that exists the whole time
    ///   exactly once.
    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error>;

    /// Signs a URL with which a client sends the content of an artifact straight to the storage.
    /// The client can begin to use it for `valid_for`, which is at least a second and at most
    /// [`Upload::MAX_VALIDITY`].
    ///
    /// Does not check whether the artifact is already stored: ask [`head`](Self::head) first. The
    /// default implementation is for stores that sign none, and fails with
    /// [`ErrorKind::Unsupported`].
    ///
    /// # Obligations (with [`ArtifactCapabilities::signs_uploads`])
    /// - **A-50** What is sent to the URL is not visible before [`finish`](Self::finish) has
    ///   checked it. The URL is not valid for longer than `valid_for`, and says until when
    ///   ([`SignedUpload::expires_at`]).
    /// - **A-51** Uploads with different names do not affect each other.
    async fn upload(&self, upload: Upload<'_>, valid_for: Duration) -> Result<SignedUpload, Error> {
        let _ = (upload, valid_for);
        Err(Error::new(ErrorKind::Unsupported, "sign an upload", "this store signs no URLs"))
    }

    /// Checks what was uploaded, and makes it a stored artifact if it is right.
    ///
    /// The default implementation is for stores that sign no uploads. It returns whether the
    /// artifact is stored.
    ///
    /// # Obligations
    /// - **A-60** If the artifact is already stored, the outcome is
    ///   [`Existing`](ArtifactOutcome::Existing), whatever was uploaded. So a call can be repeated,
    ///   also concurrently. The outcome is [`Missing`](ArtifactOutcome::Missing) if there is
    ///   neither an artifact nor an upload.
    /// - **A-61** Otherwise the uploaded content is judged as by [`put`](Self::put).
    /// - **A-62** What was uploaded is removed, whatever the outcome. After a wrong one, the client
    ///   can upload again.
    async fn finish(&self, upload: Upload<'_>) -> Result<ArtifactOutcome, Error> {
        upload.check()?;
        let found = self.head(upload.tenant, &upload.artifact.id).await?;
        Ok(found.map_or(ArtifactOutcome::Missing, |_| ArtifactOutcome::Existing))
    }

    /// Removes what was uploaded before the time `before`, by the clock of the store, and was never
    /// finished, for all tenants. Returns how many uploads were removed.
    ///
    /// An upload that is removed while it is being finished is either stored, or missing, or the
    /// call fails and can be repeated. Choose a time well before the URLs that are still valid were
    /// signed. The default implementation is for stores that sign no uploads.
    ///
    /// # Obligations
    /// - **A-70** Removes exactly the uploads that arrived before the time, and never an artifact.
    async fn sweep(&self, before: Timestamp) -> Result<u64, Error> {
        let _ = before;
        Ok(0)
    }

    /// Returns a URL from which a client reads an artifact straight from the storage. If
    /// `file_name` is given and the URL is not public, a browser saves the content under this name
    /// instead of showing it.
    ///
    /// Does not check whether the artifact is stored. The default implementation is for stores that
    /// sign none, and fails with [`ErrorKind::Unsupported`].
    ///
    /// # Obligations (with [`ArtifactCapabilities::signs_downloads`])
    /// - **A-80** The URL gives the content of this artifact, and is not valid for longer than
    ///   `valid_for`, unless it is public ([`SignedDownload::expires_at`]).
    async fn download(
        &self,
        tenant: &str,
        id: &ArtifactId,
        valid_for: Duration,
        file_name: Option<&str>,
    ) -> Result<SignedDownload, Error> {
        let _ = (tenant, id, valid_for, file_name);
        Err(Error::new(ErrorKind::Unsupported, "sign a download", "this store signs no URLs"))
    }
}
