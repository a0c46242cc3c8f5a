//! [`blocking`]: runs blocking work for tasks.

use crate::error::{Error, ErrorKind, Retry};

/// Runs `work` where it may block: on the blocking pool of the runtime, or here without a runtime.
/// `operation` names it in the error if the runtime ends first.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    runtime.spawn_blocking(work).await.unwrap_or_else(|join| {
        let error = Error::new(ErrorKind::Store, operation, "the runtime is shutting down");
        Err(error.with_source(join).with_retry(Retry::Unknown))
    })
}
