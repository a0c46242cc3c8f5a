//! The error type of the crate: [`Error`], its [`ErrorKind`] and [`Retry`].

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A boxed error from another crate or from the application.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// An error: what failed, during which operation, whether a retry can help, and the cause.
///
/// An unusable snapshot is *not* an error. It is a miss, which
/// [`Provenance`](crate::manager::Provenance) reports. An `Error` means that the operation could
/// not return a result: the store or the event source failed, the history is broken, or the request
/// is invalid.
///
/// `{}` prints only this error, on one line; [`source`](StdError::source) returns the cause. `{:#}`
/// also prints the causes, outermost first, separated by `": "`, still on one line. Use `{:#}` for
/// logs. The messages of this crate contain keys, versions and limits, but never states, events,
/// credentials or connection strings. The message of a foreign cause is printed as its author wrote
/// it. Cloning is cheap: it increments a reference count.
///
/// ```
/// use snapfold::{AggregateKey, ErrorKind};
///
/// let error = AggregateKey::new("account", &"x".repeat(70_000)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(!error.is_retryable());
///
/// let error = error.with_source(std::io::Error::other("from the import"));
/// assert_eq!(format!("{error:#}"), format!("{error}: from the import"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<ErrorInner>);

#[derive(Clone)]
struct ErrorInner {
    kind: ErrorKind,
    retry: Retry,
    operation: &'static str,
    message: String,
    /// Shared, so that a clone can have different retry advice and keep the cause.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The maximum number of causes that the alternate form prints. Chains of causes may be cyclic.
const MAX_CAUSES: usize = 16;

/// The category of a failure. Stable, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The requested version is beyond the head of the stream. `latest_known` accepts such
    /// versions.
    BeyondHead,
    /// The event source returned a gap, a duplicate or events out of order.
    BrokenHistory,
    /// What is stored does not allow the request. For example, a different snapshot is already
    /// stored under the same identity (`rebuild` replaces it), the newest snapshot is not the
    /// expected one, or other nodes wrote at the same time. The message says which.
    Conflict,
    /// The store's files or tables are damaged beyond a single snapshot.
    CorruptStore,
    /// The state could not be encoded, the encoded bytes do not decode to the same state, or the
    /// application's own validation refused the state.
    Encode,
    /// The event source failed.
    EventSource,
    /// The operation needs a crate feature that is not compiled in.
    FeatureDisabled,
    /// A key, version, time, option or configuration is invalid. The message says which.
    InvalidInput,
    /// Another process or handle has locked the store.
    Locked,
    /// There is no space or memory left, or a quota is reached.
    OutOfSpace,
    /// The store stopped writing after a failure with an unknown outcome. Reopen the store.
    Poisoned,
    /// The snapshot store failed.
    Store,
    /// A bounded wait timed out.
    Timeout,
    /// The codec cannot represent this type. The message names a codec that can.
    UnsuitableCodec,
    /// The operation is not supported.
    Unsupported,
    /// There is no usable snapshot, and the event source no longer has the events from the
    /// beginning.
    Unrecoverable,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call will fail again until something is changed.
    Never,
    /// The same call may succeed later. Back off, then retry.
    Later,
    /// A write may or may not have happened. Snapshots are immutable, so writing again is safe.
    Unknown,
}

