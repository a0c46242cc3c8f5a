//! Test kits that check the obligations of [`SnapshotStore`](crate::SnapshotStore)s,
//! [`EventSource`](crate::EventSource)s, [`Ledger`](crate::ledger::Ledger)s,
//! [`ArtifactStore`](crate::artifact::ArtifactStore)s and stores of publications, and the laws of
//! [`Aggregate`](crate::Aggregate)s.
//!
//! # For authors of stores
//! Each obligation in the docs of [`SnapshotStore`](crate::SnapshotStore) has an id, and each case
//! of the kit lists the ids that it checks. One call runs all cases, each on a separate store:
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
//! A store that keeps data outside its process implements [`StoreFactory`] and [`Site`] instead. A
//! site is a directory, a schema or another place that holds the data of one store. Dropping the
//! site removes the data. The optional abilities of a site (such as simulating a crash or damaging
//! a record) let the kit check more.
//!
//! # For authors of event sources
//! A wrong event source is the most likely cause of a wrong state. [`event_source`] runs a similar
//! kit. The application provides an [`EventSite`], which appends made-up events as the application
//! does. The kit checks each obligation of [`EventSource`](crate::EventSource) and
//! [`HybridSource`](crate::events::HybridSource) and reports it by its id. The
//! [guide](crate::guide::event_sources) has a complete example.
//!
//! # For authors of ledgers
//! [`ledger`](fn@ledger) runs the cases for the obligations of [`Ledger`](crate::ledger::Ledger)
//! (L-01 and so on) on the ledgers that a [`LedgerFactory`] creates, each with several nodes.
//!
//! # For authors of artifact stores
//! [`artifacts`](fn@artifacts) runs the cases for the obligations of
//! [`ArtifactStore`](crate::artifact::ArtifactStore) (A-01 and so on) on the stores of the sites that
//! an [`ArtifactFactory`] creates. An [`ArtifactSite`] also plays the client that uses signed URLs.
//!
//! # For authors of stores of publications
//! With the feature `publish`, `publications` runs the cases for the obligations of
//! `publication::PublicationStore` (P-01 and so on) on the stores that a `PublicationFactory`
//! creates, each with several nodes.
//!
//! # The scorecard
//! A [`Scorecard`] lists for each case whether it passed, failed (with the ids of the broken
//! obligations, the expected and the actual result), or was skipped (with the missing capability or
//! ability). It prints as a table of 80 columns and converts to JSON. Both forms are suitable for
//! publication. A failing case names *one* obligation if it can: a snapshot that is listed but not
//! found is a wrong lookup, not a lost put.
//!
//! # Limits
//! The kit checks only what the trait exposes. Whether a store syncs before it acknowledges is
//! checked only as far as [`Site::crash`] simulates a real crash. The kit does not see how much
//! work a call does, so it reports durations but does not judge them.

mod aggregate;
mod answer;
mod artifacts;
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
#[cfg(feature = "publish")]
mod publications;
mod run;
mod samples;
mod scorecard;
mod store_kit;

pub use aggregate::{
    AggregateCheck, Choices, FailingHistory, Law, LawFinding, LawOutcome, LawReport, LawVerdict,
    LawsBroken, aggregate, aggregate_with_codec,
};
pub use artifacts::{ArtifactFactory, ArtifactSite, artifact_cases, artifacts};
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
#[cfg(feature = "publish")]
pub use publications::{PublicationFactory, publication_cases, publications};
pub use run::Conformance;
pub use scorecard::{CaseResult, CaseVerdict, NotConformant, Scorecard, Tally};
pub use store_kit::cases;

/// Runs the whole kit on the stores that `factory` creates, with the default settings of
/// [`Conformance`].
pub async fn store(factory: &dyn StoreFactory) -> Scorecard {
    Conformance::of(factory).run().await
}
