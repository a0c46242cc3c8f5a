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
        read::<Unique>(bytes, limits.max_depth, false)?;
        read(bytes, limits.max_depth, number::are_maps())
    }
}

/// Reads one value that is all of `bytes`. Without a limit of its own that of `serde_json` holds:
/// also what a type does not know, and skips, is bounded.
fn read<T: DeserializeOwned>(
    bytes: &[u8],
    max_depth: Option<u16>,
    numbers_as_maps: bool,
) -> Result<T, BoxError> {
    let mut decoder = serde_json::Deserializer::from_slice(bytes);
    let value = match max_depth {
        None if !numbers_as_maps => T::deserialize(&mut decoder),
        _ => {
            decoder.disable_recursion_limit();
            bounded(max_depth, numbers_as_maps).deserialize(&mut decoder)
        }
    };
    let value = value.map_err(|error| {
        let mut again = serde_json::Deserializer::from_slice(bytes);
        again.disable_recursion_limit();
        Located::at(error.into(), bounded::<T>(max_depth, numbers_as_maps), &mut again)
    })?;
    decoder.end()?;
    Ok(value)
}

fn bounded<T>(max_depth: Option<u16>, numbers_as_maps: bool) -> Root<T> {
    let root = Root::new(max_depth.unwrap_or(DEPTH));
    if numbers_as_maps { root.numbers_as_maps() } else { root }
}

/// Levels that each hold an array or an object of JSON, or a name in it.
const DEPTH: u16 = 128;
