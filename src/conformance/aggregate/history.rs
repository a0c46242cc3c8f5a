//! [`generate`](HistoryPlan::generate): generates the histories on which the laws are judged.

use super::choices::Choices;
use super::panics::catch;
use super::under_test::AggregateUnderTest;
use crate::error::{Error, ErrorKind};
use crate::state::Aggregate;

/// The events of one generated aggregate, oldest first.
pub(super) struct History<E> {
    pub(super) number: u32,
    pub(super) events: Vec<E>,
}

impl<E> History<E> {
    pub(super) fn events(&self) -> Vec<&E> {
        self.events.iter().collect()
    }
}

/// The settings for generating histories.
pub(super) struct HistoryPlan<A: Aggregate> {
    pub(super) seed: u64,
    pub(super) histories: u32,
    pub(super) longest: u32,
    pub(super) next: Box<Next<A>>,
    pub(super) is_over: Option<Box<IsOver<A>>>,
}

pub(super) type Next<A> = dyn Fn(&A, &mut Choices) -> <A as Aggregate>::Event + Send + Sync;
pub(super) type IsOver<A> = dyn Fn(&A) -> bool + Send + Sync;

impl<A: Aggregate> HistoryPlan<A> {
    /// Generates all histories: the first one has the maximum length, the second one is empty, the
    /// others have a random length. If `apply` panics, the history ends with that event.
    pub(super) fn generate(
        &self,
        subject: &AggregateUnderTest<A>,
    ) -> Result<Vec<History<A::Event>>, Error> {
        (0..self.histories).map(|number| self.history(subject, number)).collect()
    }

    fn history(
        &self,
        subject: &AggregateUnderTest<A>,
        number: u32,
    ) -> Result<History<A::Event>, Error> {
        let mut choices = Choices::new(self.seed ^ u64::from(number).wrapping_mul(0x9e37_79b9));
        let len = match number {
            0 => self.longest,
            1 => 0,
            _ => u32::try_from(choices.below(u64::from(self.longest) + 1)).unwrap_or(self.longest),
        };
        let mut events = Vec::new();
        let Ok(mut state) = subject.initial() else { return Ok(History { number, events }) };
        for _ in 0..len {
            let next = catch(|| {
                let over = self.is_over.as_ref().is_some_and(|is_over| is_over(&state));
                (!over).then(|| (self.next)(&state, &mut choices))
            });
            let next = next.map_err(|panicked| {
                Error::new(
                    ErrorKind::InvalidInput,
                    "generate a history",
                    format!("the event generator panicked: {panicked}"),
                )
            })?;
            let Some(event) = next else { break };
            events.push(event);
            let Some(event) = events.last() else { break };
            if catch(|| state.apply(event)).is_err() {
                break;
            }
        }
        Ok(History { number, events })
    }
}
