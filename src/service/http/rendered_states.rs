//! [`RenderedStates`]: the states now, as last rendered.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use super::media::Media;
use super::representation::Representation;
use crate::key::AggregateKey;
use crate::manager::OpaqueState;

/// The parts of the memory. Each has a lock of its own, which readers share. A state that is larger
/// than a part is not kept.
const PARTS: usize = 8;

/// The states now, as last rendered, within a bound of memory.
pub(super) struct RenderedStates(Cache<RenderedKey, Arc<Representation>, ByWeight>);

#[derive(PartialEq, Eq, Hash)]
struct RenderedKey(AggregateKey, Media);

/// The same, borrowed.
#[derive(Hash)]
struct BorrowedKey<'a>(&'a AggregateKey, Media);

#[derive(Clone)]
struct ByWeight;

impl RenderedStates {
    pub(super) fn new(bytes: u64) -> Self {
        // A small state takes about 4 KiB. The number only decides how large the tables are made.
        let states = usize::try_from(bytes / 4_096).unwrap_or(usize::MAX).clamp(256, 1 << 16);
        let mut options = OptionsBuilder::new();
        options.shards(PARTS).estimated_items_capacity(states).weight_capacity(bytes);
        let (hashes, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        // Nothing that the options need is missing.
        Self(match options.build() {
            Ok(options) => Cache::with_options(options, ByWeight, hashes, lifecycle),
            Err(_) => Cache::with(states, bytes, ByWeight, hashes, lifecycle),
        })
    }

    /// How this very state was rendered.
    pub(super) fn of(&self, state: &OpaqueState, media: Media) -> Option<Arc<Representation>> {
        let rendered = self.0.get(&BorrowedKey(state.key(), media))?;
        rendered.state.is_same(state).then_some(rendered)
    }

    pub(super) fn keep(&self, media: Media, rendered: Arc<Representation>) {
        self.0.insert(RenderedKey(rendered.state.key().clone(), media), rendered);
    }
}

impl Equivalent<RenderedKey> for BorrowedKey<'_> {
    fn equivalent(&self, key: &RenderedKey) -> bool {
        *self.0 == key.0 && self.1 == key.1
    }
}

impl Weighter<RenderedKey, Arc<Representation>> for ByWeight {
    fn weight(&self, _: &RenderedKey, rendered: &Arc<Representation>) -> u64 {
        rendered.weight() as u64
    }
}
