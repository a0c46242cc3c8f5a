//! Webhooks by the specification Standard Webhooks 1.0.
//!
//! A [`WebhookOutbox`] keeps messages until they are delivered: [`StoreOutbox`] does so in any
//! [`SnapshotStore`](crate::SnapshotStore). A [`WebhookSender`] signs them with the
//! [`WebhookSecret`]s of their [`WebhookEndpoint`], sends them with the [`WebhookTransport`] of the
//! application, and tries again by a [`RetrySchedule`]. A receiver verifies them with
//! [`WebhookSecret::verify`], or with any library of the specification.
//!
//! The guide is `docs/webhooks.md`.

mod endpoint;
mod message;
mod outbox;
#[cfg(feature = "publish")]
mod publications;
mod report;
mod schedule;
mod secret;
mod sender;
mod store_outbox;
mod stored;
mod transport;

pub use endpoint::WebhookEndpoint;
pub use message::WebhookMessage;
pub use outbox::{ClaimedWebhook, DeadWebhook, WebhookDelivery, WebhookOutbox, WebhookVerdict};
#[cfg(feature = "publish")]
pub use publications::PublicationWebhooks;
pub use report::{WebhookReport, WebhookRun};
pub use schedule::RetrySchedule;
pub use secret::WebhookSecret;
pub use sender::WebhookSender;
pub use store_outbox::StoreOutbox;
pub use transport::{WebhookResponse, WebhookTransport};
