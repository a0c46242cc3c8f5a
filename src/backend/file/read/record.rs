//! Reads a record, or only its header, from a position in a segment.

use std::io;
use std::sync::Arc;

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{FRAME_BYTES, names};
use crate::backend::file::index::Place;
use crate::record::{Header, Record};

/// The number of bytes of a record that are read first to get its header.
const HEADER_GUESS: u32 = 512;

impl Core {
    /// Reads the record at `place` without verifying it.
    pub(super) fn record(
        &self,
        patience: Patience,
        segment: &Arc<Segment>,
        place: Place,
    ) -> Result<Record, Unread> {
        let bytes = self.bytes(patience, segment, place, place.len)?;
        Ok(Record::from_bytes(bytes))
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
        let offset = place.offset + FRAME_BYTES;
        let read = match patience {
            Patience::Unlimited => segment.file.read(offset, len as usize),
            Patience::None(most) if len <= most => segment.file.read_cached(offset, len as usize),
            Patience::None(_) => return Err(Unread::WouldWait),
        };
        match read {
            Ok(bytes) => Ok(bytes),
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
}
