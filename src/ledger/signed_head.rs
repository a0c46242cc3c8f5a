//! [`SignedHead`]: the end of an audit trail, with a signature.

use std::fmt;
use std::str::FromStr;

use super::audit::AuditEntry;
use super::chain::AuditHead;
use super::hash::AuditHash;
use crate::error::{Error, ErrorKind};
use crate::hex::unhex;
use crate::record::{SigningKeys, is_key_id};
use crate::timestamp::Timestamp;
use crate::wire::put_text;

/// Begins each signed text, so that a signature of something else cannot be used for a head.
const DOMAIN: &str = "snapfold-trail-1";
/// What the text form of any release begins with.
const ANY_RELEASE: &str = "snapfold-trail-";

/// The end of an audit trail, with a signature ([`SigningKeys::sign_head`]).
///
/// The text form is one line, to be kept elsewhere: `snapfold-trail-1`, the sequence, the hash and
/// the signature (each in 64 hexadecimal digits), and the id of the key, separated by single spaces.
/// It does not contain the tenant, which is signed as well.
///
/// A head can also be kept in the trail, as an entry with the action [`ACTION`](Self::ACTION) whose
/// `meta` is the text form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedHead {
    /// The end of the trail.
    pub head: AuditHead,
    /// The id of the key.
    pub key_id: String,
    mac: [u8; 32],
}

impl SignedHead {
    /// The action of entries that contain a signed head.
    pub const ACTION: &'static str = "sign";

    /// Returns the entry that contains this head, for the trail of its tenant.
    pub fn to_entry(
        &self,
        tenant: impl Into<String>,
        at: Timestamp,
        actor: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry::new(at, actor, Self::ACTION).in_tenant(tenant).meta(self.to_string())
    }

    /// Returns the head in an entry. `None` if the entry is about something else: its action is not
    /// [`ACTION`](Self::ACTION), it is about an aggregate, or its `meta` does not begin like a head.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the entry contains a head that
    /// cannot be parsed.
    pub fn in_entry(entry: &AuditEntry) -> Option<Result<Self, Error>> {
        let is_one = entry.action == Self::ACTION
            && entry.key.is_none()
            && entry.meta.starts_with(ANY_RELEASE);
        is_one.then(|| entry.meta.parse())
    }
}

impl SigningKeys {
    /// Signs the end of a tenant's audit trail. Check the trail first: a signature of a trail that
    /// was changed before makes the change look right. [`sign_trail`](Self::sign_trail) does both.
    pub fn sign_head(&self, tenant: &str, head: AuditHead) -> SignedHead {
        let key_id = self.key_id().to_owned();
        let mac = self.mac(&[&signed(tenant, &head, &key_id)]);
        SignedHead { head, key_id, mac }
    }

    /// Checks the signature of the end of a tenant's audit trail. Does not read the trail.
    ///
    /// # Errors
    /// What is wrong with the signature, in words.
    pub fn verify_head(&self, tenant: &str, head: &SignedHead) -> Result<(), &'static str> {
        let SignedHead { head, key_id, mac } = head;
        match self.matches(key_id, &[&signed(tenant, head, key_id)], mac) {
            Some(true) => Ok(()),
            Some(false) => Err("its signature does not match"),
            None => Err("it is signed with a key that was not given"),
        }
    }
}

/// The bytes that are signed. `docs/format.md` specifies them.
fn signed(tenant: &str, head: &AuditHead, key_id: &str) -> Vec<u8> {
    let mut bytes = DOMAIN.as_bytes().to_vec();
    put_text(&mut bytes, tenant);
    bytes.extend_from_slice(&head.sequence.to_le_bytes());
    bytes.extend_from_slice(head.hash.as_bytes());
    put_text(&mut bytes, key_id);
    bytes
}

impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head: AuditHead { sequence, hash }, key_id, mac } = self;
        write!(f, "{DOMAIN} {sequence} {hash} {} {key_id}", AuditHash::from_bytes(*mac))
    }
}

impl FromStr for SignedHead {
    type Err = Error;

    /// Parses the text form.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let mut words = text.split(' ');
            let mut word = || words.next();
            let (DOMAIN, sequence, hash, mac) = (word()?, word()?, word()?, word()?) else {
                return None;
            };
            let hash = AuditHash::from_bytes(unhex(hash)?.try_into().ok()?);
            let head = AuditHead { sequence: sequence.parse().ok()?, hash };
            let key_id = word().filter(|id| is_key_id(id))?.to_owned();
            Some(Self { head, key_id, mac: unhex(mac)?.try_into().ok()? })
        };
        // Each head has one text form.
        parse().filter(|head| head.to_string() == text).ok_or_else(|| {
            let message = format!(
                "a signed head is \"{DOMAIN}\", a number, two times 64 hexadecimal digits, and the \
                 id of a key, in one line"
            );
            Error::new(ErrorKind::InvalidInput, "read a signed head", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> SigningKeys {
        let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
        SigningKeys::new("k1", secret).unwrap()
    }

    fn head() -> AuditHead {
        AuditHead { sequence: 9, hash: AuditHash::from_bytes([1; 32]) }
    }

    /// The signature was computed with Python's `hmac`, from the bytes that `docs/format.md` lists.
    #[test]
    fn the_signature_is_as_documented() {
        let text = keys().sign_head("north", head()).to_string();
        let hash = "01".repeat(32);
        let mac = "9be9f3a447dd4d52da91584adb16c5530d5ae5d7ec1a418c4562460d594bb321";
        assert_eq!(text, format!("snapfold-trail-1 9 {hash} {mac} k1"));
    }

    #[test]
    fn a_head_comes_back_from_its_text_and_no_other() {
        let signed = keys().sign_head("north", head());
        let text = signed.to_string();
        assert_eq!(text.parse::<SignedHead>().unwrap(), signed);
        for at in 0..text.len() {
            assert!(text[..at].parse::<SignedHead>().is_err() || at == text.len() - 1);
        }
        for wrong in [
            format!("{text} "),
            format!("{text}\n"),
            format!("{text}{}", "k".repeat(63)),
            format!(" {text}"),
            text.replace(" 9 ", " 09 "),
            text.replace(" 9 ", " +9 "),
            text.replace(" 9 ", " -1 "),
            text.replace("01 ", "0\u{e9} "),
            text.replace("01 ", "0G "),
            text.replace("b321", "B321"),
            text.replace("trail-1", "trail-2"),
        ] {
            assert_ne!(wrong, text);
            assert_eq!(wrong.parse::<SignedHead>().unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn each_part_is_signed() {
        let keys = keys().also("k2", [2; 32]).unwrap();
        let signed = keys.sign_head("north", head());
        assert_eq!(keys.verify_head("north", &signed), Ok(()));
        for tenant in ["", "nort", "northk", "South"] {
            assert!(keys.verify_head(tenant, &signed).is_err(), "{tenant}");
        }
        let mut other = signed.clone();
        other.head.sequence = 10;
        assert_eq!(keys.verify_head("north", &other), Err("its signature does not match"));
        other = signed.clone();
        other.head.hash = AuditHash::START;
        assert_eq!(keys.verify_head("north", &other), Err("its signature does not match"));
        other = signed.clone();
        other.key_id = "k2".into();
        assert_eq!(keys.verify_head("north", &other), Err("its signature does not match"));
        other.key_id = "k3".into();
        assert!(keys.verify_head("north", &other).unwrap_err().contains("not given"));
        // The same secret under another id.
        let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let renamed = SigningKeys::new("k3", secret).unwrap();
        assert_eq!(renamed.verify_head("north", &other), Err("its signature does not match"));
    }
}
