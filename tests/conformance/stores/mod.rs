//! A promise in the docs of a trait that nobody checks is a wish: stores, ours too, drift from it
//! one corner at a time. So the kit that we hand to other store authors runs over our own stores
//! first, and no promise may be without a case.

mod file;
mod memory;
#[cfg(feature = "object-store")]
mod object_store;
#[cfg(feature = "postgres")]
mod postgres;
mod register;
mod tiered;
mod verdicts;
