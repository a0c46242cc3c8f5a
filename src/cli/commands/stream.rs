//! [`ByteStream`]: a file or a standard stream, with a progress bar.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use indicatif::ProgressBar;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads or writes without leaving the thread, and counts the bytes. The command does nothing else
/// meanwhile.
pub(super) struct ByteStream<S> {
    stream: S,
    bar: ProgressBar,
}

impl<S> ByteStream<S> {
    pub(super) fn new(stream: S, bar: ProgressBar) -> Self {
        Self { stream, bar }
    }
}

/// Repeats a call that a signal has interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl<S: Write + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = uninterrupted(|| self.stream.write(bytes));
        self.bar.inc(written.as_ref().map_or(0, |written| *written as u64));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(uninterrupted(|| self.stream.flush()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl<S: Read + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = uninterrupted(|| self.stream.read(buffer.initialize_unfilled()));
        Poll::Ready(read.map(|read| {
            buffer.advance(read);
            self.bar.inc(read as u64);
        }))
    }
}
