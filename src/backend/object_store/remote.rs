//! [`Remote`]: the requests to the object store.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    Error as ObjectError, GetOptions, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};

/// Objects above this length are sent in parts, in bytes.
const MAX_WHOLE_BYTES: usize = 16 << 20;
/// The length of a part, in bytes. S3 takes none below 5 MiB, except for the last one.
const PART_BYTES: usize = 8 << 20;
/// How many parts are sent at the same time.
const PARTS_IN_FLIGHT: usize = 4;

/// An object store, and how it wants its entity tags.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Whether conditions on writes have entity tags without their quotes. Ceph compares them with its own,
    /// which have none.
    pub(super) bare_tags: bool,
}

/// The answer to a read.
#[derive(Debug)]
pub(super) enum ObjectAnswer {
    Missing,
    /// The object has not changed since it was known.
    Unchanged,
    /// The object is longer than the caller allows.
    TooLong,
    Object(Bytes, UpdateVersion),
}

impl Remote {
    /// Reads an object of at most `max_bytes`, unless it is still the `known` one.
    pub(super) async fn read(
        &self,
        path: &Path,
        known: Option<&UpdateVersion>,
        max_bytes: u64,
    ) -> Result<ObjectAnswer, ObjectError> {
        let known = known.and_then(|known| known.e_tag.clone());
        let options = GetOptions { if_none_match: known, ..GetOptions::default() };
        let result = match self.store.get_opts(path, options).await {
            Ok(result) => result,
            Err(ObjectError::NotFound { .. }) => return Ok(ObjectAnswer::Missing),
            Err(ObjectError::NotModified { .. }) => return Ok(ObjectAnswer::Unchanged),
            Err(error) => return Err(error),
        };
        if result.meta.size > max_bytes {
            return Ok(ObjectAnswer::TooLong);
        }
        let version = UpdateVersion {
            e_tag: result.meta.e_tag.clone(),
            version: result.meta.version.clone(),
        };
        // A server can send more than it stated.
        let mut chunks = result.into_stream();
        let first = chunks.try_next().await?.unwrap_or_default();
        let Some(second) = chunks.try_next().await? else {
            return Ok(if first.len() as u64 > max_bytes {
                ObjectAnswer::TooLong
            } else {
                ObjectAnswer::Object(first, version)
            });
        };
        let mut all = BytesMut::from(&*first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            all.extend_from_slice(&chunk);
            if all.len() as u64 > max_bytes {
                return Ok(ObjectAnswer::TooLong);
            }
            next = chunks.try_next().await?;
        }
        Ok(ObjectAnswer::Object(all.freeze(), version))
    }

    /// Writes an object if it still has the given version; `None` if there must be none. Returns its
    /// new version.
    pub(super) async fn write_if(
        &self,
        path: &Path,
        bytes: Bytes,
        there: Option<UpdateVersion>,
    ) -> Result<UpdateVersion, ObjectError> {
        let mode = match there {
            None => PutMode::Create,
            Some(mut version) => {
                if self.bare_tags {
                    version.e_tag = version.e_tag.map(|tag| tag.trim_matches('"').to_owned());
                }
                PutMode::Update(version)
            }
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        Ok(self.store.put_opts(path, PutPayload::from(bytes), options).await?.into())
    }

    /// Writes an object under a name that no other one has. Repetitions write the same bytes.
    pub(super) async fn write_new(&self, path: &Path, bytes: Bytes) -> Result<(), ObjectError> {
        if bytes.len() <= MAX_WHOLE_BYTES {
            return self.store.put(path, PutPayload::from(bytes)).await.map(drop);
        }
        let options = PutMultipartOptions::default();
        let mut upload = self.store.put_multipart_opts(path, options).await?;
        let sent = send_parts(&mut *upload, bytes).await;
        let sent = match sent {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // The parts cost money until a lifecycle rule removes them.
            drop(upload.abort().await);
        }
        sent
    }

    /// Deletes objects, and returns those that are still there. A missing object is deleted.
    pub(super) async fn delete(&self, paths: Vec<Path>) -> Result<(), ObjectError> {
        if let [path] = paths.as_slice() {
            return missing_is_fine(self.store.delete(path).await);
        }
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.store.delete_stream(paths);
        let mut failed = Ok(());
        while let Some(result) = deleted.next().await {
            if let Err(error) = missing_is_fine(result.map(drop)) {
                failed = Err(error);
            }
        }
        failed
    }

    /// Lists the objects below a folder, after `after` (exclusive) if that is given.
    pub(super) fn list(
        &self,
        folder: &Path,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta, ObjectError>> {
        match after {
            Some(after) => self.store.list_with_offset(Some(folder), after),
            None => self.store.list(Some(folder)),
        }
    }
}

async fn send_parts(upload: &mut dyn MultipartUpload, mut bytes: Bytes) -> Result<(), ObjectError> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let part = bytes.split_to(PART_BYTES.min(bytes.len()));
        parts.push(upload.put_part(PutPayload::from(part)));
    }
    stream::iter(parts).buffer_unordered(PARTS_IN_FLIGHT).try_collect::<()>().await
}

fn missing_is_fine(result: Result<(), ObjectError>) -> Result<(), ObjectError> {
    match result {
        Err(ObjectError::NotFound { .. }) => Ok(()),
        result => result,
    }
}
