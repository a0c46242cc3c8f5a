//! [`CodecId`]: which codec wrote a payload.

use std::fmt;

/// Identifies a codec in a stored header. The id of a codec is known even if the codec is compiled
/// out, so an error can name the missing feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecId(u16);

impl CodecId {
    /// postcard 1.x.
    pub const POSTCARD: Self = Self(1);
    /// MessagePack with field names.
    pub const MSGPACK: Self = Self(2);
    /// JSON, with object members in the order in which the state serializes them.
    pub const JSON: Self = Self(3);
    /// bincode 2, standard configuration (little endian, variable-length integers).
    pub const BINCODE: Self = Self(4);

    /// Creates the id of a custom codec: `0x8000 + number`. Numbers above `0x7fff` wrap around.
    pub const fn custom(number: u16) -> Self {
        Self(0x8000 | number)
    }

    /// Creates an id from the number in a header.
    pub const fn from_u16(id: u16) -> Self {
        Self(id)
    }

    /// Returns the number that represents the codec in a header.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns the crate feature that enables this codec, if the codec is compiled out.
    pub(crate) const fn missing_feature(self) -> Option<&'static str> {
        let compiled_in = match self {
            Self::POSTCARD => cfg!(feature = "postcard"),
            Self::MSGPACK => cfg!(feature = "msgpack"),
            Self::JSON => cfg!(feature = "json"),
            Self::BINCODE => cfg!(feature = "bincode"),
            Self(_) => true,
        };
        if compiled_in { None } else { self.feature() }
    }

    /// Returns the crate feature that enables this codec, if the codec belongs to the crate.
    const fn feature(self) -> Option<&'static str> {
        match self {
            Self::POSTCARD => Some("postcard"),
            Self::MSGPACK => Some("msgpack"),
            Self::JSON => Some("json"),
            Self::BINCODE => Some("bincode"),
            Self(_) => None,
        }
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.feature() {
            Some(name) => f.write_str(name),
            None if self.0 >= 0x8000 => write!(f, "custom codec {}", self.0 & 0x7fff),
            None => write!(f, "codec {}", self.0),
        }
    }
}
