//! `export`: writes snapshots to an archive.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::stream::ByteStream;
#[cfg(feature = "clouds")]
use crate::cli::bucket::archive_in_bucket;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{bytes_progress, count, size, tell};
use crate::cli::session::CliSession;
use crate::error::Error;
use crate::service::transfer::{ExportOptions, Exported, TransferFilter, export};
use crate::timestamp::Timestamp;

/// Write the snapshots of a store to a file that `import` reads, into a store of any kind
///
/// The archive contains the records as they are, with their marks. The store may be in use. Records
/// that are damaged are left out and reported, with exit code 1. An existing file is not overwritten.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR export backup.snapfold")]
pub(crate) struct ExportArguments {
    #[arg(help = "The file, or s3://BUCKET/PATH and the like; - for standard output")]
    file: PathBuf,
    /// Export only this kind of aggregate
    #[arg(long)]
    kind: Option<String>,
    /// Export only the aggregate with this id
    #[arg(long, requires = "kind")]
    id: Option<String>,
    /// Export only snapshots created at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created_from: Option<Timestamp>,
    /// Export only snapshots created before this time
    #[arg(long, value_name = "TIME")]
    created_before: Option<Timestamp>,
    /// Also export snapfold's own documents, such as the audit trail
    #[arg(long)]
    all: bool,
}

impl ExportArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let filter = filter(session, self.kind.as_deref(), self.id.as_deref())?;
        let mut options = ExportOptions::new().filter(filter.reserved(self.all));
        options.filter.created_from = self.created_from;
        options.filter.created_before = self.created_before;
        let opened = session.store().await?;
        #[cfg(feature = "clouds")]
        if let Some((objects, path)) = archive_in_bucket(&self.file)? {
            let exporting = export_to_bucket(&*opened.store, objects, path, &options);
            let exported = Box::pin(exporting).await?;
            report(session, &exported, false)?;
            return Ok(CliFinding::wrong_if(exported.damaged > 0));
        }
        let bar = bytes_progress();
        let is_stdout = self.file.as_os_str() == "-";
        let exported = if is_stdout {
            if io::stdout().is_terminal() {
                let message = "an archive is not for a terminal: give a file, or use | or >";
                return Err(CliFailure::Usage(message.to_owned()));
            }
            export(&*opened.store, ByteStream::new(io::stdout(), bar), &options).await?
        } else {
            let file = create(&self.file)?;
            let written = file.try_clone().map(|file| ByteStream::new(file, bar));
            let written = written.map_err(|error| unwritable(&self.file, &error))?;
            let exported = export(&*opened.store, written, &options).await;
            let exported = self.kept(exported)?;
            file.sync_all().map_err(|error| unwritable(&self.file, &error))?;
            exported
        };
        report(session, &exported, is_stdout)?;
        Ok(CliFinding::wrong_if(exported.damaged > 0))
    }

    /// Removes the file if it contains only a part of an archive.
    fn kept(&self, exported: Result<Exported, Error>) -> Result<Exported, CliFailure> {
        if exported.is_err() {
            let _ = std::fs::remove_file(&self.file);
        }
        Ok(exported?)
    }
}

/// Returns the filter for the tenant, kind and id that were asked for. An id is of the default
/// tenant, unless a tenant was asked for.
pub(super) fn filter(
    session: &CliSession,
    kind: Option<&str>,
    id: Option<&str>,
) -> Result<TransferFilter, CliFailure> {
    let mut filter = TransferFilter::new();
    if let (Some(kind), Some(id)) = (kind, id) {
        return Ok(filter.key(&session.key(kind, id)?));
    }
    filter.tenant.clone_from(&session.tenant);
    filter.kind = kind.map(str::to_owned);
    Ok(filter)
}

/// Writes an archive to an object, in parts. Without all of them there is no object.
#[cfg(feature = "clouds")]
async fn export_to_bucket(
    store: &dyn crate::store::SnapshotStore,
    objects: std::sync::Arc<dyn object_store::ObjectStore>,
    path: object_store::path::Path,
    options: &ExportOptions,
) -> Result<Exported, CliFailure> {
    use object_store::ObjectStoreExt as _;
    use tokio::io::AsyncWriteExt as _;
    if objects.head(&path).await.is_ok() {
        let message = format!("{path} exists: remove it, or use another name");
        return Err(CliFailure::Usage(message));
    }
    let mut writer = object_store::buffered::BufWriter::new(objects, path.clone());
    match export(store, &mut writer, options).await {
        Ok(exported) => {
            let closed = writer.shutdown().await;
            closed.map_err(|error| unwritable(Path::new(path.as_ref()), &error))?;
            Ok(exported)
        }
        Err(error) => {
            drop(writer.abort().await);
            Err(error.into())
        }
    }
}

fn create(path: &Path) -> Result<std::fs::File, CliFailure> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("{} exists: remove it, or use another name", path.display());
            Err(CliFailure::Usage(message))
        }
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CliFailure {
    CliFailure::Failed(format!("cannot write {}: {error}", path.display()))
}

fn report(
    session: &mut CliSession,
    exported: &Exported,
    is_stdout: bool,
) -> Result<(), CliFailure> {
    let Exported { aggregates, snapshots, bytes, damaged } = exported;
    let text = format!(
        "exported {} of {}, {}",
        count(*snapshots, "snapshot", "snapshots"),
        count(*aggregates, "aggregate", "aggregates"),
        size(*bytes)
    );
    if *damaged > 0 {
        tell(&format!("{damaged} damaged snapshots were left out: `check` lists them"));
    }
    if is_stdout {
        // The standard output is the archive.
        tell(&text);
    } else if session.json {
        session.screen.json(&json!({
            "aggregates": aggregates,
            "snapshots": snapshots,
            "bytes": bytes,
            "damaged": damaged,
        }))?;
    } else {
        session.screen.line(text)?;
    }
    Ok(())
}
