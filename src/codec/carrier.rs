//! Finds a codec that supports a state that another codec refused: [`OfCrate`].

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::digester::{BySerde, Told, Way};
use super::viewer::Viewer;
use super::{Codec, CodecId, DecodeLimits, Digester};
use crate::digest::{Failed, Survey};
use crate::error::BoxError;
use crate::value::{StateValue, ValueNode};

impl<S> Digester<S> {
    /// Creates the digester that [`serde`](Self::serde) creates, but for the codecs of this crate,
    /// which can replace one another.
    pub(super) fn of_crate() -> Self
    where
        S: Serialize + DeserializeOwned,
    {
        Self(Way::Serde(Arc::new(OfCrate)))
    }
}

/// For the codecs of this crate, which can replace one another.
struct OfCrate;

impl<S: Serialize + DeserializeOwned> Viewer<S> for OfCrate {
    fn view(&self, state: &S) -> Result<StateValue, BoxError> {
        BySerde.view(state)
    }

    #[cfg(feature = "http")]
    fn write_json(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        BySerde.write_json(state, out)
    }
}

impl<S: Serialize + DeserializeOwned> Told<S> for OfCrate {
    fn survey(&self, state: &S, max_depth: u16) -> Result<Survey, Failed> {
        BySerde.survey(state, max_depth)
    }

    fn digest(&self, state: &S, free_order: bool) -> Result<[u8; 16], Failed> {
        BySerde.digest(state, free_order)
    }

    fn tree(&self, state: &S) -> Option<ValueNode> {
        BySerde.tree(state)
    }

    fn carrier(&self, state: &S, limits: DecodeLimits, not: CodecId) -> Option<&'static str> {
        find(state, limits, not)
    }
}

/// Returns the name of a compiled-in codec other than `not` that can round-trip `state`.
///
/// Called only to compose an error message.
fn find<S: Serialize + DeserializeOwned>(
    state: &S,
    limits: DecodeLimits,
    not: CodecId,
) -> Option<&'static str> {
    macro_rules! first_of {
        ($($feature:literal $codec:ident)*) => {$(
            #[cfg(feature = $feature)]
            if survives(&super::$codec, state, limits, not) {
                return Some(stringify!($codec));
            }
        )*};
    }
    first_of! { "postcard" Postcard "msgpack" MessagePack "json" Json "bincode" Bincode }
    None
}

fn survives<S: Serialize>(
    codec: &impl Codec<S>,
    state: &S,
    limits: DecodeLimits,
    not: CodecId,
) -> bool {
    let digester = Digester::<S>::serde();
    let Ok(Some(written)) = digester.written(state, u16::MAX) else { return false };
    let mut bytes = Vec::new();
    let encoded =
        codec.id() != not && codec.inspect(&[]).is_ok() && codec.encode(state, &mut bytes).is_ok();
    encoded && codec.decode(&bytes, limits).is_ok_and(|it| digester.is_the_one(&written, &it))
}
