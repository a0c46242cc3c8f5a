//! JSON with sorted keys: [`Json`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecId, DecodeLimits, TypeInfo};
use crate::error::{BoxError, Error};

/// JSON for people who want to read a snapshot. Keys of objects are sorted, so that equal states
/// give equal bytes even when they hold hash maps.
///
/// Integers beyond 64 bits, maps whose keys are neither text nor numbers, and floats that are not
/// finite cannot be carried; the write reports it. A `HashSet` is a JSON array and keeps its
/// random order.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct, so that its name is a value")]
pub struct Json;

impl<S: Serialize + DeserializeOwned> Codec<S> for Json {
    fn id(&self) -> CodecId {
        CodecId::JSON
    }

    fn is_self_describing(&self) -> bool {
        true
    }

    fn inspect(&self) -> Result<TypeInfo, Error> {
        super::inspect::<S>("JSON", false)
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let mut value = serde_json::to_value(state)?;
        // Another crate may have switched on insertion order for all of serde_json.
        value.sort_all_objects();
        serde_json::to_writer(out, &value)?;
        Ok(())
    }

    /// Nesting beyond 128 levels is refused, whatever `limits` say.
    fn decode(&self, bytes: &[u8], _limits: DecodeLimits) -> Result<S, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
