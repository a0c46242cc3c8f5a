//! The states of a whole project at one instant, as a stream of bounded memory.

mod archive;
mod download_manifest;
mod line;
mod walk;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, TryStreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Error;
use crate::manager::Kinds;
use crate::service::http::media::Coding;
use crate::timestamp::Timestamp;
use archive::Archive;
use download_manifest::DownloadManifest;
use line::Line;

pub(super) use archive::ArchiveFormat;

/// About how many bytes a piece of the stream has.
const PIECE: usize = 32 << 10;

/// A download that is being made.
pub(super) struct Download {
    lines: BoxStream<'static, Result<Line, Error>>,
    manifest: DownloadManifest,
    /// `None` after the end.
    archive: Option<Archive>,
}

impl Download {
    /// Begins a download of the states of `tenant` at `at`: of one kind, or of all.
    pub(super) fn begin(
        kinds: &Kinds,
        only: Option<&str>,
        tenant: &str,
        at: Timestamp,
        (format, coding): (ArchiveFormat, Coding),
    ) -> Self {
        let chosen = kinds.iter().filter(|admin| only.is_none_or(|only| only == admin.kind()));
        let lines = walk::lines(chosen.cloned().collect(), tenant, at);
        let manifest = DownloadManifest { project: tenant.to_owned(), at, kinds: BTreeMap::new() };
        Self { lines, manifest, archive: Some(Archive::new(format, coding)) }
    }

    /// The pieces of the file. `turn` is kept until they end or are dropped.
    pub(super) fn pieces(
        self,
        turn: OwnedSemaphorePermit,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        stream::try_unfold((self, turn), |(mut download, turn)| async move {
            Ok(download.piece().await?.map(|piece| (piece, (download, turn))))
        })
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(mut archive) = self.archive.take() else { return Ok(None) };
        while archive.ready() < PIECE {
            let Some(line) = self.lines.try_next().await? else {
                return archive.finish(&self.manifest).map(Some);
            };
            self.manifest.add(&line);
            archive.add(&line)?;
        }
        let piece = archive.drain();
        self.archive = Some(archive);
        Ok(Some(piece))
    }
}
