//! Where in a payload a decoder failed: [`Located`].

use std::fmt;

use crate::error::BoxError;

/// A decoder's error, and the path at which it arose, such as `lots[0].price`.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) path: String,
    error: BoxError,
}

impl Located {
    /// `error`, which decoding a payload gave, with its path: it is decoded once more.
    #[cfg(any(feature = "msgpack", feature = "json"))]
    #[cold]
    pub(super) fn at<'de, T, D>(error: BoxError, seed: T, again: D) -> BoxError
    where
        T: serde::de::DeserializeSeed<'de>,
        D: serde::Deserializer<'de>,
    {
        let mut track = serde_path_to_error::Track::new();
        let again = serde_path_to_error::Deserializer::new(again, &mut track);
        let failed = seed.deserialize(again).is_err();
        let path = track.path().to_string();
        if failed && path != "." { Box::new(Self { path, error }) } else { error }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.error)
    }
}

impl std::error::Error for Located {}
