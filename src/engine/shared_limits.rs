//! [`SharedLimits`]: limits on the work that engines do at the same time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Encoded bytes are counted in units of this size, rounded up.
const UNIT: u64 = 1_024;

/// Limits on the work that engines do at the same time. Clones share the limits.
///
/// Pass clones to the builders of several engines
/// ([`EngineBuilder::limits`](crate::engine::EngineBuilder::limits)) to limit them together. By
/// default, each engine has limits of its own. Whoever waits longest comes first.
///
/// | limit | default |
/// |---|---|
/// | [`replays`](Self::replays) | 32 |
/// | [`replay_wait`](Self::replay_wait) | 30 seconds |
/// | [`saves`](Self::saves) | none, apart from [`parallel_saves`](crate::engine::EngineBuilder::parallel_saves) of each engine |
/// | [`save_bytes`](Self::save_bytes) | 64 MiB |
///
/// The methods that set a limit return new limits, which earlier clones do not share. Set all of
/// them before you clone.
///
/// ```
/// use snapfold::engine::SharedLimits;
///
/// let limits = SharedLimits::new().replays(16).save_bytes(16 << 20);
/// let for_another_engine = limits.clone();
/// # let _ = for_another_engine;
/// ```
#[derive(Clone)]
pub struct SharedLimits {
    settings: LimitSettings,
    pub(super) pools: Arc<LimitPools>,
}

#[derive(Clone, Copy)]
struct LimitSettings {
    replays: usize,
    replay_wait: Duration,
    saves: usize,
    save_bytes: u64,
}

/// What is left of each limit.
pub(super) struct LimitPools {
    pub(super) replays: Semaphore,
    /// How many loads wait for a replay.
    pub(super) waiting: AtomicUsize,
    pub(super) saves: Semaphore,
    /// In units of [`UNIT`].
    pub(super) bytes: Arc<Semaphore>,
}

impl SharedLimits {
    /// Creates limits with the defaults.
    pub fn new() -> Self {
        Self::with(LimitSettings {
            replays: 32,
            replay_wait: Duration::from_secs(30),
            saves: usize::MAX,
            save_bytes: 64 << 20,
        })
    }

    fn with(settings: LimitSettings) -> Self {
        let pool = |permits: usize| Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS));
        let units = usize::try_from(settings.save_bytes / UNIT).unwrap_or(usize::MAX);
        let pools = LimitPools {
            replays: pool(settings.replays),
            waiting: AtomicUsize::new(0),
            saves: pool(settings.saves),
            // A single acquisition takes at most `u32::MAX` units, so more than this never helps.
            bytes: Arc::new(pool(units.min(u32::MAX as usize))),
        };
        Self { settings, pools: Arc::new(pools) }
    }

    /// Sets how many full replays may run at once; 0 is treated as 1.
    ///
    /// A full replay is a load that folds the events from the beginning, because no snapshot was
    /// usable or the store failed, and each rebuild or refold. Loads that start from a snapshot or
    /// from the hot cache never wait. While all replays are taken, a load of an aggregate without
    /// snapshots first reads up to 1,000 events, and waits only if there are more. The others wait
    /// before they read anything.
    pub fn replays(self, replays: usize) -> Self {
        Self::with(LimitSettings { replays, ..self.settings })
    }

    /// Sets how long a load waits for its replay. After this time, it fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) and
    /// [`Retry::Later`](crate::Retry::Later). The time is measured by the tokio runtime; without
    /// one, or without its timers, a load waits until replays before it have ended.
    ///
    /// An event source that loads other aggregates through the same limits while it is being read
    /// can use up all replays, so that they wait for each other until this time is over.
    pub fn replay_wait(self, replay_wait: Duration) -> Self {
        Self::with(LimitSettings { replay_wait, ..self.settings })
    }

    /// Sets how many aggregates may be loaded and encoded at once for background snapshots; 0 is
    /// treated as 1. Applies in addition to
    /// [`parallel_saves`](crate::engine::EngineBuilder::parallel_saves) of each engine.
    pub fn saves(self, saves: usize) -> Self {
        Self::with(LimitSettings { saves, ..self.settings })
    }

    /// Sets how many bytes of encoded background snapshots may wait for the store or be written at
    /// once; less than 1 KiB is treated as 1 KiB. A snapshot that does not fit waits after it was
    /// encoded, so at most one snapshot for each of the [`saves`](Self::saves) comes on top. A
    /// snapshot that is larger than the limit is written when no other is in flight.
    pub fn save_bytes(self, save_bytes: u64) -> Self {
        Self::with(LimitSettings { save_bytes, ..self.settings })
    }

    /// Returns the number of full replays that are running now.
    pub fn replays_running(&self) -> usize {
        let all = self.settings.replays.clamp(1, Semaphore::MAX_PERMITS);
        all.saturating_sub(self.pools.replays.available_permits())
    }

    /// Returns the number of loads that wait for a replay now.
    pub fn replays_waiting(&self) -> usize {
        self.pools.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn longest_wait(&self) -> Duration {
        self.settings.replay_wait
    }

    /// Returns how many units of the byte limit a record takes.
    pub(super) fn units(&self, bytes: u64) -> u32 {
        let all = (self.settings.save_bytes / UNIT).max(1);
        u32::try_from(bytes.div_ceil(UNIT).min(all)).unwrap_or(u32::MAX)
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitSettings { replays, replay_wait, saves, save_bytes } = self.settings;
        f.debug_struct("SharedLimits")
            .field("replays", &replays)
            .field("replay_wait", &replay_wait)
            .field("saves", &saves)
            .field("save_bytes", &save_bytes)
            .field("replays_running", &self.replays_running())
            .field("replays_waiting", &self.replays_waiting())
            .finish_non_exhaustive()
    }
}
