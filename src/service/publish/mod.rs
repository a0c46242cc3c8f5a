//! Publications: artifacts that clients send, checked and published together ([`Publisher`]), and the
//! URLs with which they send them to a server of this crate ([`UploadUrls`]).

#[cfg(feature = "http")]
mod at_once;
mod begin;
mod builder;
mod collect;
mod finalize;
mod observer;
mod options;
mod pending_room;
mod publisher;
mod receive;
mod record;
mod record_intake;
mod refusal;
mod request;
mod sweep;
mod urls;

pub use builder::PublisherBuilder;
pub use collect::PublishCollection;
pub use observer::PublicationObserver;
pub use options::PublishOptions;
pub use publisher::Publisher;
pub use refusal::{PublishError, PublishRefusal, WrongPart};
pub use request::{PartUpload, PublishRequest, Published};
pub use sweep::PublishSweep;
pub use urls::{UploadGrant, UploadKeys, UploadQuery, UploadUrlVerdict, UploadUrls};
