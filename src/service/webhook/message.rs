//! [`WebhookMessage`]: what is sent.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::endpoint::is_id;
use crate::error::{Error, ErrorKind};
use crate::random::random;
use crate::timestamp::Timestamp;

const NAME: &str = "make a webhook";

/// A message, which is the same for all endpoints and in all attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookMessage {
    /// The id, by which receivers know a message that they already have (`webhook-id`).
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// The type, such as `publication.completed`.
    pub message_type: String,
    /// The body.
    pub body: Bytes,
}

impl WebhookMessage {
    /// The maximum length of a body, in bytes (inclusive). The specification recommends less than
    /// 20 KB.
    pub const MAX_BODY_BYTES: usize = 256 << 10;

    /// Creates a message with a random id and the body that the specification recommends: `type`,
    /// `timestamp` (when it happened) and `data`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the data has no form in JSON, and those of
    /// [`check`](Self::check); [`ErrorKind::Unsupported`] if the operating system has no random bits.
    pub fn new(
        tenant: impl Into<String>,
        message_type: impl Into<String>,
        happened: Timestamp,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Self, Error> {
        let message_type = message_type.into();
        let data = serde_json::to_value(data).map_err(|source| {
            let message = "the data has no form in JSON";
            Error::new(ErrorKind::InvalidInput, NAME, message).with_source(source)
        })?;
        let body = json!({ "type": message_type, "timestamp": happened.to_string(), "data": data });
        Self::with_body(tenant, message_type, body.to_string())
    }

    /// Creates a message with a random id and this body, which is JSON.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`ErrorKind::Unsupported`] if the operating system has no
    /// random bits.
    pub fn with_body(
        tenant: impl Into<String>,
        message_type: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Result<Self, Error> {
        let mut id = "msg_".to_owned();
        for byte in random::<16>(NAME)? {
            // Writing to a String never fails.
            let _ = write!(id, "{byte:02x}");
        }
        let (tenant, message_type, body) = (tenant.into(), message_type.into(), body.into());
        let message = Self { id, tenant, message_type, body };
        message.check()?;
        Ok(message)
    }

    /// Sets the id. Two messages with one id are one for the receiver. So derive it from what
    /// happened if the message may be made twice.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Checks the form of what it consists of.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the id has 1 to 128 characters `A-Z a-z 0-9 - _`, the type 1
    /// to 128 characters `A-Z a-z 0-9 - _ .`, and the body at most
    /// [`MAX_BODY_BYTES`](Self::MAX_BODY_BYTES).
    pub fn check(&self) -> Result<(), Error> {
        let why = if !is_id(&self.id, 128) {
            "the id of a message has 1 to 128 characters A-Z a-z 0-9 - _"
        } else if !is_id(&self.message_type.replace('.', "_"), 128) {
            "the type of a message has 1 to 128 characters A-Z a-z 0-9 - _ ."
        } else if self.body.len() > Self::MAX_BODY_BYTES {
            "the body of a message has at most 262144 bytes"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidInput, "check a webhook", why))
    }
}
