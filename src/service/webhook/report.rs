//! [`WebhookReport`] and [`WebhookRun`]: what a sender did.

use crate::error::Error;
use crate::timestamp::Timestamp;

use super::outbox::WebhookDelivery;

/// What a [`WebhookSender`](super::WebhookSender) reports to its observer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum WebhookReport<'a> {
    /// A message was delivered.
    Delivered(&'a WebhookDelivery),
    /// An attempt failed, and the next one is made at `next`.
    Failed {
        /// The attempt.
        delivery: &'a WebhookDelivery,
        /// Why it failed.
        why: &'a str,
        /// When the next one is due.
        next: Timestamp,
    },
    /// The last attempt failed: the message is dead.
    Dead {
        /// The attempt.
        delivery: &'a WebhookDelivery,
        /// Why it failed.
        why: &'a str,
    },
    /// The receiver wants no more messages (410), so the endpoint was disabled.
    Disabled(&'a WebhookDelivery),
    /// The outbox failed. Nothing is lost: it is asked again.
    OutboxFailed {
        /// The endpoint; `None` if the endpoints could not be listed.
        endpoint: Option<&'a str>,
        /// The error.
        error: &'a Error,
    },
}

/// What one run over all endpoints did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookRun {
    /// Messages that were delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages that died.
    pub dead: u64,
    /// Endpoints that were disabled.
    pub disabled: u64,
    /// Endpoints for which the outbox failed.
    pub errors: u64,
    /// When the next message is due, if that is known.
    pub next: Option<Timestamp>,
}
