//! [`UploadUrls`]: signs the URLs with which clients send artifacts to a server of this crate.

mod grant;
mod keys;
mod query;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::artifact::Upload;
use crate::clock::Clock;
use crate::error::Error;
use crate::timestamp::Timestamp;
pub use grant::UploadGrant;
pub use keys::UploadKeys;
use query::UploadProof;
pub use query::UploadQuery;

/// Signs the queries of URLs, and verifies them. Knows nothing of a transport: the caller builds the
/// URL, and reads the grant from the request.
///
/// A signature is an HMAC-SHA-256 of everything in the [`UploadGrant`], the time at which it
/// expires, and the id of the key. It says that this server granted the upload, not that what
/// arrives is right: check the content as any other. A URL can be used more than once.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// use snapfold::artifact::ArtifactId;
/// use snapfold::engine::ManualClock;
/// use snapfold::service::publish::{UploadGrant, UploadKeys, UploadUrlVerdict, UploadUrls};
///
/// let clock = ManualClock::at(snapfold::Timestamp::from_seconds(1_000));
/// let keys = UploadKeys::new("2026-11", [7; 32])?;
/// let urls = UploadUrls::new(keys, Arc::new(clock.clone()));
/// let grant = UploadGrant::new("north", "publication-7", "plots/fig 1.svg")
///     .size(6)
///     .sha256(ArtifactId::of(b"<svg/>"));
/// let query = urls.sign(&grant, Duration::from_secs(60))?;
/// assert!(query.text.starts_with("exp=1060&kid=2026-11&sig="));
/// assert_eq!(urls.verify(&grant, &query.text), UploadUrlVerdict::Valid);
/// assert_eq!(urls.verify(&grant.size(7), &query.text), UploadUrlVerdict::Wrong);
/// clock.advance(Duration::from_secs(61));
/// assert_eq!(urls.verify(&grant, &query.text), UploadUrlVerdict::Expired);
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Debug)]
pub struct UploadUrls {
    keys: RwLock<Arc<UploadKeys>>,
    clock: Arc<dyn Clock>,
}

/// What a query is worth. It never says which part is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadUrlVerdict {
    /// The grant was signed and has not expired.
    Valid,
    /// The grant was signed, and has expired, or its key is retired.
    Expired,
    /// The query is not that of this grant.
    Wrong,
}

impl UploadUrls {
    /// Signs and verifies with these keys, at the times of this clock. Nodes that verify what others
    /// signed need clocks that are right.
    pub fn new(keys: UploadKeys, clock: Arc<dyn Clock>) -> Self {
        Self { keys: RwLock::new(Arc::new(keys)), clock }
    }

    /// Replaces the keys, also while others sign and verify.
    pub fn set_keys(&self, keys: UploadKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn keys(&self) -> Arc<UploadKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a grant with the newest key. It is valid for `valid_for`, from a second to
    /// [`Upload::MAX_VALIDITY`], or up to one second less, because it expires at a whole second.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a text or the time exceeds its
    /// limit.
    pub fn sign(&self, grant: &UploadGrant<'_>, valid_for: Duration) -> Result<UploadQuery, Error> {
        Upload::check_validity(valid_for)?;
        let keys = self.keys();
        let end = self.clock.now().saturating_add(valid_for).as_micros();
        // Nothing is valid before 1970.
        let expires = u64::try_from(end.div_euclid(1_000_000)).unwrap_or(0);
        let key_id = keys.newest();
        let signature = keys.sign(&grant.to_signed_bytes(expires, key_id)?);
        let text = UploadProof { expires, key_id, signature }.to_text();
        Ok(UploadQuery { text, expires_at: instant(expires) })
    }

    /// Verifies the query of a request that asks for `grant`. What was declared is part of the grant:
    /// it comes from where it was kept, not from the request.
    ///
    /// A grant is valid up to and including the instant at which it expires. The query has to be
    /// exactly as it was signed, without another parameter.
    pub fn verify(&self, grant: &UploadGrant<'_>, query: &str) -> UploadUrlVerdict {
        let until = || {
            let proof = UploadProof::parse(query)?;
            let bytes = grant.to_signed_bytes(proof.expires, proof.key_id).ok()?;
            let key_until = self.keys().accepts_until(proof.key_id, &bytes, &proof.signature)?;
            Some(key_until.min(instant(proof.expires)))
        };
        match until() {
            None => UploadUrlVerdict::Wrong,
            Some(until) if self.clock.now() > until => UploadUrlVerdict::Expired,
            Some(_) => UploadUrlVerdict::Valid,
        }
    }
}

fn instant(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
