//! The bytes of a state in one media type.

use super::canonical;
use super::links::Links;
use super::media::Media;
use crate::manager::View;

/// Writes a state: bare, or as a document of JSON:API.
pub(super) fn write(view: &View, media: Media, links: &Links) -> Vec<u8> {
    // It seldom takes less.
    let mut out = Vec::with_capacity(1_024);
    if media == Media::Json {
        canonical::write(&view.state, &mut out);
        return out;
    }
    let text = |name: &str, value: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        canonical::string(value, out);
    };
    text("{\"jsonapi\":{\"version\":\"1.1\"},\"data\":{\"type\":", view.key.kind(), &mut out);
    text(",\"id\":", view.key.id(), &mut out);
    out.extend_from_slice(b",\"attributes\":{\"state\":");
    canonical::write(&view.state, &mut out);
    text("},\"links\":{\"self\":", links.entity(), &mut out);
    out.extend_from_slice(format!("}}}},\"meta\":{{\"version\":{}", view.version).as_bytes());
    if let Some(as_of) = view.as_of {
        text(",\"asOf\":", &as_of.to_string(), &mut out);
    }
    text("},\"links\":{\"self\":", &links.version(view.version), &mut out);
    text(",\"versions\":", &links.versions(), &mut out);
    out.extend_from_slice(b"}}");
    out
}
