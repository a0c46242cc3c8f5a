//! Who may do what: [`Authenticator`] says who asks, a [`Principal`] what it may do, and the gate
//! makes a [`Permit`], without which no resource is read.

mod action;
mod api_key;
mod authenticator;
mod gate;
mod limiter;
mod principal;
mod quota;

pub use action::Action;
pub use api_key::{ApiKey, ApiKeys};
pub use authenticator::{Authenticator, Unauthorized};
pub(super) use gate::{Gate, Permit};
pub(super) use limiter::{Limiter, whole_seconds};
pub use principal::{Principal, Scope};
pub use quota::RequestQuota;
