//! Tests which clock determines the age of a cached state, without waiting for moka's clock.

use std::sync::Arc;
use std::time::Duration;

use super::{CacheConfig, Cached, HotCache};
use crate::clock::{Clock, ManualClock};
use crate::engine::load::empty;
use crate::engine::sizes::Weight;
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

#[derive(Clone)]
struct Nothing;

impl Aggregate for Nothing {
    type Event = ();
    const KIND: &'static str = "nothing";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self
    }

    fn apply(&mut self, (): &()) {}
}

/// Inserts a state that was loaded earlier by `before`, advances the engine's clock by `seconds`,
/// and returns whether the state is still served.
async fn is_served(is_injected: bool, before: Duration, seconds: u64) -> bool {
    let clock = ManualClock::at(Timestamp::from_seconds(0));
    clock.advance(Duration::from_secs(1_000));
    let config = CacheConfig::default()
        .time_to_live(Duration::from_secs(100))
        .time_to_idle(Duration::from_secs(50));
    let cache = HotCache::new(Some(config), Arc::new(clock.clone()), is_injected);
    let key = Nothing::key("a").unwrap();
    let (loaded, now) = (empty::<Nothing>(&key), clock.monotonic());
    let weight = Weight { bytes: 0, at_version: 0 };
    let cached = Cached::new(&loaded, weight, now.saturating_sub(before), cache.epoch(&key), now);
    cache.get_or_load(&key, async { Ok(cached) }).await.unwrap();
    clock.advance(Duration::from_secs(seconds));
    cache.get::<()>(&key).await.is_some()
}

#[tokio::test]
async fn the_clock_of_the_system_is_read_only_for_states_that_moka_takes_for_younger() {
    let (at_once, earlier) = (Duration::ZERO, Duration::from_secs(60));
    for (is_injected, before) in [(true, at_once), (true, earlier), (false, earlier)] {
        assert!(is_served(is_injected, before, 39).await);
        assert!(!is_served(is_injected, before, 50).await, "idle");
    }
    assert!(!is_served(false, earlier, 40).await, "100 seconds old");
    // moka expires it by its own clock, which has hardly advanced.
    assert!(is_served(false, at_once, 1_000).await);
}
