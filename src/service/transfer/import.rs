//! [`import`] and [`check_archive`]: read an archive.

use std::fmt;

use tokio::io::AsyncRead;

use super::archive_reader::{ArchiveReader, Archived};
use super::sink::TransferSink;
use super::{TransferOptions, TransferReport};
use crate::codec::Dictionary;
use crate::error::{Error, ErrorKind};
use crate::store::{KeysRequest, SnapshotStore};
use crate::timestamp::Timestamp;

/// What an archive contains. `Display` writes it as one line, for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveContents {
    /// The number of aggregates.
    pub aggregates: u64,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// When the archive was made.
    pub created_at: Option<Timestamp>,
    /// The dictionaries that some snapshots need.
    pub dictionaries: Vec<Dictionary>,
}

impl fmt::Display for ArchiveContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, snapshots, bytes, created_at, dictionaries } = self;
        write!(f, "{snapshots} snapshots of {aggregates} aggregates, {bytes} bytes")?;
        if let Some(at) = created_at {
            write!(f, ", made at {at}")?;
        }
        match dictionaries.len() {
            0 => Ok(()),
            count => write!(f, ", with {count} dictionaries"),
        }
    }
}

/// What an import found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// What the archive contains. Give its dictionaries to the engines that read the store.
    pub contents: ArchiveContents,
    /// What was stored.
    pub report: TransferReport,
}

/// Reads an archive into a store.
///
/// Each part of the archive is checked before it is stored: its checksum, and those of the record.
/// If the archive turns out to be damaged, what was read before stays stored, and the error states
/// the offset. Snapshots that the store already has are kept, so an import that was interrupted can
/// be repeated, with [`TransferOptions::into_existing`].
///
/// An engine that is running on the store sees the imported snapshots at its next load, except for
/// the aggregates in its hot cache. Their cached states remain right, because every load compares
/// them with the events.
///
/// # Errors
/// - [`ErrorKind::InvalidInput`] if the store has snapshots, and
///   [`into_existing`](TransferOptions::into_existing) is not set; or if the filter has a creation
///   time, which only exports and merges can select by.
/// - [`ErrorKind::CorruptStore`] if the archive is truncated or altered, and
///   [`ErrorKind::Unsupported`] if a newer release wrote it.
/// - [`ErrorKind::Conflict`] if the store has a snapshot with another state, and
///   [`OnConflict::Fail`](super::OnConflict::Fail) is set.
/// - [`ErrorKind::Unsupported`] if the store cannot keep what the archive contains: marks, or the
///   bases of deltas.
/// - [`ErrorKind::Store`] if the stream fails, and any error returned by the store.
///
/// # Cancellation
/// If the future is dropped, what was stored stays.
pub async fn import<R>(
    from: R,
    store: &dyn SnapshotStore,
    options: &TransferOptions,
) -> Result<Imported, Error>
where
    R: AsyncRead + Send + Unpin,
{
    if options.filter.is_timed() {
        // The base of a delta comes before the delta, and nothing tells that it will be needed.
        let message = "an import cannot select by creation time: set the times when you export";
        return Err(Error::new(ErrorKind::InvalidInput, "import an archive", message));
    }
    if !options.into_existing {
        let page = store.keys(KeysRequest::new().reserved(true).limit(1)).await?;
        if let Some(key) = page.items.first() {
            let message = format!(
                "the store already has snapshots, such as those of {key}: set into_existing() to \
                 add to them, or import into an empty store"
            );
            return Err(Error::new(ErrorKind::InvalidInput, "import an archive", message));
        }
    }
    let mut archive = ArchiveReader::open(from).await?;
    let mut sink = TransferSink::new(store, options);
    loop {
        match archive.next().await {
            Ok(None) => break,
            Ok(Some(Archived { key, record, marks })) => {
                if options.filter.admits_key(&key) {
                    sink.add(key, record, marks).await?;
                }
            }
            Err(damaged) => {
                sink.finish().await?;
                return Err(damaged);
            }
        }
    }
    let report = sink.finish().await?;
    Ok(Imported { contents: contents(archive), report })
}

/// Reads an archive, checks all of it, and stores nothing.
///
/// # Errors
/// The same errors as [`import`], except those about the store.
pub async fn check_archive<R>(from: R) -> Result<ArchiveContents, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut archive = ArchiveReader::open(from).await?;
    while archive.next().await?.is_some() {}
    Ok(contents(archive))
}

fn contents<R: AsyncRead + Unpin>(archive: ArchiveReader<R>) -> ArchiveContents {
    ArchiveContents {
        aggregates: archive.aggregates,
        snapshots: archive.snapshots,
        bytes: archive.bytes(),
        created_at: archive.created_at,
        dictionaries: archive.dictionaries,
    }
}
