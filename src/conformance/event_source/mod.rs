//! For application authors and authors of event stores: does an event source keep its obligations?

mod concurrent;
pub(super) mod context;
mod ends;
mod fused;
mod hostile;
mod judge;
mod lists;
mod reads;
mod run;
mod site;
mod subject;

use super::case::Case;
use super::scorecard::Scorecard;
use crate::state::Aggregate;

pub use run::SourceConformance;
pub use site::{EventSite, EventSourceFactory, Fused, Kept, NewEvent, event_sites};

/// The tables of all rooms, in the order of the levels.
const TABLES: &[&[Case]] =
    &[reads::CASES, ends::CASES, lists::CASES, concurrent::CASES, hostile::CASES, fused::CASES];

/// Every case of the kit for event sources, in the order in which they are run: a register of what
/// it proves.
pub fn source_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

/// Runs the whole kit over the event sources that `factory` makes, with the default settings of
/// [`SourceConformance`]. The [guide](crate::guide::event_sources) has an example.
pub async fn event_source<A: Aggregate>(factory: &dyn EventSourceFactory<A>) -> Scorecard {
    SourceConformance::of(factory).run().await
}
