//! [`ArtifactFactory`] and [`ArtifactSite`], which provide the artifact stores under test.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::artifact::{ArtifactStore, SignedDownload, SignedUpload};
use crate::error::BoxError;

/// Creates the sites of artifact stores under test.
#[async_trait]
pub trait ArtifactFactory: Send + Sync {
    /// Creates a new site without artifacts.
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError>;
}

/// A place that holds the data of one artifact store, such as a bucket, and a client of that place.
/// Its clock and that of its stores must be right within a minute.
#[async_trait]
pub trait ArtifactSite: Send + Sync {
    /// Opens the store, as another process would. It may be open already.
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError>;

    /// Sends content to the URL of an upload, as a client would do, and returns whether the storage
    /// accepted it. Only for stores that sign uploads.
    ///
    /// A site may accept more than one upload for a URL that is for a single use, because servers
    /// do.
    async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
        let _ = (upload, content);
        Err("the site cannot send to a URL".into())
    }

    /// Reads the content to which the URL of a download leads, as a client would do. `None` if the
    /// storage refuses. Only for stores that sign downloads.
    async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
        let _ = download;
        Err("the site cannot read from a URL".into())
    }
}
