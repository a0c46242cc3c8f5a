//! Text as one segment of an object's name.

use std::fmt::Write as _;

/// Appends `text` to `name` as one segment: ASCII letters, digits, `.`, `_` and `-` as they are, and
/// each other byte as `~` and two lower-case hexadecimal digits. No client, proxy or signer of URLs
/// changes such a name. The empty text is `~`, and the dots of `.` and `..` are escaped, because
/// paths give them a meaning.
pub(super) fn put_segment(name: &mut String, text: &str) {
    if text.is_empty() {
        name.push('~');
    }
    let is_relative = matches!(text, "." | "..");
    for byte in text.bytes() {
        if is_plain(byte) && !is_relative {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "~{byte:02x}");
        }
    }
}

/// Returns the text of a segment, or `None` if [`put_segment`] writes no text like that.
#[cfg(test)]
pub(super) fn read_segment(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    if rest == b"~" {
        rest = &[];
    }
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'~' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            rest = after;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        } else {
            bytes.push(*first);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    // Each text has one spelling.
    let mut spelled = String::with_capacity(segment.len());
    put_segment(&mut spelled, &text);
    (spelled == segment).then_some(text)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(text: &str) -> String {
        let mut name = String::new();
        put_segment(&mut name, text);
        name
    }

    #[test]
    fn texts_are_spelled_as_the_format_says() {
        let spelled = [
            ("", "~"),
            (".", "~2e"),
            ("..", "~2e~2e"),
            ("...", "..."),
            ("a.b_c-D9", "a.b_c-D9"),
            ("~", "~7e"),
            ("a/b c", "a~2fb~20c"),
            ("\u{e9}\0", "~c3~a9~00"),
        ];
        for (text, name) in spelled {
            assert_eq!(segment(text), name);
            assert_eq!(read_segment(name).as_deref(), Some(text));
        }
        // Other spellings of the same texts, and what is no text.
        for wrong in ["", ".", "..", "~2E", "~61", "~2", "a~", "~~", "a/b", "~c3", "~+1", "\u{e9}"]
        {
            assert_eq!(read_segment(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_text_comes_back_and_its_segment_is_plain(text in any::<String>()) {
            let name = segment(&text);
            prop_assert!(!name.is_empty() && name.len() <= (3 * text.len()).max(1));
            prop_assert!(name.bytes().all(|byte| is_plain(byte) || byte == b'~'));
            prop_assert_eq!(read_segment(&name), Some(text));
        }

        #[test]
        fn no_two_segments_are_the_same_text(name in "[~a-f0-9.]{0,9}") {
            if let Some(text) = read_segment(&name) {
                prop_assert_eq!(segment(&text), name);
            }
        }
    }
}
