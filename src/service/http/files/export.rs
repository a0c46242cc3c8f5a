//! [`StaticExport`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::export_index::{ExportEntry, ExportIndex};
use super::file_name::file_name;
use super::folder::Folder;
use super::report::ExportReport;
use crate::error::{Error, ErrorKind};
use crate::hex::hex;
use crate::key::AggregateKey;
use crate::manager::{Kinds, Point, SnapshotAdmin};
use crate::service::http::delivery_modes::DeliveryModes;
use crate::service::http::segment::{decode, encode};
use crate::store::Cursor;

const NAME: &str = "export states as files";
/// The number of aggregates that are listed at once.
const PAGE: usize = 256;

/// Writes the states of some projects to a folder, one JSON file for each aggregate, for any web
/// server or CDN to serve.
///
/// The files are `{project}/{kind}/{id}.json`, and each folder of a kind has an `index.json` that
/// names its files with their versions and SHA-256. A file is the state as
/// [`Delivery`](super::super::Delivery) serves it in plain JSON, so the same state has the same bytes.
/// Only files whose state has changed are written, each under another name first and then renamed, so
/// a reader never sees a part of one. Files of aggregates that have no snapshot any more are removed.
///
/// A project or kind stands in a path as in a URL of [`Delivery`](super::super::Delivery), and so does
/// an id of lower-case letters. The name of any other id is `~` and its SHA-256, so that file systems
/// that ignore case keep them apart: look it up in the index.
///
/// Everybody who reads the folder reads the states. A project that is not named is not exported, and
/// its folder is left alone: serve it with a guarded [`Delivery`](super::super::Delivery).
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account { cents: i64 }
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { cents: 0 } }
/// #     fn apply(&mut self, cents: &i64) { self.cents += cents; }
/// # }
/// # #[cfg(feature = "postcard")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::service::http::StaticExport;
/// use snapfold::manager::Kinds;
///
/// # let (events, store) = (MemoryEvents::new(), MemoryStore::new());
/// # let key = Account::key("alice")?.with_tenant("north")?;
/// # events.append(&key, Timestamp::from_seconds(0), 250);
/// # let engine = SnapshotEngine::<Account>::builder(events, store).build()?;
/// # engine.create(&key).await?;
/// # let directory = tempfile::tempdir()?;
/// # let public = directory.path().join("public");
/// let export = StaticExport::new(Kinds::new().with(engine)?, &public).project("north");
/// let report = export.run().await?;
/// assert_eq!(report.files, 1);
/// let file = std::fs::read_to_string(public.join("north/account/alice.json"))?;
/// assert_eq!(file, r#"{"cents":250}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct StaticExport {
    kinds: Kinds,
    path: PathBuf,
    projects: Vec<String>,
    modes: Option<DeliveryModes>,
}

impl StaticExport {
    /// Creates an export to this folder, which is created if it is missing.
    pub fn new(kinds: Kinds, folder: impl Into<PathBuf>) -> Self {
        Self { kinds, path: folder.into(), projects: Vec::new(), modes: None }
    }

    /// Adds a project, which is a tenant. The empty string is the default tenant.
    pub fn project(mut self, tenant: impl Into<String>) -> Self {
        self.projects.push(tenant.into());
        self
    }

    /// Exports the projects of public files, and withdraws those that are guarded: a run removes the
    /// files of each guarded project that an earlier run has written to the folder. Give the same modes
    /// to the [delivery](super::super::DeliveryBuilder::modes). No modes by default: the export is of
    /// the projects that are named, and nothing is withdrawn.
    ///
    /// Copies that web servers, caches and readers have made are beyond its reach.
    pub fn modes(mut self, modes: DeliveryModes) -> Self {
        self.modes = Some(modes);
        self
    }

