//! What a client prefers (RFC 7240).

use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Whether the client prefers an answer before the work is done.
pub(crate) fn prefers_async(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    let mut names = texts.flat_map(|text| text.split(',')).map(|preference| {
        let end = preference.find([';', '=']).unwrap_or(preference.len());
        preference.get(..end).unwrap_or_default().trim()
    });
    names.any(|name| name.eq_ignore_ascii_case("respond-async"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_preference_is_found_in_any_list() {
        for (text, expected) in [
            ("respond-async", true),
            ("Respond-Async, wait=10", true),
            ("return=minimal, respond-async;x=1", true),
            ("respond-asyncx", false),
            ("wait=respond-async", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(text));
            assert_eq!(prefers_async(&headers), expected, "{text}");
        }
    }
}
