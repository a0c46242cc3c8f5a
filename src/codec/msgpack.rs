//! MessagePack with field names: [`MessagePack`].

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, IgnoredAny};

use super::{Codec, CodecId, DecodeLimits, TypeInfo};
use crate::error::{BoxError, Error};

/// MessagePack with field names: about twice the size of [`Postcard`](super::Postcard) before
/// compression, and decodable after fields were added (with `#[serde(default)]`), removed or
/// reordered. Carries everything that serde can describe.
///
/// One known limit of the format: `Some(None)` comes back as `None`; the check at the first write
/// finds a state that depends on it.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct, so that its name is a value")]
pub struct MessagePack;

impl<S: Serialize + DeserializeOwned> Codec<S> for MessagePack {
    fn id(&self) -> CodecId {
        CodecId::MSGPACK
    }

    fn is_self_describing(&self) -> bool {
        true
    }

    fn inspect(&self) -> Result<TypeInfo, Error> {
        super::inspect::<S>("MessagePack", false)
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        state.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        if let Some(max) = limits.max_depth {
            decoder.set_max_depth(usize::from(max));
        }
        let state = S::deserialize(&mut decoder)?;
        // The decoder does not tell what it left over; asking it for one more value does. Only
        // the end of the bytes fails at the very marker of that value.
        match IgnoredAny::deserialize(&mut decoder) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(state),
            _ => Err("bytes are left over".into()),
        }
    }
}
