//! [`export`]: writes the snapshots of a store to an archive.

use std::fmt;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::TransferFilter;
use super::frame::{
    ArchiveEnd, DICTIONARY, END, FrameChain, MAGIC, SNAPSHOT, START, marks_body, start_body,
};
use super::walk::{MovedSnapshot, StoreWalk};
use crate::clock::{Clock as _, SystemClock};
use crate::codec::Dictionary;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;

/// Written to the stream in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;
const EXPORT: &str = "export snapshots";

/// What an archive contains. For [`export`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Which snapshots are exported. All by default.
    pub filter: TransferFilter,
    /// The dictionaries that the snapshots need, so that the archive is complete. None by default,
    /// because stores contain no dictionaries.
    pub dictionaries: Vec<Dictionary>,
    /// The creation time in the archive. The time of the system's clock by default.
    pub created_at: Option<Timestamp>,
}

impl ExportOptions {
    /// Exports all snapshots, without dictionaries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which snapshots are exported.
    pub fn filter(mut self, filter: TransferFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Adds a dictionary that the snapshots need. Can be called several times.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionaries.push(dictionary);
        self
    }

    /// Sets the creation time in the archive.
    pub fn created_at(mut self, time: Timestamp) -> Self {
        self.created_at = Some(time);
        self
    }
}

/// What an export wrote. `Display` writes it as one line, for logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The number of aggregates.
    pub aggregates: u64,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// The number of snapshots that were left out, because their record is damaged.
    pub damaged: u64,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, snapshots, bytes, damaged } = self;
        write!(f, "{snapshots} snapshots of {aggregates} aggregates exported, {bytes} bytes")?;
        if *damaged > 0 {
            write!(f, ", {damaged} damaged ones left out")?;
        }
        Ok(())
    }
}

/// Writes the snapshots of `store` to an archive, with their marks, and flushes the stream.
///
/// The store may be in use. Snapshots that are stored after their aggregate was listed are not
/// exported, and neither are those that are deleted before they are read. A delta is exported with
/// its base. Each aggregate is therefore complete as of one moment, but different aggregates are
/// of different moments. A file must be synced by the caller.
///
/// # Errors
/// - Any error returned by the store.
/// - [`ErrorKind::Store`] or [`ErrorKind::OutOfSpace`] if the stream fails. The source is the
///   [`std::io::Error`].
///
/// # Cancellation
/// If the future is dropped, the stream contains the start of an archive, which
/// [`check_archive`](super::check_archive) reports as truncated.
pub async fn export<W>(
    store: &dyn SnapshotStore,
    to: W,
    options: &ExportOptions,
) -> Result<Exported, Error>
where
    W: AsyncWrite + Send + Unpin,
{
    let mut archive = ArchiveWriter::new(to);
    let created_at = options.created_at.unwrap_or_else(|| SystemClock::new().now());
    archive.frame(START, &[&start_body(created_at)]).await?;
    for dictionary in &options.dictionaries {
        archive.frame(DICTIONARY, &[dictionary.as_bytes()]).await?;
    }
    let mut walk = StoreWalk::new(store, &options.filter);
    while let Some(moved) = walk.next().await? {
        for moved in moved {
            archive.snapshot(&moved).await?;
        }
    }
    archive.exported.damaged = walk.damaged;
    archive.end().await
}

/// An archive in the making.
struct ArchiveWriter<W> {
    to: W,
    /// What is to be written next.
    piece: Vec<u8>,
    chain: FrameChain,
    exported: Exported,
    key: Option<AggregateKey>,
}

impl<W: AsyncWrite + Unpin> ArchiveWriter<W> {
    fn new(to: W) -> Self {
        let (chain, exported) = (FrameChain::default(), Exported::default());
        Self { to, piece: MAGIC.to_vec(), chain, exported, key: None }
    }

    async fn snapshot(&mut self, moved: &MovedSnapshot) -> Result<(), Error> {
        if self.key.as_ref() != Some(&moved.key) {
            self.key = Some(moved.key.clone());
            self.exported.aggregates += 1;
        }
        self.exported.snapshots += 1;
        self.frame(SNAPSHOT, &[&marks_body(&moved.marks), moved.record.as_bytes()]).await
    }

    async fn frame(&mut self, tag: u8, body: &[&[u8]]) -> Result<(), Error> {
        let bytes: usize = body.iter().map(|part| part.len()).sum();
        if u32::try_from(bytes).is_err() {
            let message = "a snapshot of 4 GiB or more does not fit into an archive: shrink it";
            return Err(Error::new(ErrorKind::Unsupported, EXPORT, message));
        }
        self.chain.write(&mut self.piece, tag, body);
        if self.piece.len() >= PIECE_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.to.write_all(&self.piece).await.map_err(failed)?;
        self.exported.bytes += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    async fn end(mut self) -> Result<Exported, Error> {
        let Exported { aggregates, snapshots, .. } = self.exported;
        let end = ArchiveEnd { aggregates, snapshots, chain: self.chain };
        let [a, b, c] = end.body();
        self.frame(END, &[&a, &b, &c]).await?;
        self.write().await?;
        self.to.flush().await.map_err(failed)?;
        Ok(self.exported)
    }
}

fn failed(source: std::io::Error) -> Error {
    let kind = match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ErrorKind::OutOfSpace
        }
        _ => ErrorKind::Store,
    };
    let message = "the archive cannot be written: check its target, and export again";
    Error::new(kind, EXPORT, message).with_source(source)
}
