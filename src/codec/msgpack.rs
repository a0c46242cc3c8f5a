//! MessagePack with field names: [`MessagePack`].

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, IgnoredAny};

use super::depth::Root;
use super::place::Located;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};

/// MessagePack with field names: about twice the size of [`Postcard`](super::Postcard) before
/// compression, and decodable after fields were added (with `#[serde(default)]`), removed or
/// reordered.
///
/// It does not carry `Some(None)` and `Some(())`, integers beyond 64 bits inside free-form parts,
/// and, inside flattened fields and tagged enums, keys of maps that are not text and addresses
/// (`IpAddr`): the write that holds one fails and says where.
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

    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error> {
        super::inspect(samples, "MessagePack", false)
    }

    fn digester(&self) -> Digester<S> {
        Digester::of_crate()
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        state.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        // Also for types that do not contain themselves: fields that they do not know are skipped
        // with recursion, and the decoder's own limit is too deep for the stack of a thread.
        let max_depth =
            limits.max_depth.or(DecodeLimits::RECURSIVE.max_depth).map_or(0, usize::from);
        decoder.set_max_depth(max_depth);
        // The decoder does not count the variants of enums: a type that contains itself through
        // them needs the limit around it.
        let state = Root::new(limits).deserialize(&mut decoder).map_err(|error| {
            let mut again = rmp_serde::Deserializer::from_read_ref(bytes);
            again.set_max_depth(max_depth);
            Located::at(error.into(), Root::<S>::new(limits), &mut again)
        })?;
        // The decoder does not tell what it left over; asking it for one more value does. Only
        // the end of the bytes fails at the very marker of that value.
        match IgnoredAny::deserialize(&mut decoder) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(state),
            _ => Err("bytes are left over".into()),
        }
    }
}
