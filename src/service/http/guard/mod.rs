//! Who may do what: [`Authenticator`] says who asks, a [`Principal`] what it may do, and the gate
//! makes a [`Permit`], without which no resource is read.

mod access;
mod all_or_list;
mod any_of;
mod api_key;
mod api_key_file;
mod api_key_store;
mod api_keys;
mod authenticator;
mod gate;
mod key_file;
mod limiter;
mod permission;
mod presented_key;
mod principal;
mod quota;
mod stored_key;

#[cfg(feature = "publish")]
pub(super) use access::AccessNote;
pub(super) use access::AccessSums;
pub use any_of::AnyOf;
pub use api_key::ApiKey;
pub use api_key_file::ApiKeyFile;
pub use api_key_store::ApiKeyStore;
pub use api_keys::ApiKeys;
pub use authenticator::Authenticator;
pub(super) use gate::{Gate, Permit, StillAdmitted};
pub(super) use limiter::{Limiter, prepare, whole_seconds};
pub use permission::Permission;
pub use principal::{Principal, Scope};
pub use quota::RequestQuota;
