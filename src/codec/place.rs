//! The location in a payload at which a decoder failed: [`Located`].

use std::fmt;

use crate::error::BoxError;

/// The maximum number of steps in a reported path.
const MAX_STEPS: usize = 16;

/// A decoder's error, and the path to its location.
#[derive(Debug)]
pub(crate) struct Located {
    steps: Vec<PlaceStep>,
    error: BoxError,
}

#[derive(Debug)]
enum PlaceStep {
    Item(usize),
    /// The name of a field, or the key of an entry.
    Name(String),
}

impl Located {
    /// Adds the location to `error`, which decoding a payload returned, by decoding the payload
    /// again.
    #[cold]
    pub(super) fn at<'de, T, D>(error: BoxError, seed: T, again: D) -> BoxError
    where
        T: serde::de::DeserializeSeed<'de>,
        D: serde::Deserializer<'de>,
    {
        use serde_path_to_error::{Deserializer, Segment, Track};

        let mut track = Track::new();
        if seed.deserialize(Deserializer::new(again, &mut track)).is_ok() {
            return error;
        }
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(PlaceStep::Item(*index)),
            Segment::Map { key } => Some(PlaceStep::Name(key.clone())),
            Segment::Enum { variant } => Some(PlaceStep::Name(variant.clone())),
            Segment::Unknown => None,
        };
        let steps = track.path().iter().take(MAX_STEPS).filter_map(step).collect();
        Box::new(Self { steps, error })
    }

    /// Returns the path, such as `lots[0].price`, unless it is empty. Only names that `is_field`
    /// accepts are shown: the keys of map entries are data of the state and are omitted.
    pub(crate) fn path(&self, is_field: impl Fn(&str) -> bool) -> Option<String> {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                PlaceStep::Item(index) => path.push_str(&["[", &index.to_string(), "]"].concat()),
                PlaceStep::Name(name) if is_field(name) => path.push_str(&[".", name].concat()),
                PlaceStep::Name(_) => path.push_str("{}"),
            }
        }
        let path = path.trim_start_matches('.');
        (!path.is_empty()).then(|| path.to_owned())
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Located {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
