//! The one error type: [`Error`], its [`ErrorKind`] and [`Retry`].

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Any error of another crate or of the application, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, what was being done, whether trying again can help, and the cause.
///
/// An unusable snapshot is *not* an error: it is a miss that [`Provenance`](crate::Provenance)
/// explains. An `Error` means that the answer itself could not be had: the store or the event
/// source failed, the history is broken, or the request made no sense.
///
/// `Display` says this level only, in one line; [`source`](StdError::source) has the cause. Texts
/// name aggregates, versions and limits, and never hold states, events, credentials or
/// connection strings. Cloning is cheap (a reference count).
///
/// ```
/// use snapfold::{AggregateKey, ErrorKind};
///
/// let error = AggregateKey::new("account", &"x".repeat(70_000)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(!error.is_retryable());
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: &'static str,
    message: String,
    source: Option<BoxError>,
}

/// The sort of failure; stable, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A version beyond the head of the stream was asked for. `latest_known` accepts it.
    BeyondHead,
    /// The event source yielded a gap, a duplicate or events out of order (R5).
    BrokenHistory,
    /// Another snapshot of the same identity is stored already: of another history, or damaged. The
    /// text says how they differ; a repair replaces it.
    Conflict,
    /// The store's own files or tables are damaged, beyond one snapshot.
    CorruptStore,
    /// The state could not be encoded, or what was written does not decode to the same state.
    Encode,
    /// The event source failed.
    EventSource,
    /// The value, the codec or the store needs a crate feature that is not compiled in.
    FeatureDisabled,
    /// A key, version, time, option or configuration makes no sense; the text says which.
    InvalidInput,
    /// The store is held by another process or handle.
    Locked,
    /// No space, no memory or a quota reached.
    OutOfSpace,
    /// The store stopped writing after a failure whose outcome is unknown; reopen it.
    Poisoned,
    /// The snapshot store failed.
    Store,
    /// A bounded wait came to its end.
    Timeout,
    /// The codec cannot carry this type; the text names a codec that can.
    UnsuitableCodec,
    /// The operation is not offered here.
    Unsupported,
    /// No usable snapshot, and the event source no longer has the events from the beginning (R2).
    Unrecoverable,
}

/// What the caller may do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call will fail again until something is changed.
    Never,
    /// The same call may succeed later: back off, then try again.
    Later,
    /// A write may or may not have happened. Snapshots are immutable, so writing again is safe.
    Unknown,
}

impl Error {
    /// An error of `kind` met while doing `operation` (a verb phrase: "put a snapshot"). Not
    /// retryable unless [`with_retry`](Self::with_retry) says so. For implementers of the
    /// crate's traits.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Arc::new(Inner { kind, retry: Retry::Never, operation, message, source: None }))
    }

    /// The same error with `source` as its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        // An error is shared only after it was handed out; its makers hold the only handle.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.source = Some(source.into());
        }
        self
    }

    /// The same error with another advice on trying again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.retry = retry;
        }
        self
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the caller may do about it.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Whether the same call may succeed later: true for [`Retry::Later`] and [`Retry::Unknown`].
    pub fn is_retryable(&self) -> bool {
        !matches!(self.0.retry, Retry::Never)
    }

    /// What was being done, as a verb phrase.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// A failure of the application's event source. One of this crate's errors that says that the
    /// request made no sense, or that events are gone, stays what it is; others keep their advice.
    pub(crate) fn event_source(operation: &'static str, source: BoxError) -> Self {
        let mut retry = Retry::Later;
        if let Some(error) = source.downcast_ref::<Self>() {
            if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unrecoverable) {
                return error.clone();
            }
            retry = error.retry();
        }
        Self::new(ErrorKind::EventSource, operation, "the event source failed")
            .with_source(source)
            .with_retry(retry)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.0.operation, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_and_keeps_its_cause_out_of_its_text() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
        let error = Error::event_source("load", "disk gone".into());
        assert_eq!(error.to_string(), "cannot load: the event source failed");
        assert_eq!(error.source().unwrap().to_string(), "disk gone");
        assert!(error.is_retryable());
    }
}
