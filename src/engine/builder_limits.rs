//! The builder's settings for limits and health.

use super::builder::EngineBuilder;
use super::health::HealthThresholds;
use super::shared_limits::SharedLimits;
use crate::state::Aggregate;

impl<A: Aggregate> EngineBuilder<A> {
    /// Sets the limits on concurrent work. Pass clones of the same limits to several engines to
    /// limit them together. By default, the engine has [`SharedLimits::new`] for itself.
    pub fn limits(mut self, limits: SharedLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the thresholds from which on the observer receives
    /// [`Observation::HealthChanged`](crate::engine::Observation::HealthChanged).
    pub fn health_thresholds(mut self, thresholds: HealthThresholds) -> Self {
        self.thresholds = thresholds;
        self
    }
}
