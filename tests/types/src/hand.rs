//! What the application would have without snapfold: the format's own crate, called by hand.

use std::sync::Arc;

use bincode::config::{Config, standard};

use crate::{AnyState, Specimen};

/// Writes a state and reads it back. `None` if either fails.
type Trip = fn(&dyn AnyState) -> Option<Arc<dyn AnyState>>;

/// A type, as the formats' own crates see it.
///
/// Each is called with the kind of writer, reader and limit that snapfold's codec has too, so that
/// the compiler makes the code of a type for both at once.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    postcard: Trip,
    bincode: Trip,
    msgpack: Trip,
    json: Trip,
}

impl Hand {
    /// The type `T`.
    pub fn of<T: Specimen>() -> Self {
        Self {
            postcard: |state| trip(state, postcard::<T>),
            bincode: |state| trip(state, bincode::<T>),
            msgpack: |state| trip(state, msgpack::<T>),
            json: |state| trip(state, json::<T>),
        }
    }

    /// Whether the format of [`COLUMNS`](crate::COLUMNS) number `column` gives the value back.
    pub fn is_exact(&self, column: usize, value: &dyn AnyState) -> bool {
        let trip = match column {
            0 => self.postcard,
            1 => self.bincode,
            2 | 4 => self.msgpack,
            _ => self.json,
        };
        trip(value).is_some_and(|back| value.same_as(&*back))
    }
}

fn trip<T: Specimen>(
    state: &dyn AnyState,
    there_and_back: fn(&T) -> Option<T>,
) -> Option<Arc<dyn AnyState>> {
    let back = there_and_back(state.as_any().downcast_ref()?)?;
    Some(Arc::new(back))
}

fn postcard<T: Specimen>(state: &T) -> Option<T> {
    let bytes = postcard::to_extend(state, Vec::new()).ok()?;
    T::deserialize(&mut postcard::Deserializer::from_bytes(&bytes)).ok()
}

fn with_limit() -> impl Config {
    standard().with_limit::<{ 64 << 20 }>()
}

fn bincode<T: Specimen>(state: &T) -> Option<T> {
    let mut bytes = Vec::new();
    bincode::serde::encode_into_std_write(state, &mut bytes, with_limit()).ok()?;
    bincode::serde::borrow_decode_from_slice(&bytes, with_limit()).ok().map(|(back, _)| back)
}

fn msgpack<T: Specimen>(state: &T) -> Option<T> {
    let mut bytes = Vec::new();
    state.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).ok()?;
    T::deserialize(&mut rmp_serde::Deserializer::from_read_ref(&bytes[..])).ok()
}

fn json<T: Specimen>(state: &T) -> Option<T> {
    let mut bytes = Vec::new();
    serde_json::to_writer(&mut bytes, state).ok()?;
    T::deserialize(&mut serde_json::Deserializer::from_slice(&bytes)).ok()
}
