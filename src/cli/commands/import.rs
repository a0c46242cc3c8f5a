//! `import`: reads an archive into a store.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::io::AsyncRead;

use super::export::filter;
use super::stream::ByteStream;
#[cfg(feature = "clouds")]
use crate::cli::bucket::archive_in_bucket;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{bytes_progress, count, shown, size};
use crate::cli::session::CliSession;
use crate::service::transfer::{
    Imported, OnConflict, TransferOptions, TransferReport, check_archive, import,
};

/// The most differences that are printed. JSON has all that the report has.
const SHOWN: usize = 20;

/// Read an archive that `export` wrote into a store
///
/// Each part of the archive is checked before it is stored. A directory that does not exist is
/// created. A store that already has snapshots is refused, unless --into-existing is given; nothing
/// that it has is deleted. Repeat an import that was interrupted with --into-existing.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:NEW import backup.snapfold --dry-run")]
pub(crate) struct ImportArguments {
    #[arg(help = "The file, or s3://BUCKET/PATH and the like; - for standard input")]
    file: PathBuf,
    /// Add to a store that already has snapshots
    #[arg(long)]
    into_existing: bool,
    /// Report what would be stored, and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Only check the archive; needs no store
    #[arg(long, conflicts_with_all = ["into_existing", "dry_run"])]
    check: bool,
    /// What to do with a snapshot that the store has with another state
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = ConflictChoice::Keep)]
    on_conflict: ConflictChoice,
    /// Import only this kind of aggregate
    #[arg(long)]
    kind: Option<String>,
    /// Import only the aggregate with this id
    #[arg(long, requires = "kind")]
    id: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ConflictChoice {
    /// Keep the one in the store
    Keep,
    /// Keep the one that was created later
    Newest,
    /// Stop with an error
    Fail,
}

impl ImportArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let filter = filter(session, self.kind.as_deref(), self.id.as_deref())?.reserved(true);
        let stream = Box::pin(self.stream()).await?;
        if self.check {
            let contents = check_archive(stream).await?;
            session.screen.paragraph(&format!("the archive is complete: {contents}"))?;
            return Ok(CliFinding::Fine);
        }
        let options = TransferOptions::new()
            .filter(filter)
            .into_existing(self.into_existing)
            .dry_run(self.dry_run)
            .on_conflict(match self.on_conflict {
                ConflictChoice::Keep => OnConflict::KeepExisting,
                ConflictChoice::Newest => OnConflict::KeepNewest,
                ConflictChoice::Fail => OnConflict::Fail,
            });
        let opened =
            if self.dry_run { session.store().await? } else { session.store_or_new().await? };
        let imported = import(stream, &*opened.store, &options).await?;
        print(session, &imported)?;
        Ok(CliFinding::Fine)
    }

    #[cfg_attr(
        not(feature = "clouds"),
        expect(clippy::unused_async, reason = "only a bucket has to be waited for")
    )]
    async fn stream(&self) -> Result<Box<dyn AsyncRead + Send + Unpin>, CliFailure> {
        #[cfg(feature = "clouds")]
        if let Some((objects, path)) = archive_in_bucket(&self.file)? {
            use object_store::ObjectStoreExt as _;
            let archive = objects.head(&path).await.map_err(|error| match error {
                object_store::Error::NotFound { .. } => {
                    CliFailure::Absent(format!("there is no object {path}: check the URL"))
                }
                error => CliFailure::Failed(format!("cannot read {path}: {error}")),
            })?;
            return Ok(Box::new(object_store::buffered::BufReader::new(objects, &archive)));
        }
        Ok(Box::new(ByteStream::new(self.open()?, bytes_progress())))
    }

    fn open(&self) -> Result<Box<dyn Read + Send + Unpin>, CliFailure> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(io::stdin()));
        }
        match File::open(&self.file) {
            Ok(file) => Ok(Box::new(io::BufReader::with_capacity(256 << 10, file))),
            Err(error) => {
                let message = format!("cannot read {}: {error}", self.file.display());
                Err(if error.kind() == io::ErrorKind::NotFound {
                    CliFailure::Absent(message)
                } else {
                    CliFailure::Failed(message)
                })
            }
        }
    }
}

fn print(session: &mut CliSession, imported: &Imported) -> Result<(), CliFailure> {
    let Imported { contents, report, .. } = imported;
    let TransferReport { dry_run, stored, existing, different, replaced, notes, .. } = report;
    if session.json {
        let notes: Vec<_> = notes.iter().map(ToString::to_string).collect();
        session.screen.json(&json!({
            "archive": {
                "aggregates": contents.aggregates,
                "snapshots": contents.snapshots,
                "bytes": contents.bytes,
                "created_at": contents.created_at.map(|time| time.to_string()),
                "dictionaries": contents.dictionaries.len(),
            },
            "dry_run": dry_run,
            "stored": stored,
            "existing": existing,
            "different": different,
            "replaced": replaced,
            "notes": notes,
        }))?;
        return Ok(());
    }
    let (start, stored_word) =
        if *dry_run { ("dry run: ", "would be stored") } else { ("", "stored") };
    let text = format!(
        "{start}{} of {} in the archive ({}): {stored} {stored_word}, {existing} already there, \
         {different} different and kept, {replaced} replaced",
        count(contents.snapshots, "snapshot", "snapshots"),
        count(contents.aggregates, "aggregate", "aggregates"),
        size(contents.bytes),
    );
    session.screen.paragraph(&text)?;
    for note in notes.iter().take(SHOWN) {
        session.screen.paragraph(&shown(&note.to_string()))?;
    }
    if notes.len() > SHOWN {
        let rest = (notes.len() - SHOWN) as u64;
        session.screen.line(format_args!("and {}", count(rest, "more", "more")))?;
    }
    if !contents.dictionaries.is_empty() {
        let text = "The archive contains compression dictionaries, which stores do not keep: the \
                    application needs them to read its snapshots.";
        session.screen.paragraph(text)?;
    }
    Ok(())
}
