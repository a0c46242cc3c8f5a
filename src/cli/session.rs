//! [`CliSession`]: what a command works with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "clouds")]
use super::bucket::{BucketUse, open_bucket};
use super::database::connect;
use super::failure::CliFailure;
use super::output::Screen;
use super::store_url::StoreUrl;
use crate::backend::file::FileStore;
use crate::backend::postgres::{PostgresOptions, PostgresStore};
use crate::key::AggregateKey;
use crate::ledger::{Ledger, StoreLedger};
use crate::manager::{AdminContext, Kinds, SnapshotAdmin};
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;

/// What a command works with: the screen, the store, and the aggregates of an application.
pub(crate) struct CliSession {
    pub(crate) screen: Screen,
    /// Whether to print JSON.
    pub(crate) json: bool,
    pub(crate) now: Timestamp,
    /// The tenant that was asked for.
    pub(crate) tenant: Option<String>,
    pub(crate) context: AdminContext,
    pub(crate) kinds: Kinds,
    pub(crate) options: PostgresOptions,
    /// The URL of the store, if one was given.
    pub(crate) url: Option<String>,
    /// The passwords that no message may contain.
    pub(crate) secrets: Vec<String>,
    pub(crate) opened: Option<OpenStore>,
    /// The second store of a command that moves snapshots.
    pub(crate) second: Option<OpenStore>,
}

/// An open store.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// If it is a store in files that this session has opened.
    pub(crate) file: Option<FileStore>,
}

impl CliSession {
    /// Returns the store, which must exist, to look at it. A store in files is opened read-only, so
    /// another process may have it open.
    pub(crate) async fn store(&mut self) -> Result<OpenStore, CliFailure> {
        self.open(false).await
    }

    /// Returns the store, which must exist, to change it.
    pub(crate) async fn store_to_change(&mut self) -> Result<OpenStore, CliFailure> {
        self.open(true).await
    }

    /// Returns the store, which must exist, to change it or only to look at it.
    pub(crate) async fn open(&mut self, to_change: bool) -> Result<OpenStore, CliFailure> {
        if let Some(opened) = &self.opened {
            return Ok(opened.clone());
        }
        let url = self.url()?;
        let opened = self.open_at(url, to_change).await?;
        self.opened = Some(opened.clone());
        Ok(opened)
    }

    /// Returns a second store, to change it or only to look at it. If its directory is missing or
    /// empty and `or_new` is set, it is made; to look at it, `None` is returned.
    pub(crate) async fn open_second(
        &mut self,
        url: &str,
        to_change: bool,
        or_new: bool,
    ) -> Result<Option<OpenStore>, CliFailure> {
        let url = StoreUrl::parse(url).map_err(CliFailure::Usage)?;
        self.secrets.extend(url.secrets());
        if self
            .url
            .as_deref()
            .and_then(|own| StoreUrl::parse(own).ok())
            .is_some_and(|own| own.is(&url))
        {
            let message = "both URLs are of the same store: name another one";
            return Err(CliFailure::Usage(message.to_owned()));
        }
        let opened = match url {
            StoreUrl::File(dir) if or_new && is_vacant(&dir) => {
                if !to_change {
                    return Ok(None);
                }
                Self::open_file(dir)?
            }
            #[cfg(feature = "clouds")]
            StoreUrl::Bucket(url) if or_new && to_change => {
                self.open_bucket(&url, BucketUse::ChangeOrMake).await?
            }
            url => self.open_at(url, to_change).await?,
        };
        self.second = Some(opened.clone());
        Ok(Some(opened))
    }

    async fn open_at(&self, url: StoreUrl, to_change: bool) -> Result<OpenStore, CliFailure> {
        match url {
            StoreUrl::File(dir) => {
                if !dir.is_dir() {
                    let message =
                        format!("there is no directory {}: check the path", dir.display());
                    return Err(CliFailure::Absent(message));
                }
                if to_change {
                    // Opening a directory would make it a store.
                    FileStore::inspect(&dir)?;
                    Self::open_file(dir)
                } else {
                    Ok(Self::of_file(FileStore::open_read_only(dir)?))
                }
            }
            StoreUrl::Postgres(url) => {
                let store = connect(&url, &self.options).await?;
                store.check().await?;
                Ok(Self::of_postgres(store))
            }
            #[cfg(feature = "clouds")]
            StoreUrl::Bucket(url) => {
                let how = if to_change { BucketUse::Change } else { BucketUse::Look };
                self.open_bucket(&url, how).await
            }
            #[cfg(not(feature = "clouds"))]
            StoreUrl::Bucket(_) => {
                let message =
                    "this build has no object storage: install it with the feature clouds";
                Err(CliFailure::Usage(message.to_owned()))
            }
        }
    }

