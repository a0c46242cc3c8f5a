//! The kit for event sources.

mod concurrent;
pub(super) mod context;
mod ends;
mod hostile;
mod hybrid;
mod judge;
mod lists;
mod reads;
mod register;
mod run;
mod site;
mod under_test;

use super::scorecard::Scorecard;
use crate::state::Aggregate;

pub use register::source_cases;
pub use run::SourceConformance;
pub use site::{EventSite, EventSourceFactory, HybridPair, Kept, NewEvent, event_sites};

/// Runs the whole kit on the event sources that `factory` creates, with the default settings of
/// [`SourceConformance`]. The [guide](crate::guide::event_sources) has an example.
pub async fn event_source<A: Aggregate>(factory: &dyn EventSourceFactory<A>) -> Scorecard {
    SourceConformance::of(factory).run().await
}
