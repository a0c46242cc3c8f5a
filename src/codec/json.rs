//! JSON: [`Json`].

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use super::depth::Root;
use super::place::Located;
use super::unique::Unique;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo, number};
use crate::error::{BoxError, Error};

/// JSON, for human-readable snapshots.
///
/// Object members and map entries keep the order in which the state serializes them. Floats are
/// restored bit for bit. Objects with duplicate members are refused. Features that other crates
/// enable in `serde_json` never change a stored byte or a result.
///
/// JSON cannot store `Some(None)`, `Some(())`, non-finite floats, or maps whose keys are not
/// strings, numbers or booleans. Inside flattened fields and inside internally tagged and untagged
/// enums, whose contents serde buffers, it also cannot store integers beyond 64 bits or maps with
/// number or boolean keys. Writing a state that contains one of these fails with an error that
/// names its location.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct can be used as a value")]
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
        // `Unique` accepts numbers as maps.
        read::<Unique>(bytes, limits, false)?;
        read(bytes, limits, number::are_maps())
    }
}

/// Reads one value, which must span all of `bytes`. Without a limit for the type, the limit of
/// `serde_json` applies, so skipped unknown parts are bounded too.
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
    let value = value.map_err(|error| Located::at(error.into(), root().limited(), &mut open()))?;
    decoder.end()?;
    Ok(value)
}
