//! [`ByteRange`]: which part of a body a GET asks for (RFC 9110, section 14).

use std::ops::RangeInclusive;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};

/// Which part of a body a GET asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// There is no range, or it does not count: it is malformed, of another unit or one of several,
    /// or the body is not the one that the client has a part of.
    Whole,
    /// The first and the last byte, which are within the body.
    Part(RangeInclusive<usize>),
    /// The range has no byte of the body.
    Unsatisfiable,
}

impl ByteRange {
    /// Reads the headers of a GET whose preconditions hold. The body has `length` bytes and the
    /// entity tag `tag`.
    pub(super) fn wanted(headers: &HeaderMap, tag: Option<&HeaderValue>, length: usize) -> Self {
        let text = match one(headers, &RANGE) {
            Some(text) if holds(headers, tag) => text.to_str().unwrap_or_default(),
            _ => return Self::Whole,
        };
        let Ok(ranges) = parse_range_header(text) else { return Self::Whole };
        if ranges.len() > 1 {
            return Self::Whole;
        }
        match ranges.validate(length as u64).as_deref() {
            Ok([range]) => match (usize::try_from(*range.start()), usize::try_from(*range.end())) {
                (Ok(start), Ok(end)) => Self::Part(start..=end),
                _ => Self::Whole,
            },
            Err(RangeUnsatisfiableError::Unsatisfiable) => Self::Unsatisfiable,
            _ => Self::Whole,
        }
    }
}

/// Evaluates `If-Range`. Only the same bytes are the same strong tag. A date never matches, because
/// the body has none.
fn holds(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    !headers.contains_key(IF_RANGE) || tag.is_some() && one(headers, &IF_RANGE) == tag
}

/// The value of a header that occurs once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
