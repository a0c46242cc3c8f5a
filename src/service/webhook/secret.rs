//! [`WebhookSecret`]: signs webhooks and verifies them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;
use http::HeaderMap;

use crate::error::{Error, ErrorKind};
use crate::random::random;
use crate::timestamp::Timestamp;

const PREFIX: &str = "whsec_";
const VERIFY: &str = "verify a webhook";

/// A secret that a sender and a receiver share, with which webhooks are signed (HMAC-SHA-256, `v1`).
///
/// Its text is `whsec_` and the base64 of 24 to 64 bytes. `Debug` does not show it. Use another one
/// for each endpoint.
///
/// ```
/// use http::HeaderMap;
/// use snapfold::Timestamp;
/// use snapfold::service::webhook::WebhookSecret;
///
/// // In the receiver:
/// # let headers = HeaderMap::new();
/// # let body = b"{}";
/// # let now = Timestamp::from_seconds(0);
/// let secret: WebhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
/// if let Err(error) = secret.verify(&headers, body, now) {
///     assert_eq!(error.to_string(), "cannot verify a webhook: the header webhook-id is missing");
/// }
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// How many bytes a secret has (inclusive).
    pub const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
    /// How far the timestamp of a webhook may be from the time of the receiver (inclusive).
    pub const TOLERANCE: Duration = Duration::from_secs(300);

    /// Creates a secret of 32 random bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the operating system has no random bits.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(random::<32>("generate a webhook secret")?.to_vec()))
    }

    /// Creates a secret of these bytes, which are random.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless their number is in [`BYTES`](Self::BYTES).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if !Self::BYTES.contains(&bytes.len()) {
            return Err(invalid_secret());
        }
        Ok(Self(bytes))
    }

    /// Returns the text of the secret, for the receiver.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// Signs a webhook: `v1,` and the base64 of the signature. The timestamp is that of the attempt.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the id is empty or contains a `.`, which would let a signature
    /// be that of another webhook.
    pub fn sign(&self, id: &str, timestamp: Timestamp, body: &[u8]) -> Result<String, Error> {
        if id.is_empty() || id.contains('.') {
            let message = "the id of a webhook is not empty and has no full stop";
            return Err(Error::new(ErrorKind::InvalidInput, "sign a webhook", message));
        }
        let mac = self.mac(id, seconds(timestamp), body).finalize();
        Ok(format!("v1,{}", STANDARD.encode(mac)))
    }

    /// Verifies a webhook that was received at `now`: its headers `webhook-id`, `webhook-timestamp`
    /// and `webhook-signature`, and the bytes of its body as they arrived.
    ///
    /// One of the signatures must be of this secret. They are compared in constant time. Handle each
    /// id only once: a webhook may arrive several times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a header is missing or has another form, if the timestamp is
    /// further from `now` than [`TOLERANCE`](Self::TOLERANCE), or if no signature is right.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Error> {
        let header = |name: &str| {
            let value = headers.get(name);
            let value = value.ok_or_else(|| refused(format!("the header {name} is missing")))?;
            value.to_str().map_err(|_| refused(format!("the header {name} is no text")))
        };
        let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
        let signatures = header("webhook-signature")?;
        if id.is_empty() || id.contains('.') {
            return Err(refused("the id is empty or has a full stop".to_owned()));
        }
        let seconds_of = time.parse::<i64>().ok().filter(|parsed| parsed.to_string() == time);
        let sent = seconds_of.ok_or_else(|| refused("the timestamp is no number".to_owned()))?;
        if sent.abs_diff(seconds(now)) > Self::TOLERANCE.as_secs() {
            return Err(refused("the timestamp is too far from the time now".to_owned()));
        }
        let mac = self.mac(id, sent, body);
        let is_right = |signature: &str| {
            let decoded = signature.strip_prefix("v1,").map(|text| STANDARD.decode(text));
            let Some(Ok(decoded)) = decoded else { return false };
            let decoded: Result<[u8; 32], _> = decoded.try_into();
            decoded.is_ok_and(|decoded| mac.clone().finalize_verify(&decoded))
        };
        if signatures.split(' ').any(is_right) {
            return Ok(());
        }
        Err(refused("no signature is right".to_owned()))
    }

    fn mac(&self, id: &str, seconds: i64, body: &[u8]) -> HMAC {
        let mut mac = HMAC::new(&self.0);
        mac.update(format!("{id}.{seconds}."));
        mac.update(body);
        mac
    }
}

/// The second in which a time is.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidInput, VERIFY, why)
}

fn invalid_secret() -> Error {
    let message = "a secret is whsec_ and the base64 of 24 to 64 bytes";
    Error::new(ErrorKind::InvalidInput, "read a webhook secret", message)
}

impl FromStr for WebhookSecret {
    type Err = Error;

    /// Reads the [text](WebhookSecret::reveal) of a secret. The error does not contain it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix(PREFIX).ok_or_else(invalid_secret)?;
        // 64 bytes have 88 characters.
        if text.len() > 88 {
            return Err(invalid_secret());
        }
        Self::from_bytes(STANDARD.decode(text).map_err(|_| invalid_secret())?)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").finish_non_exhaustive()
    }
}
