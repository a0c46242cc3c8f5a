//! [`UploadGrant`]: what a URL lets its bearer send.

use crate::artifact::{Artifact, ArtifactId};
use crate::error::{Error, ErrorKind};

/// What a URL lets its bearer do: send one artifact of one publication.
///
/// Names are any text, and may be empty. What was declared before the upload is signed with them, so
/// that a URL is not valid for another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadGrant<'a> {
    /// The method of the request: `PUT` by default. Its case matters.
    pub method: &'a str,
    /// The project of the publication.
    pub project: &'a str,
    /// The id of the publication.
    pub publication: &'a str,
    /// The name of the artifact in the publication.
    pub name: &'a str,
    /// The declared size of the content in bytes.
    pub size: Option<u64>,
    /// The declared SHA-256 of the content.
    pub sha256: Option<ArtifactId>,
    /// The declared content type.
    pub content_type: Option<&'a str>,
}

impl<'a> UploadGrant<'a> {
    /// The maximum length of a method in bytes (inclusive).
    pub const MAX_METHOD_BYTES: usize = 32;
    /// The maximum length of a project, a publication's id or a name in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 1_024;

    /// Grants a `PUT` of this artifact, of which nothing was declared.
    pub const fn new(project: &'a str, publication: &'a str, name: &'a str) -> Self {
        let (size, sha256, content_type) = (None, None, None);
        Self { method: "PUT", project, publication, name, size, sha256, content_type }
    }

    /// Sets [`method`](Self::method).
    pub const fn method(mut self, method: &'a str) -> Self {
        self.method = method;
        self
    }

    /// Sets [`size`](Self::size).
    pub const fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Sets [`sha256`](Self::sha256).
    pub const fn sha256(mut self, sha256: ArtifactId) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    /// Sets [`content_type`](Self::content_type).
    pub const fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// Returns the bytes that are signed, or an error if a text is too long.
    ///
    /// The length of each text stands before it, and whether there is a value before each optional
    /// one. So each grant, expiry and key has its own bytes. The first line tells them from
    /// everything else that the same secret might sign.
    pub(super) fn to_signed_bytes(self, expires: u64, key_id: &str) -> Result<Vec<u8>, Error> {
        let names = [self.project, self.publication, self.name];
        let texts = [self.method].into_iter().chain(names);
        let fits = self.method.len() <= Self::MAX_METHOD_BYTES
            && names.iter().all(|name| name.len() <= Self::MAX_NAME_BYTES)
            && self.content_type.is_none_or(|text| text.len() <= Artifact::MAX_TYPE_BYTES);
        if !fits {
            let message = format!(
                "a method has at most {} bytes, a project, a publication and a name {}, a content \
                 type {}",
                Self::MAX_METHOD_BYTES,
                Self::MAX_NAME_BYTES,
                Artifact::MAX_TYPE_BYTES
            );
            return Err(Error::new(ErrorKind::InvalidInput, "grant an upload", message));
        }
        let mut bytes = b"snapfold upload URL v1\n".to_vec();
        for text in texts {
            put_text(&mut bytes, text);
        }
        bytes.extend_from_slice(&expires.to_le_bytes());
        put_text(&mut bytes, key_id);
        put_if(&mut bytes, self.size, |bytes, size| bytes.extend_from_slice(&size.to_le_bytes()));
        put_if(&mut bytes, self.sha256, |bytes, id| bytes.extend_from_slice(id.as_bytes()));
        put_if(&mut bytes, self.content_type, put_text);
        Ok(bytes)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // Lengths are limited above.
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_if<T>(bytes: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}
