//! [`KeyFile`]: the file of an [`ApiKeyFile`](super::ApiKeyFile) on the disk.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
#[cfg(unix)]
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::api_key::ApiKey;
use super::stored_key::{keys_to_bytes, parse_keys};
use crate::error::{Error, ErrorKind, Retry};
use crate::service::http::replace_file::{replace_file, sync_folder_of};

/// The largest file.
pub(super) const MAX_BYTES: u64 = 4 << 20;

const READ: &str = "read the file of API keys";
const WRITE: &str = "write the file of API keys";

/// A file with keys. Its functions block.
#[derive(Debug)]
pub(super) struct KeyFile(pub(super) PathBuf);

/// What a file contains.
pub(super) struct KeyFileContent {
    bytes: Vec<u8>,
    /// In the order of the file.
    pub(super) keys: Vec<Arc<ApiKey>>,
    pub(super) by_id: HashMap<Arc<str>, Arc<ApiKey>>,
}

impl KeyFileContent {
    fn new(bytes: Vec<u8>, keys: Vec<Arc<ApiKey>>) -> Arc<Self> {
        let by_id = keys.iter().map(|key| (Arc::clone(&key.id), Arc::clone(key))).collect();
        Arc::new(Self { bytes, keys, by_id })
    }
}

impl KeyFile {
    /// Reads the file. If it is the same as `known`, that is returned.
    pub(super) fn read(
        &self,
        known: Option<Arc<KeyFileContent>>,
    ) -> Result<Arc<KeyFileContent>, Error> {
        let bytes = self.read_bytes().map_err(|source| self.failed(READ, source))?;
        if let Some(known) = known.filter(|known| known.bytes == bytes) {
            return Ok(known);
        }
        let keys = parse_keys(&bytes).map_err(|why| {
            let message = format!("the file {} is not used: {why}", self.0.display());
            Error::new(ErrorKind::InvalidInput, READ, message)
        })?;
        Ok(KeyFileContent::new(bytes, keys.into_iter().map(Arc::new).collect()))
    }

    /// Creates the file without keys, unless there is one.
    pub(super) fn create(&self) -> Result<(), Error> {
        let exists = || fs::exists(&self.0).map_err(|source| self.failed(READ, source));
        if exists()? {
            return Ok(());
        }
        let _lock = lock(&self.0).map_err(|source| self.failed(WRITE, source))?;
        // Another process may have been faster.
        if exists()? { Ok(()) } else { self.write(&self.0, &[]).map(|_| ()) }
    }

    /// Changes the keys, durably, and returns what the file contains now. Changes by other processes
    /// come before or after this one, and none is lost.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<ApiKey>>) -> T,
    ) -> Result<(T, Arc<KeyFileContent>), Error> {
        // The name may be a link, which stays.
        let path = fs::canonicalize(&self.0).map_err(|source| self.failed(WRITE, source))?;
        let _lock = lock(&path).map_err(|source| self.failed(WRITE, source))?;
        let before = self.read(None)?;
        let mut keys = before.keys.clone();
        let result = change(&mut keys);
        if keys == before.keys {
            return Ok((result, before));
        }
        Ok((result, self.write(&path, &keys)?))
    }

    fn write(&self, path: &Path, keys: &[Arc<ApiKey>]) -> Result<Arc<KeyFileContent>, Error> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, WRITE, message);
        let bytes = keys_to_bytes(keys.iter().map(AsRef::as_ref))
            .map_err(|source| invalid("the keys are no JSON".to_owned()).with_source(source))?;
        if bytes.len() as u64 > MAX_BYTES {
            let len = bytes.len();
            return Err(invalid(format!("the keys take {len} bytes, above {MAX_BYTES}")));
        }
        // What cannot be read is never written, such as a key with another id.
        parse_keys(&bytes).map_err(invalid)?;
        let replace = || {
            replace_file(path, &bytes, permissions(path)?)?;
            sync_folder_of(path)
        };
        // After an error, the new file may be there.
        replace().map_err(|source| self.failed(WRITE, source).with_retry(Retry::Unknown))?;
        Ok(KeyFileContent::new(bytes, keys.to_vec()))
    }

    fn read_bytes(&self) -> io::Result<Vec<u8>> {
        // A pipe would block, and a device might never end.
        if !fs::metadata(&self.0)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        File::open(&self.0)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(bytes)
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::OutOfSpace,
            _ => ErrorKind::Store,
        };
        let message = format!("the file {} cannot be used", self.0.display());
        Error::new(kind, operation, message).with_source(source).with_retry(Retry::Later)
    }
}

/// Waits until no other process changes the file. The lock ends with the returned file.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let lock = options.open(name)?;
    lock.lock()?;
    Ok(lock)
}

/// Those that the file has, or 0600 for a new one.
fn permissions(path: &Path) -> io::Result<Option<Permissions>> {
    match fs::metadata(path) {
        Ok(known) => Ok(Some(known.permissions())),
        #[cfg(unix)]
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Some(Permissions::from_mode(0o600)))
        }
        #[cfg(not(unix))]
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
