//! The default codec: [`Postcard`].

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use super::depth::Root;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};

/// postcard, the default codec: compact and fast, with a specified, stable wire format.
///
/// Fields are stored by position, without names. The fingerprint of the type guards against a
/// changed struct. Types that a positional format cannot represent (`flatten`, `untagged`,
/// `skip_serializing_if`) are refused when the engine is built.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct can be used as a value")]
pub struct Postcard;

impl<S: Serialize + DeserializeOwned> Codec<S> for Postcard {
    fn id(&self) -> CodecId {
        CodecId::POSTCARD
    }

    fn is_self_describing(&self) -> bool {
        false
    }

    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error> {
        super::inspect(samples, "postcard", true)
    }

    fn digester(&self) -> Digester<S> {
        Digester::of_crate()
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        *out = postcard::to_extend(state, std::mem::take(out))?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        let mut decoder = postcard::Deserializer::from_bytes(bytes);
        let state = Root::new(limits).deserialize(&mut decoder)?;
        super::all_consumed(decoder.finalize()?.len())?;
        Ok(state)
    }
}
