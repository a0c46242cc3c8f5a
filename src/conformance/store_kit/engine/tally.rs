//! [`EngineTally`]: the aggregate that the engine loads.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::AggregateKey;
use crate::state::Aggregate;

/// Depends on every event and on their order, so that different histories fold to different states.
/// Each schema version folds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EngineTally<const SCHEMA: u32> {
    sum: i64,
    digest: u64,
}

impl<const SCHEMA: u32> Aggregate for EngineTally<SCHEMA> {
    type Event = i64;
    const KIND: &'static str = "tally";
    const SCHEMA_VERSION: u32 = SCHEMA;

    fn initial(_: &AggregateKey) -> Self {
        Self { sum: 0, digest: SCHEMA.into() }
    }

    fn apply(&mut self, amount: &i64) {
        self.sum = self.sum.wrapping_add(*amount);
        self.digest = self.digest.wrapping_mul(31).wrapping_add(amount.cast_unsigned());
    }
}

impl<const SCHEMA: u32> Serialize for EngineTally<SCHEMA> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.sum, self.digest).serialize(serializer)
    }
}

impl<'de, const SCHEMA: u32> Deserialize<'de> for EngineTally<SCHEMA> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (sum, digest) = Deserialize::deserialize(deserializer)?;
        Ok(Self { sum, digest })
    }
}
