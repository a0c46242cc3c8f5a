//! [`ApiKeyFile`]: keys in a file.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::api_key::ApiKey;
use super::api_key_store::ApiKeyStore;
use super::key_file::{KeyFile, KeyFileContent};
use crate::blocking::blocking;
use crate::clock::{Clock, SystemClock};
use crate::error::{BoxError, Error};
use crate::timestamp::Timestamp;

const USE: &str = "use the file of API keys";
/// After an error, the file is read again this soon.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Keys in a file, which several processes may share. Clones share what they have read.
///
/// The file is JSON and holds hashes, no secrets: `{"format": 1, "keys": [...]}`, with each key as
/// [`ApiKey`] describes. It has at most 4 MiB, which is about 10,000 keys.
///
/// [`add`](Self::add) and [`revoke`](Self::revoke) replace the file as a whole, and return when the
/// change is durable. A new file has the mode 0600; another mode is kept, the owner and the group
/// are not. Two processes that change the file at the same time wait for each other, through a lock
/// on a file with `.lock` at the end of its name, so that no change is lost. Both need to write to the
/// folder.
///
/// A process sees its own changes at once. Those of others, also of a person with an editor, are seen
/// by requests that begin at least [5 seconds](Self::reread_after) later.
///
/// **A file that cannot be read, or that is damaged, admits nobody**: the keys that it had before may
/// be those that somebody wanted to revoke. Clients get 503, the file is read again after at most a
/// second, and [`Authenticator::authenticate`](super::Authenticator::authenticate) says where the
/// error is. So replace the file with `mv` instead of writing into it.
///
/// ```
/// # async fn admit() -> Result<(), snapfold::Error> {
/// use snapfold::service::http::{ApiKey, ApiKeyFile, Permission, Scope};
///
/// let keys = ApiKeyFile::open("/var/lib/shop/keys.json").await?;
/// let (key, secret) = ApiKey::generate("dashboard", [Scope::new([Permission::Read])])?;
/// let id = key.id.clone();
/// keys.add(key).await?;
/// println!("{secret}");
/// // Later, in any process:
/// keys.revoke(&id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ApiKeyFile {
    file: Arc<KeyFile>,
    clock: Arc<dyn Clock>,
    reread_after: Duration,
    read: Arc<RwLock<LastRead>>,
    /// Held by whoever reads or changes the file, so that what was read earlier never replaces what
    /// was written later.
    turn: Arc<Mutex<()>>,
}

/// What the file contained.
#[derive(Clone)]
struct LastRead {
    content: Result<Arc<KeyFileContent>, Error>,
    /// When the reading began, in monotonic time; `None` for a read that no longer counts.
    began: Option<Duration>,
}

