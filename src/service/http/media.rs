//! [`Media`] and [`Coding`]: which representation a client accepts (RFC 9110, section 12.5).

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

use super::gzip::gzipped;
#[cfg(feature = "zstd")]
use super::zstd::framed;

/// The media types of states and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Media {
    /// The bare state.
    Json,
    /// A document of JSON:API 1.1.
    JsonApi,
}

/// The content codings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    #[cfg(feature = "zstd")]
    Zstd,
    Gzip,
    Identity,
}

impl Media {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonApi => "application/vnd.api+json",
        }
    }

    /// The best media type for an `Accept` header; `None` if none is acceptable. Without a header,
    /// or with `*/*`, it is plain JSON.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        match headers.get(ACCEPT) {
            None => return Some(Self::Json),
            // What most clients send needs no list of preferences.
            Some(value) if value == "*/*" || value == Self::Json.name() => {
                if headers.get_all(ACCEPT).iter().count() == 1 {
                    return Some(Self::Json);
                }
            }
            Some(_) => {}
        }
        if preferences(headers, &ACCEPT).next().is_none() {
            return Some(Self::Json);
        }
        match [Self::Json, Self::JsonApi].map(|media| accepted_quality(headers, media.name())) {
            [0, 0] => None,
            [json, document] if document > json => Some(Self::JsonApi),
            _ => Some(Self::Json),
        }
    }
}

/// The media type of a record: `docs/format.md` specifies its bytes.
pub(super) const RECORD: &str = "application/vnd.snapfold.record";

/// Whether a client accepts records, and likes them better than JSON.
pub(super) fn prefers_record(headers: &HeaderMap) -> bool {
    let quality = |name| accepted_quality(headers, name);
    let record = quality(RECORD);
    [Media::Json, Media::JsonApi].iter().all(|media| record > quality(media.name()))
}

/// The quality that the closest range of the `Accept` headers gives to a media type. 0 without any.
fn accepted_quality(headers: &HeaderMap, name: &str) -> u16 {
    let ranges = preferences(headers, &ACCEPT);
    let fitting = ranges.filter_map(|range| Some((range.specificity(name)?, range.quality)));
    fitting.max().map_or(0, |(_, quality)| quality)
}

impl Coding {
    /// All codings, the best one first.
    const ALL: &[Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        Self::Gzip,
        Self::Identity,
    ];

    /// The name in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// What the entity tags of this coding end with.
    pub(super) const fn tag_suffix(self) -> &'static str {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => "-zst",
            Self::Gzip => "-gz",
            Self::Identity => "",
        }
    }

    /// The content in this coding, or as it is if the memory for that cannot be had.
    pub(super) fn encode(self, content: &Bytes) -> (Self, Bytes) {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => match framed(content) {
                Some(frame) => (self, frame),
                None => Self::Identity.encode(content),
            },
            Self::Gzip => (self, gzipped(content)),
            Self::Identity => (self, content.clone()),
        }
    }

    /// The coding for an `Accept-Encoding` header (RFC 9110, section 12.5.3).
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        Self::chosen(headers, Self::ALL)
    }

    /// The coding for a body that is made while it is sent.
    pub(super) fn accepted_for_stream(headers: &HeaderMap) -> Self {
        Self::chosen(headers, &[Self::Gzip, Self::Identity])
    }

    /// Of at most three that are `offered`, the first one with the highest quality. If none is
    /// acceptable, it is identity: a client can do more with the state than with an error.
    fn chosen(headers: &HeaderMap, offered: &[Self]) -> Self {
        if !headers.contains_key(ACCEPT_ENCODING) {
            return Self::Identity;
        }
        let (mut named, mut any) = ([None; 3], None);
        for item in preferences(headers, &ACCEPT_ENCODING) {
            let mut places = offered.iter().zip(&mut named);
            let place = match places.find(|(coding, _)| coding.is_named(&item)) {
                Some((_, place)) => place,
                None if item.is("*") => &mut any,
                None => continue,
            };
            *place = (*place).max(Some(item.quality));
        }
        let mut best = (0, Self::Identity);
        for (coding, named) in offered.iter().zip(named) {
            // Identity is acceptable unless it is excluded, but what is asked for is preferred.
            let quality = named.or(any).unwrap_or(0);
            if quality > best.0 {
                best = (quality, *coding);
            }
        }
        best.1
    }

    fn is_named(self, item: &Preference<'_>) -> bool {
        item.is(self.name()) || self == Self::Gzip && item.is("x-gzip")
    }
}

/// An item of a list with qualities: `text/html;level=1;q=0.5`.
struct Preference<'a> {
    name: &'a str,
    /// Whether it has parameters other than the quality and `profile`.
    has_parameters: bool,
    /// In thousandths. 0 is not acceptable.
    quality: u16,
}

impl Preference<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// How closely the range fits a media type, which has no parameters.
    fn specificity(&self, name: &str) -> Option<u8> {
        if self.is(name) {
            // JSON:API: an `ext` would have to be applied, and none is known here. A `profile` that is
            // not known must be ignored.
            (!self.has_parameters || name == Media::Json.name()).then_some(3)
        } else if self.is("application/*") {
            Some(2)
        } else {
            self.is("*/*").then_some(1)
        }
    }
}

