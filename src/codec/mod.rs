//! Encoding and decoding states: [`Codec`], and the codecs of this crate.

#[cfg(feature = "bincode")]
mod bincode;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
mod carrier;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
mod depth;
mod digester;
mod id;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "json")]
mod number;
#[cfg(any(feature = "msgpack", feature = "json"))]
mod place;
#[cfg(feature = "postcard")]
mod postcard;
mod seal;
#[cfg(feature = "json")]
mod unique;
mod viewer;

use std::fmt;

use crate::error::{BoxError, Error};

#[cfg(feature = "zstd")]
pub use crate::compress::Training;
pub use crate::compress::{Compression, CompressionId, Compressor, Dictionary, DictionaryId};
#[cfg(feature = "bincode")]
pub use bincode::Bincode;
pub use digester::Digester;
pub(crate) use digester::Written;
pub use id::CodecId;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "msgpack")]
pub use msgpack::MessagePack;
#[cfg(feature = "postcard")]
pub use postcard::Postcard;
pub use seal::{Seal, SealContext, Sealed};
pub(crate) use seal::{open_sealed, seal_proved};
pub(crate) use viewer::Viewer;

/// Encodes states of type `S` to bytes and decodes them.
///
/// The codecs of this crate implement this trait for every `S` that serde can serialize and
/// deserialize. A custom codec (rkyv, protobuf) implements it for the types
/// that it supports, under an id from [`CodecId::custom`]. The id is stored with every snapshot, so
/// a store may contain snapshots of several codecs. The engine writes with one codec and [can read
/// with several](crate::engine::EngineBuilder::also_reads).
///
/// # Obligations
/// - `decode(encode(s))` returns a state that folds like `s`. The engine verifies this with the
///   [digest](Self::digester) at each write, and does not store a state that fails.
/// - `decode` consumes all bytes and returns an error for any other input. Whatever `bytes`
///   contains, it neither panics nor allocates much more memory than the input can justify.
/// - Both are pure: no I/O, no clock, no global state.
pub trait Codec<S>: fmt::Debug + Send + Sync + 'static {
    /// Returns the id that is stored with each snapshot.
    fn id(&self) -> CodecId;

    /// Returns whether encoded states contain their field names. If so, a type whose shape has
    /// changed (fields added with a default, removed, reordered) can still be decoded by name.
    fn is_self_describing(&self) -> bool;

    /// Inspects the type once, when an engine is built. `samples` are states that the application
    /// registered for this purpose, often none: see
    /// [`EngineBuilder::sample`](crate::engine::EngineBuilder::sample).
    ///
    /// # Errors
    /// [`ErrorKind::UnsuitableCodec`](crate::ErrorKind::UnsuitableCodec) if this codec does not
    /// support the type. The message names a codec that does.
    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error>;

    /// Returns the digester that is used to compare states: [`Digester::serde`] for types that
    /// serde can serialize. A codec that wraps another one returns the digester of the inner codec.
    /// Called once, when an engine is built.
    ///
    /// This method has no default, so that verification is never omitted by accident. A codec
    /// without a digest returns [`Digester::none`].
    fn digester(&self) -> Digester<S>;

    /// Appends the encoded `state` to `out` and leaves the existing contents of `out` unchanged.
    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Decodes a state that [`encode`](Self::encode) encoded. `bytes` must contain exactly one
    /// state.
    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError>;
}

/// The result of [`Codec::inspect`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeInfo {
    /// Identifies the shape of the type: its fields with their order, names and kinds. Part of the
    /// [`Generation`](crate::record::Generation) of every snapshot. 0 if the codec does not derive
    /// one; then only the declared schema version guards against a changed type.
    pub fingerprint: u64,
    /// The limits for decoding values of the type.
    pub limits: DecodeLimits,
}

impl TypeInfo {
    /// Creates the result for a type with this fingerprint, to be decoded with these limits.
    pub fn new(fingerprint: u64, limits: DecodeLimits) -> Self {
        Self { fingerprint, limits }
    }

    /// Sets the depth limit of recursive types.
    pub(crate) fn with_depth(self, levels: Option<u16>) -> Self {
        Self { limits: self.limits.with_depth(levels), ..self }
    }
}

/// The limits that apply while a state is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The deepest nesting of values that is accepted (inclusive). `None` for types that are not
    /// recursive: the type itself limits their depth, so no check is needed.
    pub max_depth: Option<u16>,
}

impl DecodeLimits {
    /// The limit for recursive types, such as a tree: 128 levels.
    pub const RECURSIVE: Self = Self { max_depth: Some(128) };
    /// No limit, for types that are not recursive.
    pub const UNLIMITED: Self = Self { max_depth: None };

    /// Sets the depth limit, if there is one.
    pub(crate) fn with_depth(self, levels: Option<u16>) -> Self {
        Self { max_depth: self.max_depth.map(|default| levels.unwrap_or(default)) }
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self::RECURSIVE
    }
}

/// Inspects a type for any codec that uses serde: traces the type, and checks whether a format
/// without field names can represent it.
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
fn inspect<S: serde::Serialize + serde::de::DeserializeOwned>(
    samples: &[S],
    codec: &str,
    positional: bool,
) -> Result<TypeInfo, Error> {
    let shape = crate::shape::trace(samples);
    if let Some(obstacle) = shape.obstacle.filter(|_| positional) {
        return Err(Error::new(
            crate::error::ErrorKind::UnsuitableCodec,
            "register the state type",
            format!(
                "{codec} stores values by position and cannot represent this type, because \
                 {obstacle}: use MessagePack (feature `msgpack`), which stores field names, or \
                 change the type"
            ),
        ));
    }
    let limits = if shape.recursive { DecodeLimits::RECURSIVE } else { DecodeLimits::UNLIMITED };
    Ok(TypeInfo { fingerprint: shape.fingerprint, limits })
}

/// Fails if the decoder left bytes unread.
#[cfg(any(feature = "postcard", feature = "bincode"))]
fn all_consumed(left: usize) -> Result<(), BoxError> {
    if left == 0 { Ok(()) } else { Err(format!("{left} bytes follow the end of the state").into()) }
}
