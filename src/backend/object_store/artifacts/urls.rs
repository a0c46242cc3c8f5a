//! What is signed in the URLs of object stores, and who signs them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::path::Path;

use crate::artifact::Artifact;
use crate::error::BoxError;

/// Signs URLs with the credentials of an object store. An application implements it with the
/// `Signer` of its client:
///
/// ```text
/// #[async_trait]
/// impl ObjectUrlSigner for MySigner {
///     async fn sign(&self, url: ObjectUrl<'_>) -> Result<String, BoxError> {
///         let mut options = SignedUrlOptions::new().with_query(url.query);
///         for (name, value) in url.headers {
///             let value = HeaderValue::from_str(&value)?;
///             options = options.with_signed_header(HeaderName::from_static(name), value);
///         }
///         let method = url.method.parse()?;
///         Ok(self.s3.signed_url_opts(method, url.path, url.valid_for, &options).await?.into())
///     }
/// }
/// ```
#[async_trait]
pub trait ObjectUrlSigner: fmt::Debug + Send + Sync {
    /// Returns a URL with which a client that has no credentials makes one kind of request.
    ///
    /// # Errors
    /// Whatever the client of the object store returns. Never leave out something that was to be
    /// signed.
    async fn sign(&self, url: ObjectUrl<'_>) -> Result<String, BoxError>;
}

/// A URL that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectUrl<'a> {
    /// `PUT` or `GET`.
    pub method: &'static str,
    /// The object.
    pub path: &'a Path,
    /// For how long the URL is valid.
    pub valid_for: Duration,
    /// Parameters of the query that the signature covers.
    pub query: Vec<(&'static str, String)>,
    /// Headers, in lower case, that the signature covers. The client must send them with these
    /// values.
    pub headers: Vec<(&'static str, String)>,
}

/// A condition on the source of a copy, which has no meaning for other uploads. With a time before
/// all objects, no source meets it.
const NO_COPY: &str = "x-amz-copy-source-if-unmodified-since";

/// What a family of object stores lets a signature say about an upload.
///
/// None of it is relied on: [`finish`](crate::artifact::ArtifactStore::finish) checks everything.
/// It refuses wrong uploads early, where the server checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectUrlRules {
    /// Amazon S3 and servers with its protocol: the content type, the hash, and the condition that
    /// nothing was uploaded yet.
    S3,
    /// Google Cloud Storage: the content type, the size, and the condition that nothing was
    /// uploaded yet.
    Google,
    /// Ceph, and other servers with the protocol of S3 that accept headers which were not signed.
    /// Amazon S3 refuses those. The same as for [`S3`](Self::S3), and a condition that no copy
    /// meets. Without it, a client could add a header with which the server copies what the client
    /// may not read, such as the artifact of another tenant whose hash it knows.
    Ceph,
    /// Azure: nothing. Clients are asked to send a condition, but need not. A download cannot have
    /// a file name.
    Azure,
}

impl ObjectUrlRules {
    /// The headers that a client sends, and whether the signature covers them.
    pub(super) fn headers(self, artifact: &Artifact) -> (Vec<(&'static str, String)>, bool) {
        let content_type = ("content-type", artifact.content_type.clone());
        let fresh = ("if-none-match", "*".to_owned());
        match self {
            Self::S3 | Self::Ceph => {
                let hash = STANDARD.encode(artifact.id.as_bytes());
                let mut headers = vec![content_type, fresh, ("x-amz-checksum-sha256", hash)];
                if self == Self::Ceph {
                    headers.push((NO_COPY, "Thu, 01 Jan 1970 00:00:00 GMT".to_owned()));
                }
                (headers, true)
            }
            Self::Google => {
                let size = format!("{0},{0}", artifact.size);
                let fresh = ("x-goog-if-generation-match", "0".to_owned());
                (vec![content_type, ("x-goog-content-length-range", size), fresh], true)
            }
            Self::Azure => {
                (vec![content_type, fresh, ("x-ms-blob-type", "BlockBlob".to_owned())], false)
            }
        }
    }

    /// The query that lets a browser save a download under this name, or `None` if that is
    /// impossible.
    pub(super) fn saved_as(self, file_name: &str) -> Option<(&'static str, String)> {
        match self {
            Self::S3 | Self::Ceph | Self::Google => {
                Some(("response-content-disposition", disposition(file_name)))
            }
            Self::Azure => None,
        }
    }
}

/// The value of `Content-Disposition` (RFC 6266), also for clients that know only ASCII.
fn disposition(file_name: &str) -> String {
    let plain = |c: char| c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%'));
    let ascii: String = file_name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''");
    for byte in file_name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_end_its_quotes() {
        let expected = "attachment; filename=\"a_; b=_c_ 5_.svg\"; \
                        filename*=UTF-8''a%22%3B%20b%3D%5Cc%C3%A9%205%25.svg";
        assert_eq!(disposition("a\"; b=\\c\u{e9} 5%.svg"), expected);
    }

    #[test]
    fn each_family_signs_what_it_knows() {
        let artifact = Artifact::of(b"abc").content_type("text/x");
        let (s3, signed) = ObjectUrlRules::S3.headers(&artifact);
        assert!(signed);
        let hash = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        let expected = ["content-type: text/x", "if-none-match: *"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("x-amz-checksum-sha256: {hash}")]);
        let lines = |headers: Vec<(&str, String)>| {
            headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(lines(s3), expected.collect::<Vec<_>>());
        let (ceph, signed) = ObjectUrlRules::Ceph.headers(&artifact);
        let no_copy = "x-amz-copy-source-if-unmodified-since: Thu, 01 Jan 1970 00:00:00 GMT";
        assert!(signed && lines(ceph).contains(&no_copy.to_owned()));
        let (google, signed) = ObjectUrlRules::Google.headers(&artifact);
        assert!(signed && lines(google).contains(&"x-goog-content-length-range: 3,3".to_owned()));
        assert!(!ObjectUrlRules::Azure.headers(&artifact).1);
    }
}
