//! bincode 2.0.1: [`Bincode`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::depth::Root;
use super::{Codec, CodecId, DecodeLimits, Digester, TypeInfo};
use crate::error::{BoxError, Error};

/// bincode 2 in its standard configuration, with a size limit.
///
/// The bincode crate is unmaintained (RUSTSEC-2025-0141). Choose this codec only to share an
/// encoding with code that already uses bincode. Like [`Postcard`](super::Postcard), it stores
/// fields by position, and the same checks apply. States larger than 64 MiB are refused.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct can be used as a value")]
pub struct Bincode;

/// The maximum size of one state, encoded or decoded: 64 MiB. Without a limit, a crafted length
/// makes bincode allocate any amount of memory.
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
        // The limit in the configuration applies only to decoding.
        let written = bincode::serde::encode_into_std_write(state, out, config())?;
        if written > LIMIT {
            let message =
                format!("the state is {written} bytes long, but the limit of bincode is {LIMIT}");
            return Err(format!("{message}: use another codec").into());
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
