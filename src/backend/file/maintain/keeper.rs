//! [`Keeper`]: the background thread that prepares segments and compacts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::backend::file::core::Core;
use crate::error::{Error, ErrorKind};

/// Maintains a store in the background.
pub(crate) struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The minimum time between two checks, so that a burst of deletes causes only one.
const PAUSE: Duration = Duration::from_millis(20);

impl Keeper {
    pub(crate) fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("snapfold-keeper".into()).spawn({
            let (core, stop) = (Arc::clone(core), Arc::clone(&stop));
            move || {
                if catch_unwind(AssertUnwindSafe(|| run(&core, &stop))).is_err() {
                    let message = "the background thread panicked: reopen the store, \
                                   or call compact() after deletes";
                    core.troubles.report(&Error::new(
                        ErrorKind::Store,
                        "maintain the store",
                        message,
                    ));
                }
            }
        })?;
        core.maintenance.listen(thread.thread().clone());
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A caller could not do anything about a panic of this thread.
            let _ = thread.join();
        }
    }
}

fn run(core: &Core, stop: &AtomicBool) {
    let stopped = || stop.load(Ordering::SeqCst) || core.health.is_poisoned();
    while !stopped() {
        core.fill_reserve();
        if core.wants_segment() {
            match core.prepare(core.zero_bytes()) {
                Ok(prepared) => core.offer(prepared),
                Err(error) => core.troubles.report(&error),
            }
        }
        let mut interrupted = false;
        if core.wants_compaction() {
            let began = Instant::now();
            let mut copied = 0_u64;
            let in_the_way = || stopped() || core.maintenance.is_waited_for();
            let compacted = core.compact(&mut |bytes| {
                copied += bytes;
                rest(core, began, copied, &in_the_way);
                interrupted = in_the_way();
                !interrupted
            });
            // The next check tries again.
            if let Err(error) = compacted {
                core.troubles.report(&error);
            }
        }
        if !stopped() {
            if !interrupted {
                thread::park();
            }
            rest_for(PAUSE, &stopped);
        }
    }
}

/// Waits until the rate of `copied` bytes since `began` is within the configured limit.
fn rest(core: &Core, began: Instant, copied: u64, stopped: &dyn Fn() -> bool) {
    let rate = core.config.compact_bytes_per_second;
    if let Some(due) = copied.saturating_mul(1_000_000).checked_div(rate) {
        let due = Duration::from_micros(due);
        rest_for(due.saturating_sub(began.elapsed()), stopped);
    }
}

fn rest_for(time: Duration, stopped: &dyn Fn() -> bool) {
    let until = Instant::now() + time;
    while !stopped() {
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => thread::park_timeout(left),
            _ => return,
        }
    }
}
