use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use snapfold::record::{Header, Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotId, SnapshotStore};
use tokio::sync::Mutex;

use super::map_store::{MAX_RECORD_BYTES, MapStore, Result, blank, name_of};

/// A durable store: each call that changes something is a file, and opening repeats the calls.
#[derive(Debug)]
pub struct DirStore {
    map: MapStore,
    dir: PathBuf,
    /// The number of the next file; `None` after a failure, because its effect is unknown.
    next: Mutex<Option<u64>>,
    _lock: File,
}

impl DirStore {
    /// Opens the store in `dir`, or creates it. Blocks.
    pub async fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        let held = |_| Error::new(ErrorKind::Locked, "open a store", "another process has it open");
        lock.try_lock().map_err(held)?;
        let (map, mut next) = (MapStore::default(), Some(0));
        for (number, path) in files(dir).map_err(failed)? {
            let damaged = || {
                let message = format!("{} is damaged", path.display());
                Error::new(ErrorKind::CorruptStore, "open a store", message)
            };
            let records = split(&fs::read(&path).map_err(failed)?).ok_or_else(damaged)?;
            match path.extension().and_then(|call| call.to_str()) {
                Some(call @ ("put" | "replace")) => {
                    map.put(records, PutOptions::default().replace(call == "replace")).await?;
                }
                Some("delete") => {
                    for record in records {
                        let (key, id) = name_of(&record)?;
                        map.delete(&key, Selection::Ids(&[id]), DeleteOptions::default()).await?;
                    }
                }
                _ => return Err(damaged()),
            }
            next = number.checked_add(1);
        }
        Ok(Self { map, dir: dir.to_owned(), next: Mutex::new(next), _lock: lock })
    }

    /// Writes a call to a file before the call is made: completely and durably, or not at all.
    fn write_down(&self, next: &mut Option<u64>, call: &str, bytes: &[u8]) -> Result<()> {
        let why = "a write has failed: open the store again";
        let poisoned = || Error::new(ErrorKind::Poisoned, "write a file", why);
        let number = next.take().ok_or_else(poisoned)?;
        let path = self.dir.join(format!("{number:020}.{call}"));
        let write = || {
            let unfinished = self.dir.join("unfinished");
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            // The rename makes the call count, and syncing the directory makes the rename durable.
            fs::rename(&unfinished, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| failed(error).with_retry(Retry::Unknown))?;
        *next = number.checked_add(1);
        Ok(())
    }
}

#[async_trait]
impl SnapshotStore for DirStore {
    fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::new("directory").durable(true).atomic_batches(true);
        capabilities.max_record_bytes(MAX_RECORD_BYTES)
    }

    async fn put(&self, records: Vec<Record>, options: PutOptions) -> Result<Vec<PutOutcome>> {
        options.refuse_marks()?;
        for record in &records {
            name_of(record)?;
        }
        let call = if options.replace { "replace" } else { "put" };
        let bytes: Vec<_> = records.iter().map(Record::as_bytes).collect();
        let mut next = self.next.lock().await;
        self.write_down(&mut next, call, &bytes.concat())?;
        // The map never waits, so a call cannot be cancelled between the file and the map.
        self.map.put(records, options).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted> {
        let mut next = self.next.lock().await;
        let all = self.map.list(ListRequest::new(key).limit(usize::MAX)).await?.items;
        let ids: Vec<_> =
            all.iter().map(SnapshotMeta::id).filter(|id| selection.admits(*id)).collect();
        if ids.is_empty() {
            return Ok(Deleted::default());
        }
        let names = ids.iter().map(|id| blank(key, *id)).collect::<Result<Vec<_>>>()?;
        let bytes = names.iter().map(Record::as_bytes).collect::<Vec<_>>().concat();
        self.write_down(&mut next, "delete", &bytes)?;
        self.map.delete(key, Selection::Ids(&ids), options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup> {
        self.map.get(query).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<Page<SnapshotMeta, SnapshotId>> {
        self.map.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>> {
        self.map.keys(request).await
    }
}

/// The files with their numbers, in the order in which they were written.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        files.extend(number.map(|number| (number, path)));
    }
    files.sort();
    Ok(files)
}

/// The records in a file, or `None` if it contains anything else. Payloads are not checked, because
/// the engine rejects damaged ones.
pub fn split(mut bytes: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let len = usize::try_from(Header::parse(bytes).ok()?.record_bytes()).ok()?;
        let (record, rest) = bytes.split_at_checked(len)?;
        records.push(Record::from_bytes(record.to_vec()));
        bytes = rest;
    }
    Some(records)
}

fn failed(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::OutOfSpace,
        _ => ErrorKind::Store,
    };
    Error::new(kind, "use a directory", error.to_string()).with_source(error)
}
