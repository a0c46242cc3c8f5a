//! Who may do what: [`Authenticator`] says who asks, a [`Principal`] what it may do, and the gate
//! makes a [`Permit`], without which no resource is read.

mod action;
mod api_key;
mod authenticator;
mod gate;
mod principal;

pub use action::Action;
pub use api_key::{ApiKey, ApiKeys};
pub use authenticator::{Authenticator, Unauthorized};
pub(super) use gate::{Gate, Permit};
pub use principal::{Principal, Scope};
