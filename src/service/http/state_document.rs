//! The bytes of a state in one media type.

use super::links::Links;
use super::media::Media;
use crate::error::Error;
use crate::manager::OpaqueState;
use crate::value::canonical;

/// Writes a state: bare, or as a document of JSON:API.
pub(super) fn write(state: &OpaqueState, media: Media, links: &Links) -> Result<Vec<u8>, Error> {
    // It seldom takes less.
    let mut out = Vec::with_capacity(1_024);
    if media == Media::Json {
        state.write_json(&mut out)?;
        return Ok(out);
    }
    let text = |name: &str, value: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        canonical::string(value, out);
    };
    text("{\"jsonapi\":{\"version\":\"1.1\"},\"data\":{\"type\":", state.key().kind(), &mut out);
    text(",\"id\":", state.key().id(), &mut out);
    out.extend_from_slice(b",\"attributes\":{\"state\":");
    state.write_json(&mut out)?;
    text("},\"links\":{\"self\":", links.entity(), &mut out);
    out.extend_from_slice(format!("}}}},\"meta\":{{\"version\":{}", state.version()).as_bytes());
    if let Some(as_of) = state.as_of() {
        text(",\"asOf\":", &as_of.to_string(), &mut out);
    }
    text("},\"links\":{\"self\":", &links.version(state.version()), &mut out);
    text(",\"versions\":", &links.versions(), &mut out);
    out.extend_from_slice(b"}}");
    Ok(out)
}
