//! [`WebhookOutbox`]: messages until they are delivered.

use std::fmt;

use async_trait::async_trait;

use super::endpoint::WebhookEndpoint;
use super::message::WebhookMessage;
use crate::error::Error;
use crate::store::Page;
use crate::timestamp::Timestamp;

/// Keeps endpoints, and for each one the messages that it has not got yet. Object-safe. Any number of
/// nodes may share one outbox.
///
/// # Obligations
/// Each obligation has an id.
/// - **W-01** When a call has returned `Ok`, its changes are visible to every call that starts later,
///   on any node. They are as durable as the outbox says.
/// - **W-02** `Err` means that the outbox failed. What is missing is `Ok`: `false`, an empty list.
/// - **W-03** If a returned future is dropped, each endpoint and each queue is as before or as if the
///   call had completed, except that a message may have been added to some of its endpoints, and the
///   outbox remains usable.
/// - **W-04** A message that was enqueued is delivered, or dead, or still in the queue of each endpoint
///   that wanted it. It may be there twice after a call that failed, was dropped or was repeated.
/// - **W-05** An endpoint gets messages in the order of the calls that enqueued them, if these did not
///   overlap. The next one is handed out only when the one before was delivered or is dead.
/// - **W-06** While a claim is valid, no other claim of the endpoint is made. The verdict of an older
///   claim changes nothing once there is a newer one.
/// - **W-07** No input causes a panic or a hang.
#[async_trait]
pub trait WebhookOutbox: fmt::Debug + Send + Sync {
    /// Adds an endpoint, or replaces the one with its id. Its messages and whether it is disabled stay
    /// as they are.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as [`WebhookEndpoint::check`] says.
    async fn put_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), Error>;

    /// Returns all endpoints, in the order of their ids.
    async fn endpoints(&self) -> Result<Vec<WebhookEndpoint>, Error>;

    /// Removes an endpoint with its messages. Dead ones are kept. Returns whether it was there.
    async fn remove_endpoint(&self, id: &str) -> Result<bool, Error>;

    /// Disables an endpoint: it gets no new messages, and those of its queue wait. The reason is for
    /// people. With `None`, it is enabled again, and its next message is due at once. Returns whether
    /// there is such an endpoint.
    async fn disable_endpoint(&self, id: &str, reason: Option<&str>) -> Result<bool, Error>;

    /// Returns why an endpoint is disabled; `None` if it is not, or does not exist.
    async fn disabled(&self, id: &str) -> Result<Option<String>, Error>;

    /// Adds a message to the queues of all endpoints of its tenant that want its type and are not
    /// disabled. Returns how many these are. Repeat the call if it fails: receivers know the message by
    /// its id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as [`WebhookMessage::check`] says.
    async fn enqueue(&self, message: &WebhookMessage) -> Result<usize, Error>;

    /// Claims the next message of an endpoint until `until`, if it is due at `now`.
    async fn claim(
        &self,
        endpoint: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<ClaimedWebhook, Error>;

    /// Ends a claim. Returns whether it was still valid, so that the verdict counts.
    async fn settle(
        &self,
        delivery: &WebhookDelivery,
        verdict: &WebhookVerdict,
    ) -> Result<bool, Error>;

    /// Lists messages of an endpoint that no attempt has delivered, newest first: those with a number
    /// below `before`; at most `limit` (1 to 1,000).
    async fn dead(
        &self,
        endpoint: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadWebhook, u64>, Error>;

    /// Moves a dead message to the end of the queue. It keeps its id. Returns whether it was there.
    async fn send_again(&self, endpoint: &str, number: u64) -> Result<bool, Error>;
}

/// The outcome of [`WebhookOutbox::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimedWebhook {
    /// There is no message, or the endpoint is disabled.
    Nothing,
    /// The next message is not due before this time, or somebody else has claimed it until then.
    Later(Timestamp),
    /// The next message.
    Next(WebhookDelivery),
}

/// A claimed message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookDelivery {
    /// The endpoint.
    pub endpoint: String,
    /// The number of the message in the queue of the endpoint.
    pub number: u64,
    /// The number of this attempt, counted from 1.
    pub attempt: u32,
    /// The message.
    pub message: WebhookMessage,
    /// Distinguishes the claim from all others of the endpoint.
    pub token: u64,
}

impl WebhookDelivery {
    /// Creates a claim, for those who implement an outbox.
    pub fn new(
        endpoint: impl Into<String>,
        (number, attempt, token): (u64, u32, u64),
        message: WebhookMessage,
    ) -> Self {
        Self { endpoint: endpoint.into(), number, attempt, message, token }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookVerdict {
    /// The receiver has the message.
    Delivered,
    /// It is sent again from this time on.
    Again(Timestamp),
    /// It is not sent again by itself. The text says why the last attempt failed.
    Dead(String),
    /// The endpoint is disabled for this reason. The message stays the next one.
    Disable(String),
}

/// A message that no attempt has delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadWebhook {
    /// The number of the message in the queue of the endpoint.
    pub number: u64,
    /// Why the last attempt failed.
    pub reason: String,
    /// The message.
    pub message: WebhookMessage,
}

impl DeadWebhook {
    /// Creates a dead message, for those who implement an outbox.
    pub fn new(number: u64, reason: impl Into<String>, message: WebhookMessage) -> Self {
        Self { number, reason: reason.into(), message }
    }
}
