//! Proof for both sides of the traits: [`SnapshotStore`](crate::SnapshotStore)s and
//! [`EventSource`](crate::EventSource)s keep their obligations, [`Aggregate`](crate::Aggregate)s
//! their laws.
//!
//! # For authors of stores
//! Each obligation in the docs of [`SnapshotStore`](crate::SnapshotStore) has an id, and each case
//! of the kit names the ids that it checks. One call runs them all, each on a store of its own:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # use snapfold::conformance::{Conformance, Level};
//! use std::sync::Arc;
//! use snapfold::{MemoryStore, conformance};
//!
//! let factory = conformance::in_memory(|| Arc::new(MemoryStore::new()));
//! # let store = async |factory| Conformance::of(factory).only(Level::Core).run().await;
//! # /*
//! let card = conformance::store(&factory).await;
//! # */ let card = store(&factory).await;
//! card.into_result()?; // `Err` shows the whole scorecard
//! # Ok::<(), conformance::NotConformant>(())
//! # }).unwrap();
//! ```
//!
//! A store that keeps something implements [`StoreFactory`] and [`Site`] instead: a site is a
//! directory, a schema or whatever one store fills, and is removed when it is dropped. What a site
//! can do beyond opening its store (crash, be damaged) lets the kit prove more.
//!
//! # For those who implement event sources
//! A wrong event source is the likeliest way to a wrong state. [`event_source`] runs a kit of the
//! same manners: the application gives an [`EventSite`], which appends made-up events as the
//! application does, and each obligation of [`EventSource`](crate::EventSource) and
//! [`HybridSource`](crate::events::HybridSource) is tried and named by its id. The
//! [guide](crate::guide::event_sources) has a whole example.
//!
//! # The scorecard
//! A [`Scorecard`] says of each case whether it passed, failed (with the ids of the broken promises,
//! what was expected and what came), or was skipped, and then which capability or ability was
//! missing. It prints as a table of 80 columns and turns into JSON; both are made to be published.
//! A case that fails names *one* promise wherever it can tell: a snapshot that is not found, but
//! listed, is a wrong lookup and not a lost put.
//!
//! # For authors of ledgers
//! [`ledger`](fn@ledger) runs the cases for the obligations of [`Ledger`](crate::ledger::Ledger) (L-01 and
//! so on) over the ledgers that a [`LedgerFactory`] makes, each on several nodes.
//!
//! # What it cannot tell
//! The kit sees what the trait shows. That a store syncs before it acknowledges is proven only as
//! far as [`Site::crash`] is honest; how much work a call does inside, it does not see, so times are
//! reported and never judged.

mod aggregate;
mod case;
mod cut_off;
mod event_source;
mod factory;
mod failure;
mod in_memory;
mod isolate;
mod ledger;
mod level;
mod probe;
mod run;
mod samples;
mod scorecard;
mod store_kit;

pub use aggregate::{
    AggregateCheck, Choices, FailingHistory, Law, LawFinding, LawOutcome, LawReport, LawVerdict,
    LawsBroken, aggregate, aggregate_with_codec,
};
pub use case::Case;
pub use event_source::{
    EventSite, EventSourceFactory, HybridPair, Kept, NewEvent, SourceConformance, event_sites,
    event_source, source_cases,
};
pub use factory::{Site, StoreFactory};
pub use failure::Failure;
pub use in_memory::in_memory;
pub use ledger::{LedgerCase, LedgerFactory, LedgerReport, NotALedger, ledger, ledger_cases};
pub use level::Level;
pub use run::Conformance;
pub use scorecard::{CaseResult, CaseVerdict, NotConformant, Scorecard, Tally};
pub use store_kit::cases;

/// Runs the whole kit over the stores that `factory` makes, with the default settings of
/// [`Conformance`].
pub async fn store(factory: &dyn StoreFactory) -> Scorecard {
    Conformance::of(factory).run().await
}
