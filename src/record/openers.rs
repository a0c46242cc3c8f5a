//! [`Openers`]: what an engine opens payloads with.

use std::sync::Arc;

use super::header::Header;
use super::meta::SnapshotMeta;
use super::reject::RejectReason;
use super::signature;
use super::signing_keys::SigningKeys;
use crate::codec::{Seal, SealContext, open_sealed};
use crate::compress::{Compression, CustomCompressor, Dictionary, DictionaryId};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

/// What payloads are opened with, besides their own bases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Openers {
    pub(crate) dictionaries: Vec<Dictionary>,
    /// Those of the application. The first one of an id counts.
    pub(crate) compressors: Vec<CustomCompressor>,
    pub(crate) seal: Option<Arc<dyn Seal>>,
    /// What records must be signed with. `None` if signatures are not checked.
    pub(crate) signing: Option<SigningKeys>,
}

impl Openers {
    /// Opens only what every build can.
    pub(super) const NONE: Self =
        Self { dictionaries: Vec::new(), compressors: Vec::new(), seal: None, signing: None };

    /// Adds what the payloads of this compression need.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a compressor has an id of this crate, or two of different
    /// names have the same id.
    pub(crate) fn with_those_of(mut self, compression: &Compression) -> Result<Self, Error> {
        self.dictionaries.extend(compression.known_dictionary().cloned());
        self.compressors.splice(0..0, compression.custom_compressor().cloned());
        for (at, one) in self.compressors.iter().enumerate() {
            one.check()?;
            let mut earlier = self.compressors.iter().take(at);
            if let Some(other) = earlier.find(|it| it.id() == one.id() && it.name() != one.name()) {
                let message = format!(
                    "the compressors {:?} and {:?} both have the id of {}: give one of them \
                     another id",
                    other.name(),
                    one.name(),
                    one.id()
                );
                return Err(Error::new(ErrorKind::InvalidInput, "use a compressor", message));
            }
        }
        Ok(self)
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> Option<&Dictionary> {
        self.dictionaries.iter().find(|known| known.id() == id)
    }

    /// Returns whether a payload can be opened, as far as its header shows.
    pub(crate) fn may_open(&self, meta: &SnapshotMeta) -> bool {
        let dictionary = meta.dictionary.map(DictionaryId::from_u64);
        dictionary.is_none_or(|id| self.dictionary(id).is_some())
            && (meta.seal_key.is_none() || self.seal.is_some())
            && self.signing.as_ref().is_none_or(|keys| match &meta.signing_key {
                Some(key_id) => keys.knows(key_id),
                None => keys.accepts_unsigned(),
            })
            && (!meta.compression.is_custom()
                || self.compressors.iter().any(|known| known.id() == meta.compression))
    }

    /// Checks the signature of the record in `bytes`, if there are signing keys.
    pub(crate) fn check_signature(
        &self,
        bytes: &[u8],
        header: &Header<'_>,
    ) -> Result<(), RejectReason> {
        let Some(keys) = &self.signing else { return Ok(()) };
        let parts = bytes.split_at_checked(header.header_bytes());
        signature::check(keys, parts.ok_or(RejectReason::Truncated)?, header.signature)
    }

    /// Returns the payload as it was before it was sealed with the key of this id.
    pub(super) fn unseal(
        &self,
        header: &Header<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, RejectReason> {
        let missing = || RejectReason::SealKey(key_id.to_owned());
        let seal = self.seal.as_deref().ok_or_else(missing)?;
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)
            .map_err(|_| RejectReason::WrongAggregate)?;
        let of = SealContext::new(&key, header.generation, header.version);
        let opened = open_sealed(seal, of, key_id, sealed, header.unsealed_bytes);
        opened.map_err(RejectReason::Seal)?.ok_or_else(missing)
    }
}