    /// Writes the states now. Run it again after changes, one run at a time for a folder.
    ///
    /// The aggregates are those that have snapshots. Each state is from the time at which it is
    /// loaded, and one is in memory at a time. Files are written on the thread of the caller.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidInput`] if a [named](Self::project) project is guarded by the
    ///   [modes](Self::modes). Nothing is changed.
    /// - [`ErrorKind::InvalidInput`] if a folder of a kind has files of others. Nothing in it is
    ///   changed.
    /// - [`ErrorKind::Store`] if a file cannot be written.
    /// - Those of a [load](crate::Loader). The files that were written before stay, and belong to the
    ///   next run.
    ///
    /// # Cancellation
    /// If the future is dropped, some files are new and others old. The next run completes them.
    pub async fn run(&self) -> Result<ExportReport, Error> {
        let mut report = ExportReport::default();
        let chosen = self.chosen()?;
        // First, so that what must not be public any more is gone even if a load fails.
        if let Some(modes) = &self.modes {
            report.removed = self.withdraw(modes).map_err(failed)?;
        }
        for tenant in chosen {
            for admin in self.kinds.iter() {
                self.kind(tenant, &**admin, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// The projects to export, each once.
    fn chosen(&self) -> Result<BTreeSet<&str>, Error> {
        let mut chosen: BTreeSet<_> = self.projects.iter().map(String::as_str).collect();
        if let Some(modes) = &self.modes {
            if let Some(guarded) = chosen.iter().find(|tenant| !modes.is_public(tenant)) {
                let message = format!("the project {guarded:?} is guarded, so it has no files");
                return Err(Error::new(ErrorKind::InvalidInput, NAME, message));
            }
            chosen.extend(modes.public());
        }
        Ok(chosen)
    }

    /// Removes the files of guarded projects, also those of kinds that are not served any more.
    /// Returns how many.
    fn withdraw(&self, modes: &DeliveryModes) -> io::Result<u64> {
        let mut removed = 0;
        for project in folders(&self.path)? {
            let name = project.file_name().and_then(OsStr::to_str).and_then(decode);
            if name.is_some_and(|(tenant, is_its_form)| is_its_form && !modes.is_public(&tenant)) {
                for kind in folders(&project)? {
                    removed += Folder::clear(kind)?;
                }
            }
        }
        Ok(removed)
    }

    async fn kind(
        &self,
        tenant: &str,
        admin: &dyn SnapshotAdmin,
        report: &mut ExportReport,
    ) -> Result<(), Error> {
        let path = self.path.join(encode(tenant)).join(encode(admin.kind()));
        let folder = Folder::open(path, tenant, admin.kind()).map_err(failed)?;
        let mut index = ExportIndex::new(tenant, admin.kind());
        let mut after: Option<Cursor> = None;
        loop {
            let page = admin.keys(tenant, after.as_ref(), PAGE).await?;
            for key in &page.items {
                self.file(&folder, &mut index, admin, key, report).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        report.removed += folder.finish(&index).map_err(failed)?;
        Ok(())
    }

    async fn file(
        &self,
        folder: &Folder,
        index: &mut ExportIndex,
        admin: &dyn SnapshotAdmin,
        key: &AggregateKey,
        report: &mut ExportReport,
    ) -> Result<(), Error> {
        let state = admin.load_opaque(key, Point::Now).await?;
        let mut content = Vec::new();
        state.write_json(&mut content)?;
        let entry = ExportEntry {
            id: key.id().to_owned(),
            version: state.version(),
            as_of: state.as_of().map(|at| at.to_string()),
            bytes: content.len() as u64,
            sha256: hex(&Sha256::digest(&content)),
        };
        let name = file_name(key.id());
        let is_written = folder.put(&name, &content, &entry).map_err(failed)?;
        report.files += 1;
        report.written += u64::from(is_written);
        report.bytes = report.bytes.saturating_add(entry.bytes);
        index.files.insert(name, entry);
        Ok(())
    }
}

/// The folders in a folder; none if it does not exist.
fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn failed(source: io::Error) -> Error {
    let kind = match source.kind() {
        io::ErrorKind::AlreadyExists => ErrorKind::InvalidInput,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::OutOfSpace,
        _ => ErrorKind::Store,
    };
    Error::new(kind, NAME, source.to_string()).with_source(source)
}
