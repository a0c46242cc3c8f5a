//! Converts errors of the crate `object_store` to the crate's [`Error`].

use std::error::Error as StdError;
use std::fmt;

use object_store::Error as ObjectError;

use crate::error::{Error, ErrorKind, Retry};

/// What a request would have changed, for the retry advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEffect {
    Read,
    Write,
}

/// The message of a server or a client, without what may be secret.
#[derive(Debug)]
struct ObjectCause(String);

impl fmt::Display for ObjectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for ObjectCause {}

/// The longest message that is kept of a cause, in bytes: servers answer with whole pages.
const MAX_CAUSE_BYTES: usize = 500;

pub(super) fn failed(operation: &'static str, effect: RequestEffect, error: &ObjectError) -> Error {
    let unknown = match effect {
        RequestEffect::Read => Retry::Later,
        RequestEffect::Write => Retry::Unknown,
    };
    let has_code = |code| error.to_string().contains(&format!("<Code>{code}</Code>"));
    let (kind, retry, message) = match error {
        // S3 and what speaks like it answer 403 to these too.
        ObjectError::PermissionDenied { path, .. }
            if has_code("InvalidAccessKeyId") || has_code("SignatureDoesNotMatch") =>
        {
            (ErrorKind::Store, Retry::Never, unauthenticated(path))
        }
        ObjectError::PermissionDenied { path, .. } => (
            ErrorKind::Store,
            Retry::Never,
            format!("the credentials do not allow this for {path}: change the policy"),
        ),
        ObjectError::Unauthenticated { path, .. } => {
            (ErrorKind::Store, Retry::Never, unauthenticated(path))
        }
        _ if has_code("NoSuchBucket") => {
            let message = "the bucket does not exist: create it, or check its name";
            (ErrorKind::Store, Retry::Never, message.to_owned())
        }
        ObjectError::NotFound { path, .. } => {
            (ErrorKind::Store, Retry::Later, format!("there is no object or bucket for {path}"))
        }
        ObjectError::NotSupported { .. } | ObjectError::NotImplemented { .. } => (
            ErrorKind::Unsupported,
            Retry::Never,
            "the object store does not support this request".to_owned(),
        ),
        _ => (ErrorKind::Store, unknown, "the request to the object store failed".to_owned()),
    };
    Error::new(kind, operation, message).with_retry(retry).with_source(cause(error))
}

fn unauthenticated(path: &str) -> String {
    format!("the server does not accept the credentials for {path}: check them")
}

/// Returns whether a request was refused whatever the object is, so that the same one will be refused
/// again.
pub(super) const fn is_final(error: &ObjectError) -> bool {
    matches!(
        error,
        ObjectError::PermissionDenied { .. }
            | ObjectError::Unauthenticated { .. }
            | ObjectError::NotSupported { .. }
            | ObjectError::NotImplemented { .. }
            | ObjectError::InvalidPath { .. }
            | ObjectError::UnknownConfigurationKey { .. }
    )
}

fn cause(error: &ObjectError) -> ObjectCause {
    let mut text = without_queries(&error.to_string());
    if text.len() > MAX_CAUSE_BYTES {
        let end = (0..=MAX_CAUSE_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
    ObjectCause(text)
}

/// Removes the queries of URLs. Those of signed URLs are credentials.
fn without_queries(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            kept.push(' ');
        }
        match word.split_once('?') {
            Some((url, _)) if url.contains('/') => {
                kept.push_str(url);
                kept.push_str("?...");
            }
            _ => kept.push_str(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_in_urls_and_long_pages_do_not_get_into_messages() {
        let page = "x".repeat(5_000);
        let source = format!("GET https://a.example/b/c?sig=SECRET&x=1 in 3s: what? {page}");
        let error = ObjectError::Generic { store: "S3", source: source.into() };
        let error = failed("put a snapshot", RequestEffect::Write, &error);
        assert_eq!(error.retry(), Retry::Unknown);
        let text = format!("{error:#} {error:?}");
        assert!(!text.contains("SECRET"), "{text}");
        assert!(text.contains("GET https://a.example/b/c?... in 3s: what?"), "{text}");
        assert!(text.len() < 2_000);
    }
}
