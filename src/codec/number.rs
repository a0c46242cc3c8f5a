//! Numbers that `serde_json` passes as maps: [`visit`].

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, Visitor};

use crate::walker::JSON_NUMBER;

/// Returns whether this program's `serde_json` keeps the text of numbers, because a crate has
/// enabled its feature `arbitrary_precision`.
pub(super) fn are_maps() -> bool {
    use std::sync::OnceLock;
    static KEEPS_TEXT: OnceLock<bool> = OnceLock::new();
    *KEEPS_TEXT.get_or_init(|| {
        serde_json::from_str::<serde_json::Number>("1.10").is_ok_and(|n| n.to_string() == "1.10")
    })
}

/// Passes `map`, or the number that it represents, to `visitor`, which accepts any value.
pub(super) fn visit<'de, V, A>(visitor: V, mut map: A) -> Result<V::Value, A::Error>
where
    V: Visitor<'de>,
    A: MapAccess<'de>,
{
    let first = map.next_key::<String>()?;
    if first.as_deref() != Some(JSON_NUMBER) {
        return visitor.visit_map(Rejoined { first, text: None, rest: map });
    }
    let text: String = map.next_value()?;
    if let Ok(number) = text.parse::<u64>() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = text.parse::<i64>() {
        return visitor.visit_i64(number);
    }
    match text.parse::<f64>() {
        Ok(number) if is_written_so(number, &text) => visitor.visit_f64(number),
        _ => visitor.visit_map(Rejoined { first, text: Some(text), rest: map }),
    }
}

/// Returns whether `text` is how `serde_json` writes `number`. Other strings are passed on as
/// strings.
fn is_written_so(number: f64, text: &str) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "large numbers have other texts as f32")]
    let texts = [serde_json::to_string(&number), serde_json::to_string(&(number as f32))];
    texts.iter().flatten().any(|written| written == text)
}

/// A map whose first key was already read and, for a number, its value too.
struct Rejoined<A> {
    first: Option<String>,
    text: Option<String>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rejoined<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(first) = self.first.take() else { return self.rest.next_key_seed(seed) };
        let first: StringDeserializer<A::Error> = first.into_deserializer();
        seed.deserialize(first).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let Some(text) = self.text.take() else { return self.rest.next_value_seed(seed) };
        let text: StringDeserializer<A::Error> = text.into_deserializer();
        seed.deserialize(text)
    }

    fn size_hint(&self) -> Option<usize> {
        self.rest.size_hint()
    }
}
