//! [`PointArgument`]: a point in the history of an aggregate, as an operator writes it.

use std::str::FromStr;

use crate::manager::Point;
use crate::timestamp::Timestamp;

/// `now`, a version, or a time in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PointArgument(pub(super) Point);

impl FromStr for PointArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self(Point::Now));
        }
        if let Ok(version) = text.parse() {
            return Ok(Self(Point::Version(version)));
        }
        let time: Result<Timestamp, _> = text.parse();
        time.map(|time| Self(Point::Time(time))).map_err(|_| {
            "use a version such as 1200, a time such as 2026-11-30T08:00:00Z, or now".to_owned()
        })
    }
}
