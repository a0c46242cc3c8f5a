//! How a state becomes bytes and back: [`Codec`], and the codecs that come with the crate.

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
#[cfg(feature = "json")]
mod unique;

use std::fmt;

use crate::error::{BoxError, Error};

pub use crate::compress::{Compression, CompressionId};
#[cfg(feature = "bincode")]
pub use bincode::Bincode;
pub use digester::Digester;
pub(crate) use digester::{Viewer, Written};
pub use id::CodecId;
#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "msgpack")]
pub use msgpack::MessagePack;
#[cfg(feature = "postcard")]
pub use postcard::Postcard;

/// Encodes states of type `S` to bytes and decodes them.
///
/// The codecs that come with the crate implement it for every `S` that serde can serialize and
/// deserialize. A codec of your own (rkyv, protobuf, an encrypting wrapper) implements it for
/// the types that it can carry, under a [`CodecId`] from [`CodecId::custom`]. The id is stored
/// with every snapshot, so a store may hold snapshots of several codecs: the engine writes with
/// one and [reads with a list](crate::engine::EngineBuilder::also_reads).
///
/// # Obligations
/// - `decode(encode(s))` gives a state that folds like `s`. The engine proves it by the
///   [digest](Self::digester) at each write and does not store what fails.
/// - `decode` consumes all bytes, returns an error for anything else, and neither panics nor
///   allocates far beyond what `bytes` can hold, whatever `bytes` are.
/// - Both are pure: no I/O, no clock, no global state.
pub trait Codec<S>: fmt::Debug + Send + Sync + 'static {
    /// The id that is stored with each snapshot.
    fn id(&self) -> CodecId;

    /// Whether encoded states carry their field names, so that a type whose shape has changed
    /// (fields added with a default, removed, reordered) can still be decoded by name.
    fn is_self_describing(&self) -> bool;

    /// Looks at the type once, when an engine is built. `samples` are states that the application
    /// gave for that, often none: see
    /// [`EngineBuilder::sample`](crate::engine::EngineBuilder::sample).
    ///
    /// # Errors
    /// [`ErrorKind::UnsuitableCodec`](crate::ErrorKind::UnsuitableCodec) if this codec cannot
    /// carry the type; the text names a codec that can.
    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error>;

    /// How states are told apart: [`Digester::serde`] for types that serde can serialize. A codec
    /// that wraps another one returns that one's. Asked once, when an engine is built.
    ///
    /// A required method, so that no codec goes without a proof by accident: one that has none says
    /// [`Digester::none`].
    fn digester(&self) -> Digester<S>;

    /// Appends the encoded `state` to `out`; leaves what `out` held before untouched.
    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Decodes what [`encode`](Self::encode) appended: all of `bytes`, no more, no less.
    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError>;
}

/// What [`Codec::inspect`] finds out about a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeInfo {
    /// Identifies the shape of the type (fields, their order, names and kinds); part of the
    /// [`Generation`](crate::record::Generation) of every snapshot. 0 if the codec does not derive
    /// one: then only the declared schema version guards against a changed type.
    pub fingerprint: u64,
    /// How deep values may nest when they are decoded.
    pub limits: DecodeLimits,
}

impl TypeInfo {
    /// A type with this fingerprint, decoded with these limits.
    pub fn new(fingerprint: u64, limits: DecodeLimits) -> Self {
        Self { fingerprint, limits }
    }

    /// Sets the depth limit of recursive types.
    pub(crate) fn with_depth(self, levels: Option<u16>) -> Self {
        Self { limits: self.limits.with_depth(levels), ..self }
    }
}

/// Bounds that hold while a state is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The deepest nesting of values that is accepted (inclusive). `None` for types that do not
    /// contain themselves: their depth is that of the type, and no check is needed.
    pub max_depth: Option<u16>,
}

impl DecodeLimits {
    /// The limit for types that contain themselves (a tree, say): 128 levels.
    pub const RECURSIVE: Self = Self { max_depth: Some(128) };
    /// No limit: for types that do not contain themselves.
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

/// What the codecs for serde types share: the trace of the type, and whether a format without
/// field names can carry it.
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
                "{codec} stores values by position and cannot carry this type: {obstacle}. Use \
                 MessagePack (feature `msgpack`), which stores field names, or change the type"
            ),
        ));
    }
    let limits = if shape.recursive { DecodeLimits::RECURSIVE } else { DecodeLimits::UNLIMITED };
    Ok(TypeInfo { fingerprint: shape.fingerprint, limits })
}

/// The check behind "all of `bytes`": what a decoder left over must be nothing.
#[cfg(any(feature = "postcard", feature = "bincode"))]
fn all_consumed(left: usize) -> Result<(), BoxError> {
    if left == 0 { Ok(()) } else { Err(format!("{left} bytes are left over").into()) }
}
