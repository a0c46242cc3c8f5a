//! `FileStore` under the kit: each site is a directory.
//!
//! A crash is the death of the process: the directory is copied as it is while the store is open,
//! and the copy is opened. What the system had not yet written to the device when the *machine*
//! dies is simulated elsewhere, on a simulated disk inside the crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{Conformance, Site, StoreFactory};
use snapfold::file::FileStore;
use snapfold::record::Header;
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};

struct Directories;

#[async_trait]
impl StoreFactory for Directories {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let memory = Path::new("/dev/shm");
        let guard = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())?;
        let dir = guard.path().join("0");
        Ok(Box::new(Directory { guard, dir, open: None, crashes: 0 }))
    }
}

struct Directory {
    guard: tempfile::TempDir,
    dir: PathBuf,
    /// A handle of the site's own, so that the store is still open when it crashes.
    open: Option<FileStore>,
    crashes: u32,
}

#[async_trait]
impl Site for Directory {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        self.open = None;
        // Small files, so that a few puts fill several.
        let builder = FileStore::builder(&self.dir).segment_bytes(64 << 10);
        let store = builder.reserve_bytes(64 << 10).open()?;
        self.open = Some(store.clone());
        Ok(Arc::new(store))
    }

    async fn crash(&mut self) -> Result<bool, BoxError> {
        self.crashes += 1;
        let copy = self.guard.path().join(self.crashes.to_string());
        fs::create_dir(&copy)?;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        self.open = None;
        self.dir = copy;
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        self.flip(key, id, |header| header.header_bytes() + header.payload_bytes as usize / 2)
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        // In the fingerprint, which the checksum of the header covers.
        self.flip(key, id, |_| 18)
    }
}

impl Directory {
    /// Flips a bit of each record of the snapshot in the files of the log.
    fn flip(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
        at: impl Fn(&Header<'_>) -> usize,
    ) -> Result<bool, BoxError> {
        self.open = None;
        let mut flipped = false;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "seg") {
                continue;
            }
            let mut bytes = fs::read(&path)?;
            let places: Vec<_> = (0..bytes.len())
                .filter(|place| bytes[*place..].starts_with(b"SNF"))
                .filter_map(|place| {
                    let header = Header::parse(&bytes[place..]).ok()?;
                    let own = SnapshotId { generation: header.generation, version: header.version };
                    (header.is_of(key) && own == id).then(|| place + at(&header))
                })
                .collect();
            for place in places {
                bytes[place] ^= 4;
                flipped = true;
            }
            fs::write(&path, bytes)?;
        }
        assert!(flipped, "{key} {id} is in no file");
        Ok(flipped)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_store_keeps_every_promise() {
    let card = Conformance::of(&Directories).scale(20_000).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.store_name(), "file");
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let explained = [
        // A failing disk is simulated inside the crate, see `src/backend/file/faults`.
        "Site::fail_writes",
        // It takes any, and records of 1 GiB.
        "a limit on versions",
        "a record limit of at most 64 MiB",
    ];
    assert_eq!(missing, BTreeSet::from(explained));
}
