//! [`Publishing`]: what a delivery needs to publish.

use std::sync::Arc;
use std::time::Duration;

use crate::artifact::SignedUpload;
use crate::error::Error;
use crate::publication::{Publication, PublicationPart};
use crate::service::http::segment;
use crate::service::publish::{PartUpload, Publisher, UploadGrant, UploadUrls};

/// What a delivery needs to publish.
#[derive(Clone, Debug)]
pub(crate) struct Publishing {
    pub(crate) publisher: Publisher,
    pub(crate) urls: Arc<UploadUrls>,
    /// The scheme and the authority under which clients reach the delivery.
    pub(crate) origin: String,
}

impl Publishing {
    /// Whether clients can be told to send to such an origin.
    pub(crate) fn is_origin(origin: &str) -> bool {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        authority.is_some_and(|text| {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#<>\"\\@".contains(&byte);
            !text.is_empty() && text.bytes().all(is_plain)
        })
    }

    /// The URL to which a client sends an artifact; `None` if it need not be sent.
    pub(crate) fn signed(
        &self,
        prefix: &str,
        publication: &Publication,
        (name, upload): (&str, &PartUpload),
        rest: Duration,
    ) -> Result<Option<SignedUpload>, Error> {
        let part = match upload {
            PartUpload::Stored => return Ok(None),
            PartUpload::Signed(signed) => return Ok(Some(signed.clone())),
            PartUpload::Direct => publication.parts.get(name),
        };
        let Some(part) = part else { return Ok(None) };
        let id = publication.id.to_string();
        let query = self.urls.sign(&grant(publication, &id, name, part), rest)?;
        let project = segment::encode(&publication.project);
        let path = format!("{}{prefix}/projects/{project}/uploads/{id}/{name}", self.origin);
        let signed = SignedUpload::new(format!("{path}?{}", query.text), query.expires_at);
        Ok(Some(match &part.content_type {
            Some(content_type) => signed.single_use(true).header("content-type", content_type),
            None => signed.single_use(true),
        }))
    }
}

/// What the URL of an artifact grants.
pub(super) fn grant<'a>(
    publication: &'a Publication,
    id: &'a str,
    name: &'a str,
    part: &'a PublicationPart,
) -> UploadGrant<'a> {
    let mut grant = UploadGrant::new(&publication.project, id, name);
    grant.size = part.size;
    grant.sha256 = part.sha256;
    grant.content_type = part.content_type.as_deref();
    grant
}
