//! Who may do what: [`Authenticator`] says who asks, a [`Principal`] what it may do, and the gate
//! makes a [`Permit`], without which no resource is read.

mod api_key;
mod authenticator;
mod gate;
mod limiter;
mod permission;
mod principal;
mod quota;

pub use api_key::{ApiKey, ApiKeys};
pub use authenticator::{Authenticator, Unauthorized};
pub(super) use gate::{Gate, Permit};
pub(super) use limiter::{Limiter, whole_seconds};
pub use permission::Permission;
pub use principal::{Principal, Scope};
pub use quota::RequestQuota;
