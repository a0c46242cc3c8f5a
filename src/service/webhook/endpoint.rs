//! [`WebhookEndpoint`]: where webhooks are sent.

use http::Uri;

use super::secret::WebhookSecret;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// An endpoint of a tenant: a URL, the secrets that sign what is sent there, and what that is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebhookEndpoint {
    /// The id, unique over all tenants.
    pub id: String,
    /// The tenant whose messages it gets.
    pub tenant: String,
    /// Where they are sent.
    pub url: String,
    /// The secrets, newest first, each with the time from which it signs no more. The newest one has
    /// none.
    pub secrets: Vec<(WebhookSecret, Option<Timestamp>)>,
    /// Which messages it gets, by type; `None` for all. `publication.*` stands for all types that
    /// begin with `publication.`.
    pub types: Option<Vec<String>>,
}

impl WebhookEndpoint {
    /// The maximum length of a URL, in bytes (inclusive).
    pub const MAX_URL_BYTES: usize = 2_048;
    /// The maximum number of secrets (inclusive).
    pub const MAX_SECRETS: usize = 4;

    /// Creates an endpoint that gets all messages of a tenant. The empty tenant is the default one.
    pub fn new(
        id: impl Into<String>,
        tenant: impl Into<String>,
        url: impl Into<String>,
        secret: WebhookSecret,
    ) -> Self {
        let (id, tenant, url) = (id.into(), tenant.into(), url.into());
        Self { id, tenant, url, secrets: vec![(secret, None)], types: None }
    }

    /// Sets which messages it gets.
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// Signs with `secret` from now on, and with the present secrets as well until `old_until`. The
    /// oldest secrets are dropped if there would be more than [`MAX_SECRETS`](Self::MAX_SECRETS).
    pub fn rotate(mut self, secret: WebhookSecret, old_until: Timestamp) -> Self {
        for (_, until) in &mut self.secrets {
            *until = Some(until.map_or(old_until, |until| until.min(old_until)));
        }
        self.secrets.insert(0, (secret, None));
        self.secrets.truncate(Self::MAX_SECRETS);
        self
    }

    /// Returns whether it gets messages of a type.
    pub fn wants(&self, message_type: &str) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) if start.ends_with('.') => message_type.starts_with(start),
            _ => wanted == message_type,
        };
        self.types.as_ref().is_none_or(|types| types.iter().any(fits))
    }

    /// Checks the form of what it consists of.
    ///
    /// Whether the URL may be called is not checked: see
    /// [`WebhookTransport`](super::WebhookTransport).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless the id has 1 to 64 characters `A-Z a-z 0-9 - _`, the URL is
    /// one of `https` or `http` with a host and without credentials, and there are 1 to
    /// [`MAX_SECRETS`](Self::MAX_SECRETS) secrets of which the first has no end, and at most 100
    /// types of up to 128 bytes.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |why: &str| Error::new(ErrorKind::InvalidInput, "check an endpoint", why);
        if !is_id(&self.id, 64) {
            return Err(invalid("the id of an endpoint has 1 to 64 characters A-Z a-z 0-9 - _"));
        }
        let uri: Option<Uri> = self.url.parse().ok();
        let uri = uri.filter(|_| self.url.len() <= Self::MAX_URL_BYTES);
        let has_form = uri.is_some_and(|uri| {
            let host = uri.authority().is_some_and(|authority| {
                !authority.host().is_empty() && !authority.as_str().contains('@')
            });
            host && matches!(uri.scheme_str(), Some("https" | "http"))
        });
        if !has_form {
            return Err(invalid(
                "the URL of an endpoint begins with https:// or http://, has a host, no \
                 credentials, and at most 2048 bytes",
            ));
        }
        let first_has_no_end = self.secrets.first().is_some_and(|(_, until)| until.is_none());
        if !first_has_no_end || self.secrets.len() > Self::MAX_SECRETS {
            return Err(invalid("an endpoint has 1 to 4 secrets, and the first one has no end"));
        }
        let types = self.types.as_deref().unwrap_or_default();
        if types.len() > 100 || types.iter().any(|one| one.len() > 128) {
            return Err(invalid("an endpoint has at most 100 types of at most 128 bytes"));
        }
        Ok(())
    }

    /// The header `webhook-signature` of an attempt at `now`: by each secret that signs then.
    pub(super) fn signatures(
        &self,
        id: &str,
        now: Timestamp,
        body: &[u8],
    ) -> Result<String, Error> {
        let signing = self.secrets.iter().filter(|(_, until)| until.is_none_or(|end| now < end));
        let signatures = signing.map(|(secret, _)| secret.sign(id, now, body));
        Ok(signatures.collect::<Result<Vec<_>, _>>()?.join(" "))
    }
}

/// Whether a text is an id of at most so many characters.
pub(super) fn is_id(text: &str, most: usize) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(is_plain)
}
