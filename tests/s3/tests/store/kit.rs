//! The kits for stores and ledgers on Ceph, and what needs no race on moto.
//!
//! Nothing here runs on s3s-fs: it keeps each object in a file of that name, so that a key has at
//! most about 200 bytes and the cases with the longest keys cannot pass, and the cases of concurrent
//! writers fail because its conditions are not atomic (`races.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::conformance::{self, Conformance, LedgerFactory, Level, Site, StoreFactory};
use snapfold::ledger::{Ledger, StoreLedger};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::Header;
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};
use snapfold_s3::Server;

/// Roots in one bucket.
struct Roots(Server, ObjectStoreOptions);

struct Root {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    options: ObjectStoreOptions,
}

#[async_trait]
impl StoreFactory for Roots {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let (objects, path) = (self.0.retrying(5), self.0.prefix());
        Ok(Box::new(Root { objects, path, options: self.1.clone() }))
    }
}

#[async_trait]
impl Site for Root {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        let (objects, options) = (Arc::clone(&self.objects), self.options.clone());
        let store = ObjectStoreSnapshots::open_with(objects, self.path.as_ref(), options).await?;
        Ok(Arc::new(store))
    }

    /// All that a handle has is in memory, and it is gone with it.
    async fn crash(&mut self) -> Result<bool, BoxError> {
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        let middle = |header: &Header<'_>| {
            header.header_bytes() + usize::try_from(header.payload_bytes).unwrap_or(0) / 2
        };
        self.flip(key, id, middle).await
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        self.flip(key, id, |_| 18).await
    }
}

impl Root {
    async fn objects_in(&self, folder: &str) -> Result<Vec<(Path, Vec<u8>)>, BoxError> {
        let folder = Path::parse(format!("{}/{folder}", self.path))?;
        let listed: Vec<_> = self.objects.list(Some(&folder)).try_collect().await?;
        let mut objects = Vec::with_capacity(listed.len());
        for object in listed {
            let bytes = self.objects.get(&object.location).await?.bytes().await?.to_vec();
            objects.push((object.location, bytes));
        }
        Ok(objects)
    }

    /// Flips a bit of the record, by hand. With copies in the index, that is not enough.
    async fn flip(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        place: impl Fn(&Header<'_>) -> usize,
    ) -> Result<bool, BoxError> {
        if self.options.inline_limit > 0 {
            return Ok(false);
        }
        let mut flipped = false;
        for (path, mut bytes) in self.objects_in("r").await? {
            let header = Header::parse(&bytes)?;
            let found = SnapshotId { generation: header.generation, version: header.version };
            if header.is_of(key) && found == id {
                let (place, end) = (place(&header), header.header_bytes());
                let before = bytes[..end].to_vec();
                bytes[place] ^= 1;
                if place < end {
                    self.flip_in_indexes(&before, &bytes[..end]).await?;
                }
                self.objects.put(&path, bytes.into()).await?;
                flipped = true;
            }
        }
        Ok(flipped)
    }

    /// Changes the copy of a header that the index has, which has a checksum of its own.
    async fn flip_in_indexes(&self, before: &[u8], after: &[u8]) -> Result<(), BoxError> {
        for (path, mut bytes) in self.objects_in("x").await? {
            if let Some(at) = bytes.windows(before.len()).position(|found| found == before) {
                bytes[at..at + after.len()].copy_from_slice(after);
                let checksum = crc32fast::hash(&bytes[8..]).to_le_bytes();
                bytes[4..8].copy_from_slice(&checksum);
                self.objects.put(&path, bytes.into()).await?;
            }
        }
        Ok(())
    }
}

/// What no store of this kind has.
const ALWAYS: [&str; 3] =
    ["Capabilities::ordered_deletes", "Site::fail_writes", "a limit on versions"];

/// Each case of the level Scale with 100 aggregates, the fewest that the kit takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_ceph_keeps_every_promise() {
    let roots = Roots(Server::ceph(), ObjectStoreOptions::new());
    let card = Conformance::of(&roots).scale(100).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.store_name(), "object store");
    let skipped: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let copies = ["Site::damage", "Site::damage_header"];
    assert_eq!(skipped, ALWAYS.into_iter().chain(copies).collect());
}

/// What needs damaged records, which have no copies in indexes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_ceph_keeps_its_promises_about_damaged_records() {
    let roots = Roots(Server::ceph(), ObjectStoreOptions::new().inline_limit(0));
    let card = Conformance::of(&roots).named("damaged").run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert!(card.skipped().next().is_none());
    let damaged = card.results().iter().filter(|it| it.case.name().contains("damaged")).count();
    assert!(damaged >= 6, "{damaged} cases");
}

/// moto decides under the one lock of its interpreter, so that its races prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_moto_keeps_its_promises() {
    let roots = Roots(Server::moto(), ObjectStoreOptions::new());
    for level in [Level::Core, Level::Delete, Level::Marks] {
        let card = Conformance::of(&roots).only(level).run().await;
        println!("{card:#}");
        card.into_result().unwrap();
    }
}

/// Each node with a client of its own, as in another process.
struct Nodes;

#[async_trait]
impl LedgerFactory for Nodes {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
        let server = Server::ceph();
        let root = server.prefix();
        let mut nodes: Vec<Arc<dyn Ledger>> = Vec::with_capacity(count);
        for _ in 0..count {
            let store = ObjectStoreSnapshots::open(server.retrying(5), root.as_ref()).await?;
            nodes.push(Arc::new(StoreLedger::new(store)));
        }
        Ok(nodes)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_on_ceph_keeps_every_obligation() {
    conformance::ledger(&Nodes).await.into_result().unwrap();
}
