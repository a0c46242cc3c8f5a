//! [`KeyText`]: keys as PostgreSQL text.

use std::borrow::Cow;

use crate::key::AggregateKey;

/// The maximum size of the three parts of a key together, as stored. An entry of a b-tree index
/// must fit a third of a page of 8 KiB, with 24 bytes of version and generation.
pub(super) const MAX_BYTES: usize = 2_400;
/// The size of a key that can always be stored: each byte may become two.
pub(super) const SURE_BYTES: usize = MAX_BYTES / 2;

/// The parts of a key as they are stored.
///
/// PostgreSQL text holds any UTF-8 except U+0000. That character and U+0001, which is the escape
/// character, are stored as two characters each; all others are unchanged. Distinct strings stay
/// distinct, and their bytewise order is preserved.
pub(super) struct KeyText<'a> {
    pub(super) tenant: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    pub(super) id: Cow<'a, str>,
}

impl<'a> KeyText<'a> {
    pub(super) fn new(tenant: &'a str, kind: &'a str, id: &'a str) -> Self {
        Self { tenant: encode(tenant), kind: encode(kind), id: encode(id) }
    }

    /// Returns the stored form of `key`, or `None` if it is too long to be stored.
    pub(super) fn of(key: &'a AggregateKey) -> Option<Self> {
        let text = Self::new(key.tenant(), key.kind(), key.id());
        (text.bytes() <= MAX_BYTES).then_some(text)
    }

    /// Returns the stored form of a tenant alone, or `None` if it is too long to be stored.
    pub(super) fn fitting(tenant: &'a str) -> Option<Self> {
        Some(Self::new(tenant, "", "")).filter(|text| text.bytes() <= MAX_BYTES)
    }

    pub(super) fn bytes(&self) -> usize {
        self.tenant.len() + self.kind.len() + self.id.len()
    }
}

pub(super) fn encode(part: &str) -> Cow<'_, str> {
    if part.bytes().all(|byte| byte > 1) {
        return Cow::Borrowed(part);
    }
    let mut text = String::with_capacity(part.len() + 8);
    for c in part.chars() {
        match c {
            '\0' => text.push_str("\u{1}\u{1}"),
            '\u{1}' => text.push_str("\u{1}\u{2}"),
            c => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// Decodes a string that [`encode`] encoded as `stored`; `None` if `stored` is invalid.
pub(super) fn decode(stored: &str) -> Option<Cow<'_, str>> {
    if !stored.contains('\u{1}') {
        return Some(Cow::Borrowed(stored));
    }
    let mut text = String::with_capacity(stored.len());
    let mut chars = stored.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\u{1}' => match chars.next()? {
                '\u{1}' => '\0',
                '\u{2}' => '\u{1}',
                _ => return None,
            },
            c => c,
        });
    }
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_texts_are_stored_as_they_are() {
        assert!(matches!(encode("O'Brien \"x\" \u{2}"), Cow::Borrowed(_)));
        assert_eq!(encode("a\0b\u{1}"), "a\u{1}\u{1}b\u{1}\u{2}");
        assert_eq!(decode("\u{1}"), None);
        assert_eq!(decode("\u{1}x"), None);
    }

    proptest! {
        #[test]
        fn any_two_texts_come_back_and_keep_their_order(
            a in "[\u{0}-\u{3}a]{0,6}",
            b in "[\u{0}-\u{3}a]{0,6}",
        ) {
            let (x, y) = (encode(&a), encode(&b));
            prop_assert!(!x.contains('\0'));
            prop_assert_eq!(decode(&x).unwrap(), a.as_str());
            prop_assert_eq!(a.as_bytes().cmp(b.as_bytes()), x.as_bytes().cmp(y.as_bytes()));
        }
    }
}
