//! Our own event sources under the kit that we hand to others, and no obligation without a case.

mod account;
#[cfg(feature = "postgres")]
mod foreign;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod register;
