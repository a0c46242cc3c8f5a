//! bincode 2.0.1: [`Bincode`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::depth::Root;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};

/// bincode 2 in its standard configuration, with a size limit.
///
/// The bincode crate is unmaintained (RUSTSEC-2025-0141): choose it only to share an encoding
/// with code that already uses it. Positional like [`Postcard`](super::Postcard), and guarded
/// the same way. States of more than 64 MiB are refused.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct, so that its name is a value")]
pub struct Bincode;

/// The most bytes that one state may claim, encoded or decoded: 64 MiB. Without a limit a crafted
/// length makes bincode ask the allocator for any amount.
const LIMIT: usize = 64 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

impl<S: Serialize + DeserializeOwned> Codec<S> for Bincode {
    fn id(&self) -> CodecId {
        CodecId::BINCODE
    }

    fn is_self_describing(&self) -> bool {
        false
    }

    fn inspect(&self, samples: &[S]) -> Result<TypeInfo, Error> {
        super::inspect(samples, "bincode", true)
    }

    fn digester(&self) -> Digester<S> {
        Digester::of_crate()
    }

    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        // The limit in the configuration holds for decoding only.
        let written = bincode::serde::encode_into_std_write(state, out, config())?;
        if written > LIMIT {
            return Err(format!("the state has {written} bytes, the limit is {LIMIT}").into());
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<S, BoxError> {
        let root = Root::<S>::new(limits);
        let (state, used) = bincode::serde::seed_decode_from_slice(root, bytes, config())?;
        super::all_consumed(bytes.len() - used)?;
        Ok(state)
    }
}
