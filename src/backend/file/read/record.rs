//! Reads a record, or only its header, from a position in a segment.

use std::io;
use std::sync::Arc;

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::core::tail::OpenTail;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{FRAME_BYTES, Frame, names};
use crate::backend::file::index::Place;
use crate::error::{Error, ErrorKind, Retry};
use crate::record::{Header, Record};

/// The number of bytes of a record that are read first to get its header.
const HEADER_GUESS: u32 = 512;

impl Core {
    /// Reads the record at `place`. Verifies it only if it may have changed since the store was
    /// opened read-only.
    pub(super) fn record(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
    ) -> Result<Record, Unread> {
        let bytes = self.bytes(patience, segment, place, place.len)?;
        let record = Record::from_bytes(bytes);
        if self.found_in_tail(place).is_some() && record.verify().is_err() {
            return Err(taken_back());
        }
        Ok(record)
    }

    /// Calls `with` with the header of the record at `place`. Returns `None` if the header cannot
    /// be parsed.
    pub(super) fn header<R>(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
        with: impl FnOnce(&Header<'_>) -> R,
    ) -> Result<Option<R>, Unread> {
        let guess = HEADER_GUESS.min(place.len);
        let bytes = self.bytes(patience, segment, place, guess)?;
        match Header::parse(&bytes) {
            Ok(header) => return Ok(Some(with(&header))),
            Err(_) if guess == place.len => return Ok(None),
            Err(_) => {}
        }
        // The header is unusually long or damaged. The length that it claims is limited to that of
        // the record.
        let claimed = Header::claimed_bytes(&bytes).map_or(0, |claimed| claimed.min(place.len));
        if claimed <= guess {
            return Ok(None);
        }
        let bytes = self.bytes(patience, segment, place, claimed)?;
        Ok(Header::parse(&bytes).ok().map(|header| with(&header)))
    }

    fn bytes(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
        len: u32,
    ) -> Result<Vec<u8>, Unread> {
        let found = self.found_in_tail(place);
        let head = usize::try_from(FRAME_BYTES).unwrap_or(0);
        let (offset, wanted) = match found {
            Some(_) => (place.offset, (len as usize).saturating_add(head)),
            None => (place.offset + FRAME_BYTES, len as usize),
        };
        let read = match patience {
            Patience::Unlimited => segment.file.read(offset, wanted),
            Patience::None(most) if len <= most => segment.file.read_cached(offset, wanted),
            Patience::None(_) => return Err(Unread::WouldWait),
        };
        match read {
            Ok(mut bytes) => {
                if let Some((tail, found)) = found {
                    if !tail.is_still(found, place, &bytes) {
                        return Err(taken_back());
                    }
                    bytes.drain(..head);
                }
                Ok(bytes)
            }
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && patience != Patience::Unlimited =>
            {
                Err(Unread::WouldWait)
            }
            Err(error) => {
                let path = self.path(&names::segment(segment.id));
                let error = io_error("read a snapshot", &path, error);
                self.troubles.report_damage(segment, &error);
                Err(Unread::Failed(error))
            }
        }
    }

    fn found_in_tail(&self, place: Place) -> Option<(&OpenTail, &Frame)> {
        let tail = self.tail.as_ref()?;
        Some((tail, tail.found(place)?))
    }
}

/// Returns the error for a record that its writer has taken back since.
fn taken_back() -> Unread {
    let message = "the writer of the log took this snapshot back after the store was opened \
                   read-only: open it again";
    let error = Error::new(ErrorKind::Store, "read a snapshot", message);
    Unread::Failed(error.with_retry(Retry::Never))
}