    /// Returns the store, and makes one in a directory that is missing or empty.
    pub(crate) async fn store_or_new(&mut self) -> Result<OpenStore, CliFailure> {
        if self.opened.is_none()
            && let StoreUrl::File(dir) = self.url()?
            && is_vacant(&dir)
        {
            self.opened = Some(Self::open_file(dir)?);
        }
        #[cfg(feature = "clouds")]
        if self.opened.is_none()
            && let StoreUrl::Bucket(url) = self.url()?
        {
            self.opened = Some(self.open_bucket(&url, BucketUse::ChangeOrMake).await?);
        }
        self.store_to_change().await
    }

    /// Returns where the store is. From then on no message contains its password.
    pub(crate) fn url(&mut self) -> Result<StoreUrl, CliFailure> {
        let Some(url) = &self.url else {
            let message = "no store was given: use --store URL, or set SNAPFOLD_STORE";
            return Err(CliFailure::Usage(message.to_owned()));
        };
        let url = StoreUrl::parse(url).map_err(CliFailure::Usage)?;
        self.secrets.extend(url.secrets());
        Ok(url)
    }

    /// Sets the time limit for a call of a database.
    pub(crate) fn limit(&mut self, seconds: u64) {
        self.options.timeout = Duration::from_secs(seconds);
    }

    fn open_file(dir: PathBuf) -> Result<OpenStore, CliFailure> {
        // Background work would only be interrupted.
        Ok(Self::of_file(FileStore::builder(dir).background(false).open()?))
    }

    fn of_file(file: FileStore) -> OpenStore {
        let ledger = Arc::new(StoreLedger::new(file.clone()));
        OpenStore { store: Arc::new(file.clone()), ledger, file: Some(file) }
    }

    fn of_postgres(store: PostgresStore) -> OpenStore {
        OpenStore { store: Arc::new(store.clone()), ledger: Arc::new(store), file: None }
    }

    #[cfg(feature = "clouds")]
    async fn open_bucket(&self, url: &str, how: BucketUse) -> Result<OpenStore, CliFailure> {
        let store = Box::pin(open_bucket(url, self.options.timeout, how)).await?;
        let ledger = Arc::new(StoreLedger::new(store.clone()));
        Ok(OpenStore { store: Arc::new(store), ledger, file: None })
    }

    /// Closes the stores.
    pub(crate) fn close(&mut self) -> Result<(), CliFailure> {
        let opened = [self.opened.take(), self.second.take()];
        let files = opened.into_iter().flatten().filter_map(|opened| opened.file);
        let closed: Vec<_> = files.map(FileStore::close).collect();
        closed.into_iter().collect::<Result<(), _>>().map_err(CliFailure::from)
    }

    /// Returns the key of an aggregate in the tenant that was asked for, or in the default one.
    pub(crate) fn key(&self, kind: &str, id: &str) -> Result<AggregateKey, CliFailure> {
        Ok(AggregateKey::from_stored(self.tenant.as_deref().unwrap_or_default(), kind, id)?)
    }

    /// Returns the key of an aggregate whose snapshots may be changed: snapfold's own documents may
    /// not.
    pub(crate) fn key_to_change(&self, kind: &str, id: &str) -> Result<AggregateKey, CliFailure> {
        Ok(AggregateKey::from_parts(self.tenant.as_deref().unwrap_or_default(), kind, id)?)
    }

    /// Returns the application's engine of a kind, if there is one.
    pub(crate) fn admin(&self, kind: &str) -> Option<Arc<dyn SnapshotAdmin>> {
        self.kinds.get(kind).cloned()
    }
}

/// Returns whether a directory is missing or empty, so that a store can be made there.
fn is_vacant(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut files| files.next().is_none())
}
