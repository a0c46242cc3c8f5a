//! The schedules of the engine's own kind, in a ledger with schedules of all kinds.

use super::core::{EngineCore, other_kind};
use crate::error::{Error, ErrorKind};
use crate::ledger::{Ledger, Schedule, ScheduleKey};
use crate::state::Aggregate;
use crate::store::Page;

/// The page size for queries to the ledger, which return schedules of all kinds.
const PAGE: usize = 256;

impl<A: Aggregate> EngineCore<A> {
    /// Returns the ledger, after checking that `key` is for this kind.
    pub(super) fn scheduler(&self, key: Option<&ScheduleKey>) -> Result<&dyn Ledger, Error> {
        if let Some(key) = key.filter(|key| key.kind() != A::KIND) {
            return Err(other_kind::<A>(key));
        }
        self.recorder.as_ref().map(|recorder| recorder.ledger()).ok_or_else(|| {
            let message = "the engine has no ledger: set one with EngineBuilder::ledger";
            Error::new(ErrorKind::Unsupported, "use schedules", message)
        })
    }

    pub(super) async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        let ledger = self.scheduler(after)?;
        let mut items: Vec<Schedule> = Vec::new();
        let mut after = after.cloned();
        loop {
            let page = ledger.schedules(after.as_ref(), PAGE).await?;
            for schedule in page.items {
                if schedule.key.kind() != A::KIND {
                    continue;
                }
                if items.len() >= limit.max(1) {
                    let next = items.last().map(|last| last.key.clone());
                    return Ok(Page::new(items, next));
                }
                items.push(schedule);
            }
            if page.next.is_none() {
                return Ok(Page::new(items, None));
            }
            if page.next <= after {
                let message = "the ledger returned a page that does not follow the previous one: \
                               this is a bug in the ledger";
                return Err(Error::new(ErrorKind::Store, "list schedules", message));
            }
            after = page.next;
        }
    }
}
