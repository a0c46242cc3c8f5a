//! What loads learn from the answers and failures of the store.

use super::core::EngineCore;
use super::health::HealthSignal;
use super::statistics::Trouble;
use super::store_breaker::StoreBreaker;
use crate::error::{Error, ErrorKind, Retry};
use crate::state::Aggregate;

impl<A: Aggregate> EngineCore<A> {
    /// Returns the error for a load that does not ask the store, because the store is down. `None`
    /// if the load asks.
    #[inline]
    pub(super) fn store_is_skipped(&self) -> Option<Error> {
        let breaker = self.breaker.as_ref()?;
        if !breaker.is_down() || breaker.asks(self.clock.monotonic()) {
            return None;
        }
        let message = "the store failed for several loads in a row, and only one load in a while \
                       asks it again";
        Some(Error::new(ErrorKind::Store, "find a snapshot", message).with_retry(Retry::Later))
    }

    /// Returns an error for a background snapshot while the store is down. It could not be stored,
    /// and its replay would delay a load.
    pub(super) fn store_is_down(&self) -> Option<Error> {
        let breaker = self.breaker.as_ref()?;
        breaker.is_pausing(self.clock.monotonic()).then(|| {
            let message = "the store failed for several loads in a row";
            Error::new(ErrorKind::Store, "take a background snapshot", message)
                .with_retry(Retry::Later)
        })
    }

    /// Records that the store answered a load.
    #[inline]
    pub(super) fn store_answered(&self) {
        if self.breaker.as_ref().is_some_and(StoreBreaker::answered) {
            self.report_signal(HealthSignal::StoreDown, false, 0, 1);
        }
    }

    /// Counts a failure of the store during a load.
    #[cold]
    pub(super) fn store_failed(&self, error: &Error) {
        self.failed(Trouble::StoreFailed, "a load could not use the store", Some(error));
        // An invalid request says nothing about the store.
        if error.kind() != ErrorKind::InvalidInput
            && let Some(breaker) = &self.breaker
            && breaker.failed(self.clock.monotonic())
        {
            self.report_signal(HealthSignal::StoreDown, true, 1, 1);
        }
    }
}
