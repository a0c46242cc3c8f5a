//! [`PresentedKey`]: the text of a key, and how a request presents it.

use std::fmt::Write as _;

use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::checksum::crc32;
use crate::hex::hex;

pub(super) const ID_BYTES: usize = 6;
pub(super) const SECRET_BYTES: usize = 32;
const PREFIX: &str = "snf_";
const ID_LEN: usize = 2 * ID_BYTES;
/// The CRC-32 at the end, in hexadecimal.
const CHECK_LEN: usize = 8;
const LEN: usize = PREFIX.len() + ID_LEN + 1 + 2 * SECRET_BYTES + CHECK_LEN;

/// A key that a request presents. It may be wrong, but it is not mistyped.
#[derive(Clone, Copy)]
pub(super) struct PresentedKey<'a> {
    pub(super) id: &'a str,
    text: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Reads `Authorization: Bearer <key>`.
    pub(super) fn of(request: &'a Parts) -> Option<Self> {
        const SCHEME: &str = "Bearer ";
        let text = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, text) = text.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        Self::parse(text.trim_ascii())
    }

    /// `None` if the text has not the form of a key, or its checksum is wrong.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        // A key has a fixed length, so a long text costs nothing.
        if text.len() != LEN {
            return None;
        }
        let (checked, check) = text.split_at_checked(LEN - CHECK_LEN)?;
        let stated = is_lower_hex(check).then(|| u32::from_str_radix(check, 16).ok()).flatten();
        if stated != Some(crc32(checked.as_bytes())) {
            return None;
        }
        let id = text.strip_prefix(PREFIX)?.get(..ID_LEN)?;
        is_id(id).then_some(Self { id, text })
    }

    /// The SHA-256 of the text.
    pub(super) fn hash(self) -> [u8; 32] {
        hash(self.text)
    }
}

/// The text that the client sends.
pub(super) fn key_text(id: &str, secret: &[u8]) -> String {
    let mut text = format!("{PREFIX}{id}_{}", hex(secret));
    // So that a typing error, and a scanner for secrets, need no look-up.
    let check = crc32(text.as_bytes());
    let _ = write!(text, "{check:08x}");
    text
}

/// What is stored of the text that the client sends.
pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Whether a text is an id: 12 lower-case hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && is_lower_hex(text)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> String {
        key_text("0123456789ab", &[7; SECRET_BYTES])
    }

    #[test]
    fn a_key_is_read_and_no_typing_error_is() {
        let text = key();
        let read = PresentedKey::parse(&text).unwrap();
        assert_eq!((read.id, read.hash()), ("0123456789ab", hash(&text)));
        for place in 0..text.len() {
            for typed in b"0123456789abcdefgO_ ".iter().map(|byte| char::from(*byte)) {
                let mut wrong = text.clone();
                wrong.replace_range(place..=place, &typed.to_string());
                assert!(wrong == text || PresentedKey::parse(&wrong).is_none(), "{wrong}");
            }
        }
        // Two neighbours that change places, as in most typing errors.
        for place in 1..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes.swap(place - 1, place);
            let wrong = String::from_utf8(bytes).unwrap();
            assert!(wrong == text || PresentedKey::parse(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_right_checksum_makes_no_key() {
        for id in ["0123456789AB", "0123456789a/", "________\u{e9}__"] {
            assert!(PresentedKey::parse(&key_text(id, &[7; SECRET_BYTES])).is_none(), "{id}");
        }
        assert!(PresentedKey::parse(&key_text("0123456789ab", &[7; 31])).is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), cut in 0..LEN, filler in "\\PC{0,90}") {
            prop_assert!(PresentedKey::parse(&text).is_none());
            let mixed: String = key().chars().take(cut).chain(filler.chars()).collect();
            prop_assert!(mixed == key() || PresentedKey::parse(&mixed).is_none());
        }

        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), begins in any::<bool>()) {
            let value = if begins { [b"Bearer ", &*bytes].concat() } else { bytes };
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                let request = http::Request::builder().header(AUTHORIZATION, value).body(());
                let (parts, ()) = request.unwrap().into_parts();
                prop_assert!(PresentedKey::of(&parts).is_none());
            }
        }
    }
}
