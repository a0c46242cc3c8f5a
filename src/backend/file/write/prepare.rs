//! Segments that are made ahead of need.

use std::io::IoSlice;

use crate::backend::file::config::ZeroAhead;
use crate::backend::file::core::Core;
use crate::backend::file::core::log::Prepared;
use crate::backend::file::disk::{write_all, write_zeros};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{HEAD_BYTES, Head, names};
use crate::error::{Error, ErrorKind};

impl Core {
    /// Makes a segment ahead of need: under a temporary name, with a head and no frames, durable.
    /// It is filled with zeros up to `zero_bytes` if there is space for so many.
    pub(crate) fn prepare(&self, zero_bytes: u64) -> Result<Prepared, Error> {
        let operation = "begin a segment";
        let Some(id) = self.segments.take_id() else {
            let message =
                "the store has used all segment numbers: copy the snapshots to a new store";
            return Err(Error::new(ErrorKind::OutOfSpace, operation, message));
        };
        let head = Head { store: self.store, id, salt: self.disk.random() };
        let temporary = self.path(&names::temporary(&names::segment(id)));
        let make = || {
            let file = self.disk.create(&temporary)?;
            write_all(&*file, 0, &mut [IoSlice::new(&head.to_bytes())])?;
            let mut file_bytes = HEAD_BYTES.max(zero_bytes);
            if write_zeros(&*file, HEAD_BYTES, zero_bytes).is_err() {
                // It serves without them: the space is for what is to be stored.
                file.set_len(HEAD_BYTES)?;
                file_bytes = HEAD_BYTES;
            }
            file.sync()?;
            self.disk.sync_dir(self.dir())?;
            Ok((file, file_bytes))
        };
        match make() {
            Ok((file, file_bytes)) => Ok(Prepared { head, file, file_bytes, temporary }),
            Err(error) => {
                // Holds nothing, and is not listed: a leftover is removed at the next open.
                let _ = self.disk.remove(&temporary);
                Err(io_error(operation, &temporary, error))
            }
        }
    }

    /// Whether a segment should be made ahead: the active one is more than half full.
    pub(crate) fn wants_segment(&self) -> bool {
        self.log_with_flights().wants_segment(self.config.segment_bytes)
    }

    /// Keeps a segment that was made ahead; removes it if there is one already.
    pub(crate) fn offer(&self, prepared: Prepared) {
        let mut log = self.log_with_flights();
        if log.next.is_none() {
            log.next = Some(prepared);
        } else {
            // If it stays, the next opening removes it.
            let _ = self.disk.remove(&prepared.temporary);
        }
    }

    /// How much of a new segment to fill with zeros.
    pub(crate) fn zero_bytes(&self) -> u64 {
        match self.config.zero_ahead {
            ZeroAhead::WholeFiles => self.config.segment_bytes,
            ZeroAhead::SmallWrites | ZeroAhead::Never => 0,
        }
    }
}
