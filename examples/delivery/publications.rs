//! What clients publish: kept in memory, told to those who listen, and swept.

use std::sync::Arc;
use std::time::Duration;

use snapfold::artifact::MemoryArtifacts;
use snapfold::engine::SystemClock;
use snapfold::publication::StorePublications;
use snapfold::service::http::LiveChanges;
use snapfold::service::publish::{Publisher, UploadKeys, UploadUrls};
use snapfold::{Error, MemoryStore};

/// A publisher whose changes are announced. In a server that is restarted, `FileStore` and
/// `FileArtifacts` would keep what is published.
pub(crate) fn publisher(changes: &LiveChanges) -> Result<Publisher, Error> {
    let publications = Arc::new(StorePublications::new(MemoryStore::new()));
    // Clients send to this server: no storage takes what its URLs would promise.
    let artifacts = Arc::new(MemoryArtifacts::new().without_urls());
    let publisher =
        Publisher::builder(publications, artifacts).observer(changes.clone()).build()?;
    let sweeping = publisher.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let swept = async {
                sweeping.sweep().await?;
                sweeping.collect("").await
            };
            if let Err(error) = swept.await {
                tracing::warn!("{error:#}");
            }
        }
    });
    Ok(publisher)
}

/// Signs the URLs of uploads. The key is made anew, so a URL ends with this process.
pub(crate) fn upload_urls() -> Result<Arc<UploadUrls>, Error> {
    Ok(Arc::new(UploadUrls::new(UploadKeys::generate("1")?, Arc::new(SystemClock::new()))))
}
