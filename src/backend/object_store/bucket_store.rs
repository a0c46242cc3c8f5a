//! [`BucketStore`]: what the calls of a store share.

use std::future::Future;

use super::error::RequestEffect;
use super::known::Memory;
use super::layout::Layout;
use super::open_lists::OpenLists;
use super::options::ObjectStoreOptions;
use super::remote::Remote;
use crate::error::{Error, ErrorKind, Retry};
use crate::key_locks::KeyLocks;

/// What all handles of an open store share.
pub(super) struct BucketStore {
    pub(super) remote: Remote,
    pub(super) layout: Layout,
    pub(super) options: ObjectStoreOptions,
    pub(super) memory: Memory,
    /// Held while an index is changed, so that the tasks of one process do not compete.
    pub(super) locks: KeyLocks,
    pub(super) lists: OpenLists,
}

impl BucketStore {
    /// Refuses a write by a handle that may only read.
    pub(super) fn may_write(&self, operation: &'static str) -> Result<(), Error> {
        if !self.options.read_only {
            return Ok(());
        }
        let message = "the store was opened read-only: open it without read_only";
        Err(Error::new(ErrorKind::Unsupported, operation, message))
    }

    /// Runs a call within the time limit.
    pub(super) async fn within<T>(
        &self,
        operation: &'static str,
        effect: RequestEffect,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if effect == RequestEffect::Write {
            self.may_write(operation)?;
        }
        within(&self.options, operation, effect, call).await
    }
}

/// Runs a call within the time limit of the options.
pub(super) async fn within<T>(
    options: &ObjectStoreOptions,
    operation: &'static str,
    effect: RequestEffect,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // The futures of requests are large.
    let call = Box::pin(call);
    tokio::time::timeout(options.timeout, call).await.unwrap_or_else(|_| {
        let limit = options.timeout;
        let message = format!("the object store did not answer within {limit:?}");
        let retry = match effect {
            RequestEffect::Read => Retry::Later,
            RequestEffect::Write => Retry::Unknown,
        };
        Err(Error::new(ErrorKind::Timeout, operation, message).with_retry(retry))
    })
}
