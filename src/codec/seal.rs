//! [`Seal`]: encrypts payloads with the application's own cipher and keys.

use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, Error, ErrorKind, contained};
use crate::generation::Generation;
use crate::key::AggregateKey;

/// Encrypts the payloads of snapshots, with a cipher and keys that the application provides. This
/// crate has none. Set it with [`EngineBuilder::seal`].
///
/// A payload is sealed after it was encoded and compressed, and opened before it is decompressed.
/// Each snapshot states the id of its key, so keys can be rotated: seal with the newest, and open
/// with the one that is named. If a key is gone, its snapshots are misses that name it, and the
/// events are replayed.
///
/// # What stays readable
/// Only the payload is sealed. Whoever can read the store can read the rest of the record: tenant,
/// kind and id of the aggregate, version, generation, times, codec, compression, labels, origin,
/// anchor, the id of the key, and the sizes of the payload and of the encoded state. The
/// [digest](crate::record::StateDigest) of the state is readable too, and in a delta the checksum of
/// the encoded state that it is based on. Neither depends on a key, so a reader can test a guess: the
/// digest reveals a state that has few possible values. Put nothing secret into ids, labels, origins
/// and anchors.
///
/// The rest of the record is not authenticated, apart from what a [`SealContext`] contains.
/// Snapshots that are not sealed are still read.
///
/// # Obligations
/// - `open(of, key_id, seal(of, payload))` returns `payload`. The engine verifies this at each
///   write, and does not store a snapshot that fails.
/// - `open` detects every change: to `sealed`, and to `of`. Pass [`SealContext::to_bytes`] as
///   associated data to an authenticated cipher. Otherwise somebody who can write to the store can
///   move a state to another aggregate or version.
/// - `open` does not trust `sealed`, which may be any bytes, and allocates little more memory than
///   they take.
/// - `seal` uses a new nonce each time.
/// - Both run on threads of the runtime, so neither waits. Fetch keys from a key service beforehand.
/// - `Debug` shows no keys.
///
/// A panic in either counts as an error.
///
/// With the crate `chacha20poly1305`:
///
/// ```
/// # struct Nonces; impl Nonces { fn next(&self) -> [u8; 24] { [7; 24] } }
/// use std::collections::HashMap;
/// use std::fmt;
///
/// use chacha20poly1305::XChaCha20Poly1305;
/// use chacha20poly1305::aead::{Aead, Payload};
/// use snapfold::BoxError;
/// use snapfold::codec::{Seal, SealContext, Sealed};
///
/// struct TenantKeys {
///     keys: HashMap<String, XChaCha20Poly1305>,
///     nonces: Nonces, // random ones
/// }
///
/// impl Seal for TenantKeys {
///     fn seal(&self, of: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError> {
///         let key_id = of.key.tenant();
///         let cipher = self.keys.get(key_id).ok_or("the tenant has no key")?;
///         let nonce = self.nonces.next();
///         let payload = Payload { msg: payload, aad: &of.to_bytes() };
///         let bytes = cipher.encrypt(&nonce.into(), payload).map_err(|e| e.to_string())?;
///         Ok(Sealed::new(key_id, [&nonce[..], &bytes].concat()))
///     }
///
///     fn open(
///         &self,
///         of: SealContext<'_>,
///         key_id: &str,
///         sealed: &[u8],
///     ) -> Result<Option<Vec<u8>>, BoxError> {
///         let Some(cipher) = self.keys.get(key_id) else { return Ok(None) };
///         let (nonce, bytes) = sealed.split_first_chunk::<24>().ok_or("the nonce is missing")?;
///         let payload = Payload { msg: bytes, aad: &of.to_bytes() };
///         Ok(Some(cipher.decrypt(nonce.into(), payload).map_err(|e| e.to_string())?))
///     }
/// }
///
/// impl fmt::Debug for TenantKeys {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("TenantKeys")
///     }
/// }
/// ```
///
/// [`EngineBuilder::seal`]: crate::engine::EngineBuilder::seal
pub trait Seal: fmt::Debug + Send + Sync + 'static {
    /// Seals a payload, which may be empty.
    ///
    /// # Errors
    /// An error means that the snapshot is not stored: it is never stored unsealed. The call that
    /// takes it fails with [`ErrorKind::Encode`].
    fn seal(&self, of: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError>;

    /// Opens what [`seal`](Self::seal) returned for the same context. `None` if the key is gone,
    /// which makes the snapshot a miss
    /// ([`RejectReason::SealKey`](crate::record::RejectReason::SealKey)).
    ///
    /// # Errors
    /// An error, or a payload of another length than the one that was sealed, makes the snapshot a
    /// miss ([`RejectReason::Seal`](crate::record::RejectReason::Seal)).
    fn open(
        &self,
        of: SealContext<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError>;
}

impl<T: Seal + ?Sized> Seal for Arc<T> {
    fn seal(&self, of: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError> {
        (**self).seal(of, payload)
    }

    fn open(
        &self,
        of: SealContext<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError> {
        (**self).open(of, key_id, sealed)
    }
}

/// The snapshot whose payload is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealContext<'a> {
    /// The aggregate.
    pub key: &'a AggregateKey,
    /// The generation of the state type.
    pub generation: Generation,
    /// The version of the snapshot.
    pub version: u64,
}

impl<'a> SealContext<'a> {
    /// Creates a context, for tests of a [`Seal`].
    pub const fn new(key: &'a AggregateKey, generation: Generation, version: u64) -> Self {
        Self { key, generation, version }
    }

    /// Returns the context as bytes, to be used as associated data. Different contexts have
    /// different bytes. They stay the same in later releases: `docs/format.md` specifies them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.key.tenant(), self.key.kind(), self.key.id()] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&self.generation.schema_version.to_le_bytes());
        bytes.extend_from_slice(&self.generation.fingerprint.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes
    }
}

/// A sealed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// The id of the key. It is stored in clear, at most [`MAX_KEY_ID_BYTES`](Self::MAX_KEY_ID_BYTES)
    /// long.
    pub key_id: String,
    /// The sealed bytes, with all that is needed to open them besides the key.
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// The maximum length of the id of a key, in bytes (inclusive).
    pub const MAX_KEY_ID_BYTES: usize = 255;

    /// Creates a sealed payload.
    pub fn new(key_id: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { key_id: key_id.into(), bytes: bytes.into() }
    }
}

/// Seals `payload`, and proves that it can be opened again.
///
/// # Errors
/// [`ErrorKind::Encode`] if it cannot.
pub(crate) fn seal_proved(
    seal: &dyn Seal,
    of: SealContext<'_>,
    payload: &[u8],
) -> Result<Sealed, Error> {
    let failed = |how: &str| {
        let message = format!("the seal {how}, so nothing was stored: correct it");
        Error::new(ErrorKind::Encode, "seal a snapshot", message)
    };
    let sealed = contained(|| seal.seal(of, payload))
        .map_err(|source| failed("failed").with_source(source))?;
    if sealed.key_id.len() > Sealed::MAX_KEY_ID_BYTES {
        return Err(failed("returned a key id of more than 255 bytes"));
    }
    match contained(|| seal.open(of, &sealed.key_id, &sealed.bytes)) {
        Ok(Some(opened)) if opened == payload => Ok(sealed),
        Ok(Some(_)) => Err(failed("does not open to the bytes that it was given")),
        Ok(None) => Err(failed("does not have the key that it sealed with")),
        Err(source) => Err(failed("cannot open what it sealed").with_source(source)),
    }
}

/// Opens a payload that was `payload_bytes` long when it was sealed. `None` if the key is gone.
///
/// # Errors
/// Why it cannot be opened, in words.
pub(crate) fn open_sealed(
    seal: &dyn Seal,
    of: SealContext<'_>,
    key_id: &str,
    sealed: &[u8],
    payload_bytes: u32,
) -> Result<Option<Vec<u8>>, String> {
    match contained(|| seal.open(of, key_id, sealed)) {
        Ok(Some(payload)) if payload.len() as u64 == u64::from(payload_bytes) => Ok(Some(payload)),
        Ok(Some(payload)) => {
            Err(format!("it returned {} bytes instead of {payload_bytes}", payload.len()))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
