//! [`SaveSettings`]: the configuration of background snapshots, their retention and their checks.

use super::incremental::Incremental;
use super::spot_checks::SpotChecks;
use super::when_full::WhenFull;
use crate::retention::{Retention, keep_last};

/// How snapshots are taken and removed in the background.
pub(super) struct SaveSettings {
    pub(super) max_queued: usize,
    pub(super) parallel: usize,
    pub(super) when_full: WhenFull,
    pub(super) encode_in_place: u64,
    pub(super) retention: Option<Box<dyn Retention>>,
    pub(super) incremental: Option<Incremental>,
    pub(super) spot_checks: Option<SpotChecks>,
}

impl Default for SaveSettings {
    fn default() -> Self {
        Self {
            max_queued: 1_024,
            parallel: 4,
            when_full: WhenFull::default(),
            encode_in_place: 64 << 10,
            // One more than a load tries.
            retention: Some(Box::new(keep_last(4))),
            incremental: None,
            spot_checks: Some(SpotChecks::default()),
        }
    }
}