impl ApiKeyFile {
    /// Opens the file. Creates it, without keys, if there is none.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the file is no file of keys; the message
    /// says where it is wrong, and quotes none of its values. [`Store`](crate::ErrorKind::Store) if
    /// it cannot be read or created.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let file = Arc::new(KeyFile(path.into()));
        let opened = Arc::clone(&file);
        let content = blocking(USE, move || {
            opened.create()?;
            opened.read(None)
        })
        .await?;
        let read = LastRead { content: Ok(content), began: None };
        Ok(Self {
            file,
            clock: Arc::new(SystemClock::new()),
            reread_after: Duration::from_secs(5),
            read: Arc::new(RwLock::new(read)),
            turn: Arc::default(),
        })
    }

    /// Sets the clock by which keys expire and the file is read again. The system's by default. Call
    /// it before the first clone.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        // The times of two clocks have nothing in common.
        let read = LastRead { began: None, ..self.last_read() };
        self.read = Arc::new(RwLock::new(read));
        self
    }

    /// Sets after which time a request reads the file again. 5 seconds by default; zero reads it for
    /// each request.
    pub fn reread_after(mut self, time: Duration) -> Self {
        self.reread_after = time;
        self
    }

    /// Adds a key. One with the same id is replaced.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the file is damaged, would be too large,
    /// or the id is not one that [`ApiKey::generate`] makes; then the file stays as it is.
    /// [`Store`](crate::ErrorKind::Store) or [`OutOfSpace`](crate::ErrorKind::OutOfSpace) if it
    /// cannot be written; with [`Retry::Unknown`](crate::Retry::Unknown), the key may have been
    /// added.
    pub async fn add(&self, key: ApiKey) -> Result<(), Error> {
        self.change(move |keys| {
            let key = Arc::new(key);
            match keys.iter_mut().find(|known| known.id == key.id) {
                Some(known) => *known = key,
                None => keys.push(key),
            }
        })
        .await
    }

    /// Revokes a key: requests that begin afterwards are refused by this process, and by others when
    /// they have read the file again. Returns whether there was one.
    ///
    /// # Errors
    /// As [`add`](Self::add). The key is revoked for certain only if there is no error.
    pub async fn revoke(&self, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        self.change(move |keys| {
            let before = keys.len();
            keys.retain(|key| *key.id != *id);
            keys.len() < before
        })
        .await
    }

    /// Reads the file now, and returns its keys in their order. This also shows whether the file is
    /// in order.
    ///
    /// # Errors
    /// As [`open`](Self::open), but a missing file is an error too.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let handle = self.clone();
        blocking(USE, move || {
            let content = handle.reread();
            drop(turn);
            content.map(|content| content.keys.iter().map(|key| ApiKey::clone(key)).collect())
        })
        .await
    }

    /// What the file contained recently enough.
    async fn current(&self) -> Result<Arc<KeyFileContent>, Error> {
        if let Some(content) = self.recent() {
            return content;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Another request may have read it.
        if let Some(content) = self.recent() {
            return content;
        }
        let handle = self.clone();
        blocking(USE, move || {
            let content = handle.reread();
            drop(turn);
            content
        })
        .await
    }

    fn recent(&self) -> Option<Result<Arc<KeyFileContent>, Error>> {
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let for_how_long = match read.content {
            Ok(_) => self.reread_after,
            Err(_) => self.reread_after.min(RETRY_AFTER),
        };
        let age = self.clock.monotonic().saturating_sub(read.began?);
        (age < for_how_long).then(|| read.content.clone())
    }

    /// Reads the file, while it is this handle's turn.
    fn reread(&self) -> Result<Arc<KeyFileContent>, Error> {
        let began = Some(self.clock.monotonic());
        let content = self.file.read(self.last_read().content.ok());
        self.remember(LastRead { content: content.clone(), began });
        content
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<ApiKey>>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let handle = self.clone();
        // It runs to its end even if nobody waits for it any more.
        blocking(USE, move || {
            let began = Some(handle.clock.monotonic());
            let changed = handle.file.change(change);
            let result = match changed {
                Ok((result, content)) => {
                    handle.remember(LastRead { content: Ok(content), began });
                    Ok(result)
                }
                Err(error) => {
                    // What the file contains now is not known, so the next request reads it.
                    handle.remember(LastRead { began: None, ..handle.last_read() });
                    Err(error)
                }
            };
            drop(turn);
            result
        })
        .await
    }

    fn last_read(&self) -> LastRead {
        self.read.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, read: LastRead) {
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

impl fmt::Debug for ApiKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyFile").field("path", &self.file.0).finish_non_exhaustive()
    }
}

#[async_trait]
impl ApiKeyStore for ApiKeyFile {
    async fn find(&self, id: &str) -> Result<Option<Arc<ApiKey>>, BoxError> {
        Ok(self.current().await?.by_id.get(id).cloned())
    }

    fn find_at_once(&self, id: &str) -> Option<Result<Option<Arc<ApiKey>>, BoxError>> {
        let found = self.recent()?.map(|content| content.by_id.get(id).cloned());
        Some(found.map_err(Into::into))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
