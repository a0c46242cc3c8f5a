//! [`DeltaPlan`]: how an engine makes deltas.

use std::sync::{Mutex, PoisonError};

use super::delta_pace::DeltaPace;
use crate::compress::Compression;

/// How an engine makes deltas.
pub(super) struct DeltaPlan {
    pub(super) compression: Compression,
    pub(super) max_deltas: u32,
    pub(super) max_percent: u8,
    pub(super) min_bytes: u64,
    pub(super) max_bytes: u64,
    /// Set if it stops trying where deltas do not pay.
    pub(super) pace: Option<Mutex<DeltaPace>>,
}

impl DeltaPlan {
    /// Returns whether this save tries a delta.
    pub(super) fn tries(&self) -> bool {
        self.max_deltas > 0 && self.with_pace(DeltaPace::tries).unwrap_or(true)
    }

    /// Counts a delta that was made, and whether it was small enough to be stored.
    pub(super) fn made(&self, is_stored: bool) {
        self.with_pace(|pace| pace.made(is_stored));
    }

    fn with_pace<T>(&self, decide: impl FnOnce(&mut DeltaPace) -> T) -> Option<T> {
        let pace = self.pace.as_ref()?;
        Some(decide(&mut pace.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
