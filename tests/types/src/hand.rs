//! What the application would have without snapfold: the format's own crate, called by hand.

use std::sync::Arc;

use erased_serde::{Deserializer, Serialize};

use crate::{AnyState, Specimen};

/// A type, as the formats' own crates see it. Erased, so that each type is compiled for one
/// format more, not for four.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    write: fn(&dyn AnyState) -> Option<&dyn Serialize>,
    read: fn(&mut dyn Deserializer<'_>) -> Result<Arc<dyn AnyState>, erased_serde::Error>,
}

impl Hand {
    /// The type `T`.
    pub fn of<T: Specimen>() -> Self {
        Self {
            write: |state| state.as_any().downcast_ref::<T>().map(|state| state as &dyn Serialize),
            read: |format| Ok(Arc::new(erased_serde::deserialize::<T>(format)?)),
        }
    }

    /// Whether the format of [`COLUMNS`](crate::COLUMNS) number `column` gives the value back.
    pub fn is_exact(&self, column: usize, value: &dyn AnyState) -> bool {
        let back = match column {
            0 => self.postcard(value),
            1 => self.bincode(value),
            2 | 4 => self.msgpack(value),
            _ => self.json(value),
        };
        back.is_some_and(|back| value.same_as(&*back))
    }

    fn postcard(&self, value: &dyn AnyState) -> Option<Arc<dyn AnyState>> {
        let bytes = postcard::to_stdvec((self.write)(value)?).ok()?;
        let mut format = postcard::Deserializer::from_bytes(&bytes);
        (self.read)(&mut <dyn Deserializer<'_>>::erase(&mut format)).ok()
    }

    fn bincode(&self, value: &dyn AnyState) -> Option<Arc<dyn AnyState>> {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec((self.write)(value)?, config).ok()?;
        let mut format = bincode::serde::BorrowedSerdeDecoder::from_slice(&bytes, config, ());
        (self.read)(&mut <dyn Deserializer<'_>>::erase(format.as_deserializer())).ok()
    }

    fn msgpack(&self, value: &dyn AnyState) -> Option<Arc<dyn AnyState>> {
        let bytes = rmp_serde::to_vec_named((self.write)(value)?).ok()?;
        let mut format = rmp_serde::Deserializer::from_read_ref(&bytes[..]);
        (self.read)(&mut <dyn Deserializer<'_>>::erase(&mut format)).ok()
    }

    fn json(&self, value: &dyn AnyState) -> Option<Arc<dyn AnyState>> {
        let bytes = serde_json::to_vec((self.write)(value)?).ok()?;
        let mut format = serde_json::Deserializer::from_slice(&bytes);
        (self.read)(&mut <dyn Deserializer<'_>>::erase(&mut format)).ok()
    }
}
