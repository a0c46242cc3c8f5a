//! Texts as segments of a path.
//!
//! A tenant, kind or id is any text, and also empty. Servers and proxies lose empty segments,
//! rewrite `%2F`, and resolve dots. So a segment is the text itself if it consists of
//! `A-Z a-z 0-9 . _ -` and is neither `.` nor `..`, and otherwise `~` followed by the URL-safe base64
//! of its UTF-8 bytes, without padding. Each text has exactly one such form.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

/// A text as a segment.
pub(super) fn encode(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut segment = String::from("~");
    URL_SAFE_NO_PAD.encode_string(text, &mut segment);
    segment
}

/// The text of a segment, and whether the segment is its one form. `None` if it has no text.
///
/// Percent-encoded texts are understood as well.
pub(super) fn decode(segment: &str) -> Option<(Cow<'_, str>, bool)> {
    if segment == "~" {
        // The default tenant, which most requests name.
        return Some(("".into(), true));
    }
    if is_plain(segment) {
        return Some((segment.into(), true));
    }
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    let text = match decoded.strip_prefix('~') {
        Some(encoded) => String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?.into(),
        None => decoded,
    };
    let is_its_form = encode(&text) == segment;
    Some((text, is_its_form))
}

fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_form_and_comes_back() {
        for text in [
            "",
            ".",
            "..",
            "alice",
            "a.b_c-D9",
            "a/b",
            "%2F",
            "~",
            "~YQ",
            "\u{f6}",
            "a b",
            "a+b",
            "?",
            "#",
            "\u{0}",
            "\u{10ffff}",
            "snapfold",
        ] {
            let segment = encode(text);
            assert!(!segment.is_empty());
            assert_eq!(decode(&segment), Some((text.into(), true)));
        }
        assert_eq!(encode(""), "~");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for segment in ["%ff", "~_w", "~Zh", "~="] {
            assert_eq!(decode(segment), None, "{segment}");
        }
        assert_eq!(decode("~YWxpY2U"), Some(("alice".into(), false)));
        assert_eq!(decode("a%20b"), Some(("a b".into(), false)));
        assert_eq!(decode("%41"), Some(("A".into(), false)));
    }
}
