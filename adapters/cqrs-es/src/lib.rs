#![doc = include_str!("../README.md")]

mod events;
mod state;
mod store;
mod upcast;

#[doc(hidden)]
pub mod doc;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use events::RepositoryEvents;
pub use state::State;
pub use store::{Context, SnapfoldEventStore};