fn preferences<'a>(
    headers: &'a HeaderMap,
    name: &http::HeaderName,
) -> impl Iterator<Item = Preference<'a>> + use<'a> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()).map(
        |text| {
            let mut parts = text.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let mut item = Preference { name, has_parameters: false, quality: 1_000 };
            for parameter in parts.filter(|parameter| !parameter.is_empty()) {
                match parameter.split_once('=') {
                    Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => {
                        item.quality = quality(value.trim());
                    }
                    Some((name, _)) if name.trim().eq_ignore_ascii_case("profile") => {}
                    _ => item.has_parameters = true,
                }
            }
            item
        },
    )
}

/// A quality in thousandths. An invalid one counts as 0, so that it is never preferred.
fn quality(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let thousandths = format!("{part:0<3}").parse().unwrap_or(0);
    match (whole, thousandths) {
        ("0", thousandths) => thousandths,
        ("1", 0) => 1_000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn media(accept: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Media::accepted(&headers)
    }

    /// The coding of a body, and that of one that is made while it is sent.
    fn codings(accept: &str) -> (Coding, Coding) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap());
        (Coding::accepted(&headers), Coding::accepted_for_stream(&headers))
    }

    #[test]
    fn the_best_media_type_wins() {
        assert_eq!(Media::accepted(&HeaderMap::new()), Some(Media::Json));
        for (accept, expected) in [
            ("*/*", Some(Media::Json)),
            ("application/json", Some(Media::Json)),
            ("application/vnd.api+json", Some(Media::JsonApi)),
            ("Application/VND.api+JSON", Some(Media::JsonApi)),
            ("application/json;q=0.5, application/vnd.api+json", Some(Media::JsonApi)),
            ("application/json;q=0, */*", Some(Media::JsonApi)),
            ("application/*;q=0.1, application/json;q=0.05", Some(Media::JsonApi)),
            ("text/html, */*;q=0.1", Some(Media::Json)),
            ("application/json; charset=utf-8", Some(Media::Json)),
            ("application/vnd.api+json; ext=\"x\"", None),
            ("application/vnd.api+json; profile=\"https://example.com/p\"", Some(Media::JsonApi)),
            ("application/vnd.api+json; profile=\"x\"; ext=\"x\"", None),
            ("application/vnd.api+json; ext=\"x\", application/vnd.api+json", Some(Media::JsonApi)),
            ("text/html", None),
            ("*/*;q=0", None),
            ("*/*;q=2", None),
            ("*/*;q=0.0001", None),
            (", ,", Some(Media::Json)),
        ] {
            assert_eq!(media(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_record_is_for_those_who_like_it_better_than_json() {
        assert!(!prefers_record(&HeaderMap::new()));
        for (accept, expected) in [
            (RECORD, true),
            ("Application/VND.snapfold.RECORD;q=0.1", true),
            ("application/vnd.snapfold.record, */*;q=0.9", true),
            ("application/vnd.snapfold.record, application/json;q=0", true),
            ("application/vnd.snapfold.record, */*", false),
            ("application/vnd.snapfold.record, application/vnd.api+json", false),
            ("application/vnd.snapfold.record;q=0.5, application/*;q=0.6", false),
            ("application/vnd.snapfold.record;q=0", false),
            ("application/vnd.snapfold.record;format=1", false),
            ("application/json;q=0, application/vnd.api+json;q=0, */*", true),
            ("application/*", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_record(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_wanted() {
        assert_eq!(Coding::accepted(&HeaderMap::new()), Coding::Identity);
        for (accept, expected) in [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("GZIP;q=0.5", Coding::Gzip),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0.5, identity", Coding::Identity),
            ("identity;q=0.5, gzip;q=0.5", Coding::Gzip),
            ("zstd;q=0.4, gzip;q=0.5, identity;q=0.3", Coding::Gzip),
            ("zstd;q=0, *", Coding::Gzip),
            ("zstd;q=0, gzip;q=0.5, *;q=0.6", Coding::Identity),
            ("identity, *;q=0.5", Coding::Identity),
            ("*;q=0", Coding::Identity),
            ("br", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(codings(accept), (expected, expected), "{accept}");
        }
    }

    #[test]
    fn zstd_comes_before_gzip_where_it_can_be_written() {
        let best = |without| if cfg!(feature = "zstd") { Coding::ALL[0] } else { without };
        for (accept, without) in [
            ("zstd", Coding::Identity),
            ("ZSTD;q=0.001", Coding::Identity),
            ("gzip, zstd", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Gzip),
            ("gzip;q=0.5, zstd;q=0.5", Coding::Gzip),
            ("gzip;q=0.5, zstd;q=0.6", Coding::Gzip),
            ("identity, zstd", Coding::Identity),
            ("*", Coding::Gzip),
            ("br, *;q=0.1", Coding::Gzip),
            ("gzip;q=0, *", Coding::Identity),
            ("gzip;q=0.5, *", Coding::Identity),
        ] {
            assert_eq!(codings(accept), (best(without), without), "{accept}");
        }
        assert_eq!(Coding::ALL[0].name(), if cfg!(feature = "zstd") { "zstd" } else { "gzip" });
    }
}
