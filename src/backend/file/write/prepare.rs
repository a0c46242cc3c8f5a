//! Prepares segments in advance.

use std::io::IoSlice;

use crate::backend::file::config::ZeroAhead;
use crate::backend::file::core::Core;
use crate::backend::file::core::log::Prepared;
use crate::backend::file::disk::{write_all, write_zeros};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{HEAD_BYTES, Head, names};
use crate::error::{Error, ErrorKind};

impl Core {
    /// Creates a segment with a temporary name, a head and no frames, and makes it durable. It is
    /// filled with zeros up to `zero_bytes` if there is enough space.
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
                // The segment is usable without zeros, which only take space from data.
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
                // The file contains nothing and is not listed, so the next open removes a leftover.
                let _ = self.disk.remove(&temporary);
                Err(io_error(operation, &temporary, error))
            }
        }
    }

    /// Returns whether to prepare a segment, which is when the active one is more than half full.
    pub(crate) fn wants_segment(&self) -> bool {
        self.log_with_flights().wants_segment(self.config.segment_bytes)
    }

    /// Keeps a prepared segment, or removes it if there is one already.
    pub(crate) fn offer(&self, prepared: Prepared) {
        let mut log = self.log_with_flights();
        if log.next.is_none() {
            log.next = Some(prepared);
        } else {
            // If the file remains, the next open removes it.
            let _ = self.disk.remove(&prepared.temporary);
        }
    }

    /// Returns how much of a new segment to fill with zeros.
    pub(crate) fn zero_bytes(&self) -> u64 {
        match self.config.zero_ahead {
            ZeroAhead::WholeFiles => self.config.segment_bytes,
            ZeroAhead::SmallWrites | ZeroAhead::Never => 0,
        }
    }
}
