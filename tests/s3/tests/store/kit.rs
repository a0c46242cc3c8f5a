//! The kits for stores and ledgers on Ceph, and what needs no race on moto.
//!
//! Nothing here runs on s3s-fs: it keeps each object in a file of that name, so that a key has at
//! most about 200 bytes and the cases with the longest keys cannot pass, and the cases of concurrent
//! writers fail because its conditions are not atomic (`races.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::BoxError;
use snapfold::conformance::{self, Conformance, LedgerFactory, Level, Site, StoreFactory};
use snapfold::ledger::{Ledger, StoreLedger};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold_s3::Server;

use crate::bucket_site::BucketSite;

/// Roots in one bucket.
struct Roots(Server, ObjectStoreOptions);

#[async_trait]
impl StoreFactory for Roots {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let (objects, path) = (self.0.retrying(5), self.0.prefix());
        Ok(Box::new(BucketSite { objects, path, options: self.1.clone() }))
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
