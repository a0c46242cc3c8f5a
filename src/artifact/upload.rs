//! [`Upload`], an artifact that is sent straight to the storage, and the URLs for it.

use std::fmt;
use std::time::Duration;

use super::description::Artifact;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// The upload of an artifact straight to the storage, without passing through the application.
///
/// An upload is identified by its tenant, its name and the artifact's id. The caller chooses the
/// name, such as the random id of a publication. Uploads with different names do not affect each
/// other, even if they are of the same artifact. Whoever uses the same name again continues the same
/// upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload<'a> {
    /// The tenant of the artifact.
    pub tenant: &'a str,
    /// The name of the upload.
    pub name: &'a str,
    /// What is going to be uploaded.
    pub artifact: &'a Artifact,
}

impl<'a> Upload<'a> {
    /// The maximum length of a name in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 64;
    /// The longest time for which a URL can be valid: 7 days.
    pub const MAX_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Describes an upload.
    pub const fn new(tenant: &'a str, name: &'a str, artifact: &'a Artifact) -> Self {
        Self { tenant, name, artifact }
    }

    /// Checks the name and the artifact's description. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one of them is invalid.
    pub fn check(&self) -> Result<(), Error> {
        if self.name.len() > Self::MAX_NAME_BYTES {
            let message = format!("a name has at most {} bytes", Self::MAX_NAME_BYTES);
            return Err(Error::new(ErrorKind::InvalidInput, "name an upload", message));
        }
        self.artifact.check()
    }

    /// Checks for how long a URL is to be valid: a second or more, at most
    /// [`MAX_VALIDITY`](Self::MAX_VALIDITY).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for any other time.
    pub fn check_validity(valid_for: Duration) -> Result<(), Error> {
        if (Duration::from_secs(1)..=Self::MAX_VALIDITY).contains(&valid_for) {
            return Ok(());
        }
        let message = "a URL is valid for 1 second to 7 days";
        Err(Error::new(ErrorKind::InvalidInput, "sign a URL", message))
    }
}

/// A URL to which a client sends the content of an artifact, and how it sends it.
///
/// Whoever has the URL can use it. `Debug` does not print its query, which contains the signature.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedUpload {
    /// The method of the request, such as `PUT`.
    pub method: &'static str,
    /// The URL.
    pub url: String,
    /// The headers that the client must send with exactly these values. The client also sends the
    /// length of the content.
    pub headers: Vec<(&'static str, String)>,
    /// Until when the storage accepts the request to begin.
    pub expires_at: Timestamp,
    /// Whether the signature covers a condition that lets the storage accept only one upload. The
    /// storage may ignore the condition, so this is no guarantee: only
    /// [`finish`](super::ArtifactStore::finish) is.
    pub single_use: bool,
}

impl SignedUpload {
    /// Creates a URL for sending content with `PUT`, without headers, which can be used more than
    /// once. For implementers of [`ArtifactStore`](super::ArtifactStore).
    pub fn new(url: impl Into<String>, expires_at: Timestamp) -> Self {
        let url = url.into();
        Self { method: "PUT", url, headers: Vec::new(), expires_at, single_use: false }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets [`single_use`](Self::single_use).
    pub fn single_use(mut self, single_use: bool) -> Self {
        self.single_use = single_use;
        self
    }
}

impl fmt::Debug for SignedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUpload")
            .field("method", &self.method)
            .field("url", &without_query(&self.url))
            .field("headers", &self.headers)
            .field("expires_at", &self.expires_at)
            .field("single_use", &self.single_use)
            .finish()
    }
}

/// A URL from which anybody who has it can read an artifact. `Debug` does not print its query.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedDownload {
    /// The URL, for `GET`.
    pub url: String,
    /// Until when it can be used. `None` if it is public and always valid.
    pub expires_at: Option<Timestamp>,
}

impl SignedDownload {
    /// The maximum length of a file name in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 255;

    /// Checks the validity of a URL ([`Upload::check_validity`]) and the name under which the
    /// content is to be saved. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one of them is invalid: a name is not empty, is not too long,
    /// and contains no control characters.
    pub fn check(valid_for: Duration, file_name: Option<&str>) -> Result<(), Error> {
        let fits = |name: &str| {
            (1..=Self::MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control)
        };
        if file_name.is_none_or(fits) {
            return Upload::check_validity(valid_for);
        }
        let message = format!(
            "a file name has 1 to {} bytes and no control characters",
            Self::MAX_NAME_BYTES
        );
        Err(Error::new(ErrorKind::InvalidInput, "sign a download", message))
    }

    /// Creates a URL. For implementers of [`ArtifactStore`](super::ArtifactStore).
    pub fn new(url: impl Into<String>, expires_at: Option<Timestamp>) -> Self {
        Self { url: url.into(), expires_at }
    }
}

impl fmt::Debug for SignedDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedDownload")
            .field("url", &without_query(&self.url))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_not_printed() {
        let url = "https://example.com/a?X-Amz-Signature=secret";
        let upload = SignedUpload::new(url, Timestamp::MAX);
        let download = SignedDownload::new(url, None);
        for text in [format!("{upload:?}"), format!("{download:?}")] {
            assert!(text.contains("https://example.com/a") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_url_is_valid_for_a_second_to_a_week() {
        for (seconds, valid) in [(0.9, false), (1.0, true), (604_800.0, true), (604_801.0, false)] {
            let valid_for = Duration::from_secs_f64(seconds);
            assert_eq!(Upload::check_validity(valid_for).is_ok(), valid, "{seconds}");
        }
    }
}
