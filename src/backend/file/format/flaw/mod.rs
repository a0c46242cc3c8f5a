//! [`Flaw`]: why a frame cannot be used, and whether a crash can have caused it.

#[cfg(test)]
mod tests;

use super::guard::{guard_of, unguarded};
use super::{Frame, Kind};
use crate::record::{Header, Record, RejectReason};

/// Why there is no usable frame at an offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// Bytes are missing or changed, by damage or by a write that was cut short.
    #[error("{0}")]
    Torn(&'static str),
    /// The frame was written this way, by other code. A crash cannot leave such a frame, so it is
    /// never cut off.
    #[error("{0}")]
    Written(String),
    /// A record in a newer format, as the head of the frame proves. A newer release can read it.
    #[error("record format {0} is newer than this release of snapfold supports")]
    Newer(u8),
    /// A record in this format, with a valid header that requires a feature of a newer release.
    #[error("the record needs {0} of snapfold")]
    Needs(&'static str),
}

impl Flaw {
    /// Checks the guard, which the head of the frame has proven. Returns a flaw if other code wrote
    /// the body, whether or not the body is complete.
    pub(crate) fn of_guard(frame: &Frame) -> Option<Self> {
        if frame.kind != Kind::Put {
            let [a, b, c, d, ..] = frame.guard;
            let foreign = [a, b, c, d] != [0; 4];
            return foreign.then(|| Self::Written("the frame guard is invalid".into()));
        }
        match Header::parse(&frame.guard) {
            Err(RejectReason::NewerFormat(format)) => Some(Self::Newer(format)),
            Err(reject @ RejectReason::Foreign) => {
                Some(Self::Written(format!("the record is invalid: {reject}")))
            }
            // The flaw, if any, is after the guard.
            _ => None,
        }
    }

    /// Returns what is wrong with the `body` of a frame whose head is valid.
    pub(crate) fn of(frame: &Frame, body: &[u8]) -> Option<Self> {
        if let Some(flaw) = Self::of_guard(frame) {
            return Some(flaw);
        }
        if body.len() as u64 != u64::from(frame.body_bytes) {
            return Some(Self::Torn("the length of the frame body does not match the frame head"));
        }
        if frame.kind != Kind::Put {
            let whole = guard_of(unguarded(body)) == frame.guard;
            return (!whole).then_some(Self::Torn("the checksum of the frame body does not match"));
        }
        let reject = Record::check(body).err()?;
        if let RejectReason::NeedsOther(what) = reject {
            return Some(Self::Needs(what));
        }
        if Record::was_written_so(body, &reject) {
            return Some(Self::Written(format!("the record is invalid: {reject}")));
        }
        Some(Self::Torn(match reject {
            RejectReason::PayloadChecksum => "the checksum of the record payload does not match",
            _ => "the record header is damaged",
        }))
    }

    /// Returns whether only a newer release can interpret the frame.
    pub(crate) fn is_newer(&self) -> bool {
        matches!(self, Self::Newer(_) | Self::Needs(_))
    }
}
