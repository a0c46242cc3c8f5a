//! The documents of a [`StoreOutbox`](super::StoreOutbox).
//!
//! Endpoints and the states of queues are JSON. A message is the length of a head (u32), the head as
//! JSON, and the body.

use bytes::Bytes;
use serde_json::{Value, json};

use super::endpoint::WebhookEndpoint;
use super::message::WebhookMessage;
use crate::timestamp::Timestamp;

/// Where the queue of an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueState {
    /// The number of the next message.
    pub(super) next: u64,
    /// How many attempts it had.
    pub(super) attempts: u32,
    /// When the next attempt is due.
    pub(super) due: Timestamp,
    /// Until when the last claim is valid.
    pub(super) claimed_until: Timestamp,
    pub(super) token: u64,
    /// Why the endpoint is disabled.
    pub(super) disabled: Option<String>,
}

impl Default for QueueState {
    fn default() -> Self {
        let never = Timestamp::from_micros(i64::MIN);
        Self { next: 1, attempts: 0, due: never, claimed_until: never, token: 0, disabled: None }
    }
}

impl QueueState {
    /// Ends the claim and makes the next attempt the first one, which is due at once.
    pub(super) fn begin_anew(&mut self) {
        let Self { due, claimed_until, .. } = Self::default();
        (self.attempts, self.due, self.claimed_until) = (0, due, claimed_until);
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let value = json!({
            "next": self.next,
            "attempts": self.attempts,
            "due": self.due.as_micros(),
            "claimedUntil": self.claimed_until.as_micros(),
            "token": self.token,
            "disabled": self.disabled,
        });
        value.to_string().into_bytes()
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let time = |name: &str| value.get(name)?.as_i64().map(Timestamp::from_micros);
        Some(Self {
            next: value.get("next")?.as_u64()?,
            attempts: value.get("attempts")?.as_u64()?.try_into().ok()?,
            due: time("due")?,
            claimed_until: time("claimedUntil")?,
            token: value.get("token")?.as_u64()?,
            disabled: value.get("disabled")?.as_str().map(str::to_owned),
        })
    }
}

pub(super) fn endpoints_to_bytes(endpoints: &[WebhookEndpoint]) -> Vec<u8> {
    let all = endpoints.iter().map(|endpoint| {
        let secrets = endpoint.secrets.iter().map(|(secret, until)| {
            json!({ "secret": secret.reveal(), "until": until.map(Timestamp::as_micros) })
        });
        json!({
            "id": endpoint.id,
            "tenant": endpoint.tenant,
            "url": endpoint.url,
            "secrets": secrets.collect::<Vec<_>>(),
            "types": endpoint.types,
        })
    });
    Value::Array(all.collect()).to_string().into_bytes()
}

pub(super) fn parse_endpoints(bytes: &[u8]) -> Option<Vec<WebhookEndpoint>> {
    let all: Vec<Value> = serde_json::from_slice(bytes).ok()?;
    all.iter().map(parse_endpoint).collect()
}

fn parse_endpoint(value: &Value) -> Option<WebhookEndpoint> {
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let secrets = value.get("secrets")?.as_array()?.iter().map(|one| {
        let until = one.get("until")?;
        let until = if until.is_null() { None } else { Some(until.as_i64()?) };
        Some((one.get("secret")?.as_str()?.parse().ok()?, until.map(Timestamp::from_micros)))
    });
    let types = value.get("types")?;
    let types = if types.is_null() {
        None
    } else {
        let types = types.as_array()?.iter().map(|one| Some(one.as_str()?.to_owned()));
        Some(types.collect::<Option<_>>()?)
    };
    let secrets = secrets.collect::<Option<_>>()?;
    let (id, tenant, url) = (text("id")?, text("tenant")?, text("url")?);
    Some(WebhookEndpoint { id, tenant, url, secrets, types })
}

/// A message, and why it is dead if it is.
pub(super) fn message_to_bytes(message: &WebhookMessage, reason: Option<&str>) -> Vec<u8> {
    let head = json!({
        "id": message.id,
        "tenant": message.tenant,
        "type": message.message_type,
        "reason": reason,
    });
    let head = head.to_string();
    // Far below the limit: all parts of the head are short.
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), head.as_bytes(), &message.body].concat()
}

pub(super) fn parse_message(bytes: &[u8]) -> Option<(WebhookMessage, Option<String>)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, body) = rest.split_at_checked(length)?;
    let head: Value = serde_json::from_slice(head).ok()?;
    let text = |name: &str| Some(head.get(name)?.as_str()?.to_owned());
    let reason = head.get("reason")?.as_str().map(str::to_owned);
    let (id, tenant, message_type) = (text("id")?, text("tenant")?, text("type")?);
    let body = Bytes::copy_from_slice(body);
    Some((WebhookMessage { id, tenant, message_type, body }, reason))
}
