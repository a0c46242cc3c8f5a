//! [`CursorSeal`]: cursors of lists as clients see them, signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::HMAC;
use subtle::ConstantTimeEq as _;

use super::problem::HttpProblem;

const TAG_BYTES: usize = 16;

/// Signs cursors, so that the store only gets its own back.
pub(super) struct CursorSeal(pub(super) [u8; 32]);

impl CursorSeal {
    /// Seals a cursor of the list `list`, which names the resource and its tenant.
    pub(super) fn seal(&self, list: &str, cursor: &[u8]) -> String {
        let mut bytes = self.tag(list, cursor).to_vec();
        bytes.extend_from_slice(cursor);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a cursor that was sealed for the same list.
    pub(super) fn open(&self, list: &str, text: &str) -> Result<Vec<u8>, HttpProblem> {
        let decoded = URL_SAFE_NO_PAD.decode(text);
        let mut bytes = decoded.map_err(|_| HttpProblem::foreign_cursor())?;
        let cursor = bytes.split_off(bytes.len().min(TAG_BYTES));
        let is_ours: bool = self.tag(list, &cursor).ct_eq(&bytes).into();
        if is_ours { Ok(cursor) } else { Err(HttpProblem::foreign_cursor()) }
    }

    fn tag(&self, list: &str, cursor: &[u8]) -> [u8; TAG_BYTES] {
        let mut mac = HMAC::new(self.0);
        mac.update(b"snapfold-cursor-1");
        mac.update((list.len() as u64).to_le_bytes());
        mac.update(list);
        mac.update(cursor);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(mac.finalize().split_at(TAG_BYTES).0);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_opened_only_as_it_was_sealed() {
        let seal = CursorSeal([7; 32]);
        for cursor in [&b""[..], b"x", &[0xff; 100]] {
            let text = seal.seal("entities of north", cursor);
            assert_eq!(seal.open("entities of north", &text).unwrap(), cursor);
            assert!(seal.open("entities of south", &text).is_err());
            assert!(CursorSeal([8; 32]).open("entities of north", &text).is_err());
            for at in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[at] = if other[at] == b'A' { b'B' } else { b'A' };
                let other = String::from_utf8(other).unwrap();
                assert!(seal.open("entities of north", &other).is_err(), "{at}");
            }
        }
        for text in ["", "A", "AAAA", "!"] {
            assert!(seal.open("", text).is_err());
        }
    }
}
