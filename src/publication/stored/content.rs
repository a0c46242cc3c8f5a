//! What a document of a publication or of a request key contains.

use super::json::{decode, encode};
use super::operation::READ;
use super::place::PublicationPlace;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::publication::{Publication, PublicationId};
use crate::store::document::Document;

/// The first byte of a document.
const GONE: u8 = 0;
const WHOLE: u8 = 1;
const NAMED: u8 = 2;

/// A version of a publication's document.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// It was deleted, or must never be stored. No later version follows.
    Gone,
    /// The publication with the revision that is the version of the document.
    Held(Box<Publication>),
}

/// Which publication has claimed a request key.
pub(super) enum KeyHolder {
    /// It may not be stored yet. Whoever reads this can store it.
    Whole(Box<Publication>),
    /// It was stored.
    Named(PublicationId),
}

impl Content {
    pub(super) fn gone() -> Vec<u8> {
        vec![GONE]
    }

    pub(super) fn whole(publication: &Publication) -> Vec<u8> {
        let mut body = vec![WHOLE];
        body.extend(encode(publication));
        body
    }

    pub(super) fn read(document: &Document, key: &AggregateKey) -> Result<Self, Error> {
        let parsed = document.read(key, |body| match body.split_first()? {
            (&GONE, []) => Some(Ok(Self::Gone)),
            (&WHOLE, json) => {
                let publication = decode(key.tenant(), document.version, json)?;
                let is_here = PublicationPlace::of(publication.id).key(key.tenant()).ok()? == *key;
                is_here.then(|| Ok(Self::Held(publication.into())))
            }
            (format, _) if *format > NAMED => Some(Err(newer(key))),
            _ => None,
        });
        parsed?
    }
}

impl KeyHolder {
    pub(super) fn named(id: PublicationId) -> Vec<u8> {
        let mut body = vec![NAMED];
        body.extend(id.as_bytes());
        body
    }

    pub(super) fn read(document: &Document, key: &AggregateKey) -> Result<Self, Error> {
        let parsed = document.read(key, |body| match body.split_first()? {
            (&WHOLE, json) => Some(Ok(Self::Whole(decode(key.tenant(), 1, json)?.into()))),
            (&NAMED, id) => Some(Ok(Self::Named(PublicationId::from_bytes(id.try_into().ok()?)))),
            (format, _) if *format > NAMED => Some(Err(newer(key))),
            _ => None,
        });
        parsed?
    }
}

/// The error for content of an unknown format.
pub(super) fn newer(key: &AggregateKey) -> Error {
    let message = format!("{key} was written by a newer release: upgrade snapfold");
    Error::new(ErrorKind::Unsupported, READ, message)
}
