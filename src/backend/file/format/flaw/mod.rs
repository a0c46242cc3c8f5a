//! [`Flaw`]: why a frame cannot be used, and whether a crash may have left it like that.

#[cfg(test)]
mod tests;

use super::guard::{guard_of, unguarded};
use super::{Frame, Kind};
use crate::record::{Header, Record, RejectReason};

/// Why there is no frame of use at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// Bytes are missing or changed: what a write that was cut short can leave, or damage.
    #[error("{0}")]
    Torn(&'static str),
    /// It was written as it is, and not by this code: no crash leaves this, so it is never cut off.
    #[error("{0}")]
    Written(String),
    /// A record of a newer format: the frame's head has proven that. It is for a newer release.
    #[error("record format {0} is newer than this release of snapfold supports")]
    Newer(u8),
    /// A record of this format whose header is whole, and tells that it needs this, which only a
    /// newer release has.
    #[error("the record needs {0} of snapfold")]
    Needs(&'static str),
}

impl Flaw {
    /// What the guard shows, which the head of the frame has proven: whether the body is of another
    /// writer, be it whole or not.
    pub(crate) fn of_guard(frame: &Frame) -> Option<Self> {
        if frame.kind != Kind::Put {
            let [a, b, c, d, ..] = frame.guard;
            let foreign = [a, b, c, d] != [0; 4];
            return foreign.then(|| Self::Written("the frame guard is invalid".into()));
        }
        match Header::parse(&frame.guard) {
            Err(RejectReason::NewerFormat(format)) => Some(Self::Newer(format)),
            Err(reject @ RejectReason::Foreign) => {
                Some(Self::Written(format!("the record is not valid: {reject}")))
            }
            // It goes on behind the guard.
            _ => None,
        }
    }

    /// What is wrong with the `body` of a frame whose head is whole.
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
            return Some(Self::Written(format!("the record is not valid: {reject}")));
        }
        Some(Self::Torn(match reject {
            RejectReason::PayloadChecksum => "the checksum of the record payload does not match",
            _ => "the record header is damaged",
        }))
    }

    /// Whether this release had better leave the file to a newer one.
    pub(crate) fn is_newer(&self) -> bool {
        matches!(self, Self::Newer(_) | Self::Needs(_))
    }
}
