//! Changes while they happen, as server-sent events.
//!
//! [`LiveChanges`] has one ring of events for each tenant. A stream is a position in it, so a slow
//! client holds up nobody, and costs nothing more.

mod changes;
mod event;
mod listener;
mod open_streams;
#[cfg(feature = "publish")]
mod publications;
mod ring;
mod stream;
mod streams;

pub use changes::LiveChanges;
pub use event::LiveEvent;
pub(super) use open_streams::OpenStreams;
pub(super) use ring::WantedEvents;
pub(super) use stream::LiveStream;
pub use streams::LiveStreams;
