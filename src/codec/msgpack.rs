//! MessagePack with field names: [`MessagePack`].

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, IgnoredAny};

use super::depth::Root;
use super::place::Located;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};

/// MessagePack with field names. Encoded states are about twice as large as with
/// [`Postcard`](super::Postcard) before compression. They can still be decoded after fields have
/// been added (with `#[serde(default)]`), removed or reordered.
///
/// MessagePack cannot store `Some(None)` or `Some(())`. Inside flattened fields and inside
/// internally tagged and untagged enums, whose contents serde buffers, it also cannot store
/// integers beyond 64 bits, network addresses (`IpAddr`), or some maps whose keys are not strings.
/// Writing a state that contains one of these fails with an error that names its location.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct can be used as a value")]
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
        // A limit is set for types that are not recursive too: unknown fields are skipped
        // recursively, and the decoder's own limit is too deep for the stack of a thread.
        let max_depth =
            limits.max_depth.or(DecodeLimits::RECURSIVE.max_depth).map_or(0, usize::from);
        decoder.set_max_depth(max_depth);
        // The decoder does not count the variants of enums, so a type that is recursive through an
        // enum needs the limit of the wrapper.
        let state = Root::new(limits).deserialize(&mut decoder).map_err(|error| {
            let mut again = rmp_serde::Deserializer::from_read_ref(bytes);
            again.set_max_depth(max_depth);
            Located::at(error.into(), Root::<S>::new(limits).limited(), &mut again)
        })?;
        // The decoder does not report how many bytes it left unread, so it is asked for one more
        // value. Only at the end of the bytes does that fail while reading the marker of the value.
        match IgnoredAny::deserialize(&mut decoder) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(state),
            _ => Err("bytes follow the end of the state".into()),
        }
    }
}
