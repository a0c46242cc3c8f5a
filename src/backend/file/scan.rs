//! [`Scanner`]: reads the frames of a segment one after the other and checks each.

use std::io;

use super::disk::DiskFile;
use super::layout::{ALIGN, FRAME_BYTES, Frame, HEAD_BYTES, MAX_BODY_BYTES};
use crate::checksum::crc32;

const CHUNK: u64 = 1 << 20;

/// Reads frames of one segment, up to `end`.
pub(super) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    salt: u64,
    end: u64,
    /// A longer body is none.
    max_body_bytes: u64,
    /// The next frame's offset.
    pub(super) at: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What is at an offset.
pub(super) enum Step<'a> {
    Frame(Frame, &'a [u8]),
    /// The end of the file, exactly.
    End,
    /// No whole frame of this segment.
    Bad(&'static str),
}

impl<'a> Scanner<'a> {
    pub(super) fn new(file: &'a dyn DiskFile, salt: u64, from: u64, end: u64) -> Self {
        Self {
            file,
            salt,
            end,
            max_body_bytes: MAX_BODY_BYTES,
            at: from.max(HEAD_BYTES),
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The same, for a file whose bodies have at most so many bytes (inclusive).
    pub(super) const fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// What is at the current offset; moves past it if it is a whole frame.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.at == self.end {
            return Ok(Step::End);
        }
        let (at, salt) = (self.at, self.salt);
        if self.end.saturating_sub(at) < FRAME_BYTES {
            return Ok(Step::Bad("the file ends within a frame"));
        }
        let Some(frame) = Frame::parse(self.bytes(at, FRAME_BYTES)?, salt, at) else {
            return Ok(Step::Bad("no frame begins here"));
        };
        if u64::from(frame.body_bytes) > self.max_body_bytes {
            return Ok(Step::Bad("a frame's body is longer than any in this file"));
        }
        let total = frame.total_bytes();
        if total > self.end - at {
            return Ok(Step::Bad("the file ends within a frame"));
        }
        let bytes = self.bytes(at, total)?;
        let head = usize::try_from(FRAME_BYTES).unwrap_or(usize::MAX);
        let body =
            bytes.get(head..).and_then(|rest| rest.split_at_checked(frame.body_bytes as usize));
        let whole = body.is_some_and(|(body, padding)| {
            crc32(body) == frame.body_checksum && padding.iter().all(|byte| *byte == 0)
        });
        if !whole {
            return Ok(Step::Bad("the checksum of a frame's body does not match"));
        }
        self.at += total;
        // Borrowed again, as the checker does not see that the first borrow has ended.
        let bytes = self.bytes(at, total)?;
        let body = bytes.get(head..).and_then(|rest| rest.get(..frame.body_bytes as usize));
        Ok(Step::Frame(frame, body.unwrap_or_default()))
    }

    /// Moves to the next offset at which a frame's head of this segment is whole; `None` at the
    /// end.
    pub(super) fn seek(&mut self) -> io::Result<Option<Frame>> {
        self.at = self.at.next_multiple_of(ALIGN);
        while self.end.saturating_sub(self.at) >= FRAME_BYTES {
            let (at, salt) = (self.at, self.salt);
            if let Some(frame) = Frame::parse(self.bytes(at, FRAME_BYTES)?, salt, at) {
                return Ok(Some(frame));
            }
            self.at += ALIGN;
        }
        self.at = self.end;
        Ok(None)
    }

    /// `len` bytes at `at`, fewer if the file has become shorter.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let within = |window: &[u8], window_at: u64| {
            at >= window_at && at + len <= window_at + window.len() as u64
        };
        if !within(&self.window, self.window_at) {
            let wanted = len.max(CHUNK).min(self.end - at);
            self.window = self.file.read(at, usize::try_from(wanted).unwrap_or(usize::MAX))?;
            self.window_at = at;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        let rest = self.window.get(from..).unwrap_or_default();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(rest.get(..len).unwrap_or(rest))
    }
}

/// Whether a frame after `cut` shows that what begins at `cut` had been durable, and so cannot be
/// the remains of a write that a crash cut short. Returns that frame's offset.
pub(super) fn durable_after(
    file: &dyn DiskFile,
    salt: u64,
    cut: u64,
    end: u64,
) -> io::Result<Option<u64>> {
    let mut scanner = Scanner::new(file, salt, cut, end);
    while let Some(frame) = scanner.seek()? {
        if frame.durable_below > cut {
            return Ok(Some(scanner.at));
        }
        scanner.at += ALIGN;
    }
    Ok(None)
}
