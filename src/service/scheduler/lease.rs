//! [`HeldLease`]: the lease of a run in progress.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::settings::Settings;
use crate::error::{Error, ErrorKind, Retry};
use crate::ledger::{Claim, Schedule};
use crate::timestamp::Timestamp;

/// How long to wait before the end of a run is recorded again.
const AGAIN: Duration = Duration::from_secs(1);

/// The lease of a claimed run. All its times are counted from the claim by the monotonic clock, so
/// that a jump of the wall clock during the run has no effect.
pub(super) struct HeldLease {
    settings: Arc<Settings>,
    pub(super) claim: Claim,
    pub(super) claimed_at: Timestamp,
    /// The monotonic time of the claim.
    started: Duration,
    /// The monotonic time at which it ends. Other nodes may end it earlier or later by the
    /// difference of their clocks.
    end: Duration,
}

impl HeldLease {
    /// Claims the run of `schedule` that is due at `due`; `None` if another node has it.
    pub(super) async fn claim(
        settings: &Arc<Settings>,
        schedule: &Schedule,
        due: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let (now, started) = (settings.clock.now(), settings.clock.monotonic());
        let until = now.saturating_add(settings.lease);
        let claiming = settings.ledger.claim(&schedule.key, due, &settings.owner, now, until);
        let claim = answered(settings.lease, claiming).await?;
        let end = started.saturating_add(settings.lease);
        let held = |claim| {
            let settings = Arc::clone(settings);
            Self { settings, claim, claimed_at: now, started, end }
        };
        let Some(mut held) = claim.map(held) else { return Ok(None) };
        // The ledger was slow, and the rest of the lease is short or over.
        if held.left() < settings.lease / 2 && !held.renew(settings.lease).await? {
            return Ok(None);
        }
        Ok(Some(held))
    }

    /// The time since the claim.
    pub(super) fn elapsed(&self) -> Duration {
        self.settings.clock.monotonic().saturating_sub(self.started)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.claimed_at.saturating_add(self.elapsed())
    }

    /// The time until it ends.
    pub(super) fn left(&self) -> Duration {
        self.end.saturating_sub(self.settings.clock.monotonic())
    }

    /// When it ends, by the wall clock.
    pub(super) fn ends_at(&self) -> Timestamp {
        self.now().saturating_add(self.left())
    }

    /// Moves its end to a full lease from now; false if it is lost. A lease that has ended can be
    /// renewed if no other node has claimed the run.
    pub(super) async fn renew(&mut self, within: Duration) -> Result<bool, Error> {
        let lease = self.settings.lease;
        let end = self.settings.clock.monotonic().saturating_add(lease);
        let renewing = self.settings.ledger.renew(&self.claim, self.now().saturating_add(lease));
        let renewed = answered(within, renewing).await?;
        if renewed {
            self.end = end;
        }
        Ok(renewed)
    }

    /// Keeps the run from being claimed until `at`, and gives it up then; false if it is lost.
    pub(super) async fn park(&self, at: Timestamp) -> Result<bool, Error> {
        answered(self.settings.lease, self.settings.ledger.renew(&self.claim, at)).await
    }

    /// Lets other nodes repeat the run immediately.
    pub(super) async fn release(&self) -> Result<bool, Error> {
        answered(self.settings.lease, self.settings.ledger.release(&self.claim)).await
    }

    /// Records the end of the run; false if the lease is lost. Tries again until it ends.
    pub(super) async fn complete(&self, next: Option<Timestamp>) -> Result<bool, Error> {
        let mut may_be_done = false;
        loop {
            let completing = self.settings.ledger.complete(&self.claim, next);
            match answered(self.left().max(AGAIN), completing).await {
                // Nobody else can have ended it.
                Ok(false) if may_be_done && !self.left().is_zero() => return Ok(true),
                Err(error) if error.is_retryable() && !self.left().is_zero() => {
                    may_be_done |= error.retry() == Retry::Unknown;
                    sleep(AGAIN.min(self.left())).await;
                }
                answer => return answer,
            }
        }
    }
}

/// The answer of the ledger, if it comes in time.
pub(super) async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(within, call).await.unwrap_or_else(|_| {
        let message = format!("the ledger did not answer within {within:?}");
        Err(Error::new(ErrorKind::Timeout, "run a schedule", message).with_retry(Retry::Unknown))
    })
}
