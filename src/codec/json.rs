//! JSON: [`Json`].

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use super::depth::Root;
use super::place::Located;
use super::unique::Unique;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo, number};
use crate::error::{BoxError, Error};

/// JSON for people who want to read a snapshot.
///
/// Members of objects and entries of maps keep the order in which the state writes them, floats
/// come back bit for bit, and an object that names a member twice is refused. Nothing that another
/// crate switches on in `serde_json` changes a stored byte or a result.
///
/// JSON has no integers beyond 64 bits inside free-form parts, no maps whose keys are neither text
/// nor numbers, no floats that are not finite, and no `Some(None)` or `Some(())`: the write that
/// holds one fails and says where.
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

    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error> {
        super::inspect(samples, "JSON", false)
    }

    fn digester(&self) -> Digester<S> {
        Digester::of_crate()
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(out, state)?)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        // It takes numbers that are maps for what they are.
        read::<Unique>(bytes, limits, false)?;
        read(bytes, limits, number::are_maps())
    }
}

/// Reads one value that is all of `bytes`. Without a limit of its own that of `serde_json` holds:
/// also what a type does not know, and skips, is bounded.
fn read<T: DeserializeOwned>(
    bytes: &[u8],
    limits: DecodeLimits,
    numbers_are_maps: bool,
) -> Result<T, BoxError> {
    let root = || Root::<T>::new(limits).numbers_as_maps(numbers_are_maps);
    let open = || {
        let mut decoder = serde_json::Deserializer::from_slice(bytes);
        if limits.max_depth.is_some() {
            decoder.disable_recursion_limit();
        }
        decoder
    };
    let mut decoder = open();
    let value = root().deserialize(&mut decoder);
    let value = value.map_err(|error| Located::at(error.into(), root(), &mut open()))?;
    decoder.end()?;
    Ok(value)
}