impl Error {
    /// Creates an error of `kind` that occurred during `operation` (a verb phrase such as "put a
    /// snapshot").
    ///
    /// The error is not retryable unless [`with_retry`](Self::with_retry) is called. For
    /// implementers of the crate's traits.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Arc::new(ErrorInner { kind, retry: Retry::Never, operation, message, source: None }))
    }

    /// Sets the cause, replacing any existing one. Earlier clones keep theirs.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.own().source = Some(source.into().into());
        self
    }

    /// Sets the retry advice. Earlier clones keep theirs.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.own().retry = retry;
        self
    }

    /// Returns the contents for modification, and copies them first if clones share them.
    fn own(&mut self) -> &mut ErrorInner {
        Arc::make_mut(&mut self.0)
    }

    /// Returns the category of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what the caller can do about the error.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns whether the same call may succeed later: [`Retry::Later`] or [`Retry::Unknown`].
    pub fn is_retryable(&self) -> bool {
        !matches!(self.0.retry, Retry::Never)
    }

    /// Returns the operation that failed, as a verb phrase.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Creates the error for a failure of the application's event source. An error of this crate
    /// that reports an invalid or unsupported request, or missing events, is returned unchanged.
    /// The retry advice of any other error of this crate is kept.
    pub(crate) fn event_source(operation: &'static str, source: BoxError) -> Self {
        let mut retry = Retry::Later;
        if let Some(error) = source.downcast_ref::<Self>() {
            use ErrorKind::{InvalidInput, Unrecoverable, Unsupported};
            if matches!(error.kind(), InvalidInput | Unrecoverable | Unsupported) {
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
        write!(f, "cannot {}: {}", self.0.operation, self.0.message)?;
        if f.alternate() {
            let causes = std::iter::successors(StdError::source(self), |cause| (*cause).source());
            let mut said = self.0.message.clone();
            for cause in causes.take(MAX_CAUSES) {
                let text = one_line(&cause.to_string());
                // Many messages end with that of their own cause.
                if !text.is_empty() && !said.ends_with(&text) {
                    write!(f, ": {text}")?;
                    said = text;
                }
            }
        }
        Ok(())
    }
}

/// Calls code of the application that only computes. A panic in it is returned as an error, so that
/// nothing of this crate is left half done.
pub(crate) fn contained<T>(call: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(match panic_text(&*panic) {
            Some(text) => format!("it panicked: {text}").into(),
            None => "it panicked".into(),
        })
    })
}

/// Returns the message of a panic, if it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// Joins the message of a foreign error into one line without control characters.
fn one_line(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
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

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn the_alternate_form_prints_the_chain_of_causes_once_and_in_one_line() {
        let disk = Layer("no space\r\nleft\n", None);
        let sync = Layer("sync failed: no space left", Some(Box::new(disk)));
        let write = Layer("write failed", Some(Box::new(sync)));
        let error = Error::new(ErrorKind::Store, "put", "the log is closed").with_source(write);
        assert_eq!(error.to_string(), "cannot put: the log is closed");
        let chain = "cannot put: the log is closed: write failed: sync failed: no space left";
        assert_eq!(format!("{error:#}"), chain);
        let outer = Error::event_source("load", Box::new(error));
        assert_eq!(format!("{outer:#}"), format!("cannot load: the event source failed: {chain}"));
    }

    /// Errors of other crates whose message includes their cause.
    #[cfg(feature = "postgres")]
    #[test]
    fn a_cause_that_another_crate_prints_itself_is_not_printed_twice() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = Error::event_source("load", Box::new(sqlx::Error::from(reset)));
        let text = format!("{error:#}");
        assert_eq!(text.matches("connection reset").count(), 1, "{text}");
        assert!(text.contains("the event source failed: error communicating with"), "{text}");
    }

    #[derive(Debug)]
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("endless")
        }
    }

    impl StdError for Endless {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn a_cause_that_is_its_own_cause_has_an_end() {
        let error = Error::event_source("load", Box::new(Endless));
        assert_eq!(format!("{error:#}"), "cannot load: the event source failed: endless");
    }

    #[test]
    fn a_shared_error_takes_a_cause_and_advice_and_its_clones_stay_as_they_are() {
        let error = Error::event_source("load", "disk gone".into());
        let shared = error.clone();
        let other = error.with_source(Layer("cable cut", None)).with_retry(Retry::Never);
        assert_eq!(format!("{other:#}"), "cannot load: the event source failed: cable cut");
        assert!(other.source().unwrap().is::<Layer>());
        assert!(!other.is_retryable());
        assert_eq!(shared.source().unwrap().to_string(), "disk gone");
        assert!(shared.is_retryable());
        // Changing only the advice keeps the cause.
        let third = shared.clone().with_retry(Retry::Unknown);
        assert_eq!(third.source().unwrap().to_string(), "disk gone");
        assert_eq!((shared.retry(), third.retry()), (Retry::Later, Retry::Unknown));
    }
}
