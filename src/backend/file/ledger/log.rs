//! [`Log`]: a file of checksummed entries that only grows.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::{DiskFile, write_all};
use super::super::fault::io_error;
use super::super::layout::{Frame, HEAD_BYTES, Head, Kind, guard_of};
use super::super::scan::Scanner;
use super::entry::MAX_BODY_BYTES;
use crate::error::{Error, Retry};

pub(super) const WRITE: &str = "write to the ledger";
const MAGIC: [u8; 6] = *b"snflgr";

/// Which log: the number in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Audit = 1,
    State = 2,
}

/// A log that is open for appending. All of it is durable.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    pub(super) end: u64,
    pub(super) next_seq: u64,
}

impl Log {
    /// Appends entries, durably when this returns. An error that is not [`Retry::Unknown`] means
    /// that nothing of them is there.
    pub(super) fn append(&mut self, bodies: &[Vec<u8>]) -> Result<(), Error> {
        let start = self.end;
        let mut bytes = Vec::new();
        for (seq, body) in (self.next_seq..).zip(bodies) {
            put_frame(&mut bytes, self.salt, start, seq, start, body);
        }
        if let Err(error) = write_all(&*self.file, start, &mut [IoSlice::new(&bytes)]) {
            let taken_back = self.file.set_len(start).and_then(|()| self.file.sync());
            return match taken_back {
                Ok(()) => Err(io_error(WRITE, &self.path, error)),
                Err(error) => Err(unknown(&self.path, error)),
            };
        }
        self.file.sync().map_err(|error| unknown(&self.path, error))?;
        self.end += bytes.len() as u64;
        self.next_seq += bodies.len() as u64;
        Ok(())
    }

    /// Reads entries from the one that begins at `from`, up to `end`.
    pub(super) fn scanner(file: &dyn DiskFile, salt: u64, from: u64, end: u64) -> Scanner<'_> {
        Scanner::new(file, salt, from, end).max_body_bytes(MAX_BODY_BYTES)
    }
}

/// A failure after which it is not known what the disk holds.
pub(super) fn unknown(what: &Path, error: io::Error) -> Error {
    io_error(WRITE, what, error).with_retry(Retry::Unknown)
}

/// Adds the frame of an entry to `out`, which begins at `start` of the file.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    salt: u64,
    start: u64,
    seq: u64,
    durable_below: u64,
    entry: &[u8],
) {
    let body = [&guard_of(entry), entry].concat();
    let frame = Frame::of(Kind::Entry, seq, durable_below, &body);
    frame.put(&body, salt, start + out.len() as u64, out);
}

/// The head of a log.
pub(super) fn head(ledger: [u8; 16], which: Which, salt: u64) -> Vec<u8> {
    let head = Head { store: ledger, id: which as u32, salt };
    let bytes = head.to_bytes_as(MAGIC);
    debug_assert_eq!(bytes.len() as u64, HEAD_BYTES);
    bytes
}

pub(super) fn parse_head(bytes: &[u8]) -> Result<Head, super::super::layout::Bad> {
    Head::parse_as(MAGIC, bytes)
}
