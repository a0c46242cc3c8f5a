//! [`Scanner`]: reads and checks the frames of a segment one after the other.

use std::io;

use crate::backend::file::disk::DiskFile;
use crate::backend::file::format::flaw::Flaw;
use crate::backend::file::format::{ALIGN, Frame, HEAD_BYTES, PROVEN_BYTES};

const CHUNK: u64 = 1 << 20;
/// The number of bytes that are read to find a frame.
const PROVEN: u64 = PROVEN_BYTES as u64;

/// Reads the frames of one segment up to `end`.
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    salt: u64,
    end: u64,
    /// The offset of the next frame.
    pub(crate) at: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// The data at an offset.
pub(crate) enum Step<'a> {
    /// A valid frame and its body. The record of a put verifies; the guard of any other frame
    /// matches.
    Frame(Frame, &'a [u8]),
    /// The end of the file, with no bytes left over.
    End,
    /// Not a valid frame of this segment.
    Bad(Flaw),
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, salt: u64, from: u64, end: u64) -> Self {
        Self { file, salt, end, at: from.max(HEAD_BYTES), window: Vec::new(), window_at: 0 }
    }

    /// Reads and checks the data at the current offset. Moves past it, unless a write that was cut
    /// short can have left it.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        let torn = |why| Ok(Step::Bad(Flaw::Torn(why)));
        let (at, salt) = (self.at, self.salt);
        let rest = self.end.saturating_sub(at);
        if at == self.end {
            return Ok(Step::End);
        }
        if rest < PROVEN {
            return torn("the file ends within a frame");
        }
        let frame = match Frame::proven(self.bytes(at, PROVEN)?, salt, at) {
            None => return torn("no frame starts here"),
            Some(Ok(frame)) => frame,
            Some(Err(why)) => {
                // The length of the frame is unknown.
                self.at += ALIGN;
                self.seek()?;
                return Ok(Step::Bad(Flaw::Written(why.into())));
            }
        };
        let total = frame.total_bytes();
        // The proven bytes decide, whatever happened to the rest of the frame.
        if let Some(flaw) = Flaw::of_guard(&frame) {
            self.at += total.min(rest);
            return Ok(Step::Bad(flaw));
        }
        if total > rest {
            return torn("the file ends within a frame");
        }
        self.load(at, total)?;
        let bytes = within(&self.window, self.window_at, at, total);
        let body = Frame::body_in(bytes);
        let (body, padding) =
            body.split_at_checked(frame.body_bytes as usize).unwrap_or((body, &[]));
        match Flaw::of(&frame, body) {
            Some(Flaw::Torn(why)) => torn(why),
            Some(flaw) => {
                self.at += total;
                Ok(Step::Bad(flaw))
            }
            None if padding.len() != frame.padding() || padding.iter().any(|byte| *byte != 0) => {
                torn("the padding after the frame is not zero")
            }
            None => {
                self.at += total;
                Ok(Step::Frame(frame, body))
            }
        }
    }

    /// Moves to the next offset with a valid frame head of this segment. Returns `None` at the end.
    pub(crate) fn seek(&mut self) -> io::Result<Option<Frame>> {
        self.at = self.at.next_multiple_of(ALIGN);
        while self.end.saturating_sub(self.at) >= PROVEN {
            let (at, salt) = (self.at, self.salt);
            let bytes = self.bytes(at, PROVEN)?;
            if bytes.len() < PROVEN_BYTES {
                // A writer has truncated the file meanwhile.
                break;
            }
            if let Some(frame) = Frame::parse(bytes, salt, at) {
                return Ok(Some(frame));
            }
            self.at += ALIGN;
        }
        self.at = self.end;
        Ok(None)
    }

    /// Returns `len` bytes at `at`, or fewer if the file has become shorter.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        self.load(at, len)?;
        Ok(within(&self.window, self.window_at, at, len))
    }

    /// Loads `len` bytes at `at` into the window.
    fn load(&mut self, at: u64, len: u64) -> io::Result<()> {
        if at < self.window_at || at + len > self.window_at + self.window.len() as u64 {
            let wanted = len.max(CHUNK).min(self.end - at);
            self.window = self.file.read(at, usize::try_from(wanted).unwrap_or(usize::MAX))?;
            self.window_at = at;
        }
        Ok(())
    }
}

/// Returns `len` bytes at `at` of a file, or fewer if the window ends. `window` contains the bytes
/// from `window_at` on.
fn within(window: &[u8], window_at: u64, at: u64, len: u64) -> &[u8] {
    let from = usize::try_from(at - window_at).unwrap_or(usize::MAX);
    let rest = window.get(from..).unwrap_or_default();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    rest.get(..len).unwrap_or(rest)
}

/// Why unreadable data must not be cut off.
pub(crate) enum Keep {
    /// The frame at this offset proves that the data was durable.
    Durable(u64),
    /// The frame at this offset was written by a newer release, which can interpret it.
    Newer(u64, u8),
}

/// Returns why the data from `cut` on is more than the remains of a write that a crash cut short.
pub(crate) fn reason_to_keep(
    file: &dyn DiskFile,
    salt: u64,
    cut: u64,
    end: u64,
) -> io::Result<Option<Keep>> {
    let mut scanner = Scanner::new(file, salt, cut, end);
    while let Some(frame) = scanner.seek()? {
        if frame.durable_below > cut {
            return Ok(Some(Keep::Durable(scanner.at)));
        }
        if let Some(Flaw::Newer(format)) = Flaw::of_guard(&frame) {
            return Ok(Some(Keep::Newer(scanner.at, format)));
        }
        scanner.at += ALIGN;
    }
    Ok(None)
}
