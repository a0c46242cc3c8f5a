//! [`WebhookTransport`]: the HTTP client of the application.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, StatusCode};

use crate::error::BoxError;
use crate::timestamp::Timestamp;

/// Sends requests: the HTTP client of the application, with its TLS and its proxies.
///
/// # Obligations
/// - **Decide which URLs may be called.** Whoever may add an endpoint chooses a URL that your servers
///   call, from inside your network (server-side request forgery). Refuse addresses that are not
///   public, such as loopback, link-local (`169.254.169.254` has the credentials of cloud machines)
///   and private ones. Check the address that the name has resolved to and connect to that one: a
///   name can have another address a moment later. Or send everything through a proxy that does this.
///   Return an error for a URL that is refused.
/// - Follow no redirects: they lead around that check, and count as failures.
/// - Send the body as it is: its bytes are signed.
/// - Read no more of the answer than its head.
///
/// The sender drops the future after its
/// [time for an attempt](super::WebhookSender::attempt_within).
#[async_trait]
pub trait WebhookTransport: fmt::Debug + Send + Sync {
    /// Sends a request and returns the head of the answer.
    ///
    /// # Errors
    /// If there is no answer, or if the URL may not be called. The attempt counts as failed.
    async fn send(&self, request: Request<Bytes>) -> Result<WebhookResponse, BoxError>;
}

/// What a receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookResponse {
    /// The status. 2xx says that the message has arrived, and 410 that the endpoint wants no more.
    pub status: StatusCode,
    /// How long the receiver asks to wait.
    pub retry_after: Option<Duration>,
}

impl WebhookResponse {
    /// Creates a response without `Retry-After`.
    pub const fn new(status: StatusCode) -> Self {
        Self { status, retry_after: None }
    }

    /// Creates a response from the head of an answer that was received at `now`. A `Retry-After` that
    /// is neither a number of seconds nor a date is ignored.
    pub fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = text.and_then(|text| match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Some(Timestamp::from(httpdate::parse_http_date(text).ok()?).since(now)),
        });
        Self { status, retry_after }
    }
}
