//! States over HTTP: a service that an application mounts into its own server.
//!
//! [`Delivery`] serves the states of an application's [`Kinds`](crate::manager::Kinds): now, at a
//! version or at a time, with exact caching and with time travel by RFC 7089. It is a
//! [`tower_service::Service`], so that axum (`nest_service`), hyper and tonic mount it. TLS, timeouts,
//! CORS and logs are the layers of the application.

mod body;
mod builder;
mod byte_range;
mod cache_policy;
mod condition;
mod cursor;
mod delivery;
mod delivery_mode;
mod delivery_modes;
mod download;
mod files;
mod guard;
mod gzip;
mod inspect;
mod links;
mod live;
mod media;
mod openapi;
mod path_segments;
mod problem;
mod problem_kind;
#[cfg(feature = "publish")]
mod publish;
mod query;
mod query_parameter;
mod read;
mod redirect;
mod rendered_states;
mod replace_file;
mod representation;
mod request_body;
mod resource;
mod route;
mod segment;
mod served;
mod snapshot_document;
mod state_document;
#[cfg(all(test, feature = "memory", feature = "postcard"))]
mod tests;
mod write;
#[cfg(feature = "zstd")]
mod zstd;

pub use body::DeliveryBody;
pub use builder::DeliveryBuilder;
pub use cache_policy::CachePolicy;
pub use delivery::Delivery;
pub use delivery_mode::DeliveryMode;
pub use delivery_modes::DeliveryModes;
pub use files::{ExportReport, StaticExport};
pub use guard::{
    AnyOf, ApiKey, ApiKeyFile, ApiKeyStore, ApiKeys, Authenticator, Permission, Principal,
    RequestQuota, Scope,
};
pub use live::{LiveChanges, LiveEvent, LiveStreams};
