//! The two stores from `docs/store-authors.md`, and their test: the conformance kit runs over them
//! and prints its scorecards.
//!
//! Run it with `cargo run --features conformance --example own_store`.

#![allow(unreachable_pub, reason = "the stores are written as they would be in a library")]

mod dir_store;
mod map_store;

use std::fs;
use std::ops::BitXorAssign;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{self, Conformance, Scorecard, Site, StoreFactory};
use snapfold::record::Record;
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};
use tempfile::TempDir;

use dir_store::{DirStore, split};
use map_store::{MapStore, name_of};

/// Each [`DirStore`] gets a separate directory below this one.
struct Directories(PathBuf);

#[async_trait]
impl StoreFactory for Directories {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        Ok(Box::new(Directory(TempDir::new_in(&self.0)?)))
    }
}

/// Removed when dropped.
struct Directory(TempDir);

#[async_trait]
impl Site for Directory {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        Ok(Arc::new(DirStore::open(self.0.path()).await?))
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        for entry in fs::read_dir(self.0.path())? {
            let path = entry?.path();
            let Some(mut records) = split(&fs::read(&path)?) else { continue };
            let mut damaged = false;
            for record in &mut records {
                if name_of(record)? == (key.clone(), id) {
                    let mut bytes = record.as_bytes().to_vec();
                    bytes.last_mut().ok_or("a record without a byte")?.bitxor_assign(1);
                    *record = Record::from_bytes(bytes);
                    damaged = true;
                }
            }
            if damaged {
                fs::write(
                    &path,
                    records.iter().map(Record::as_bytes).collect::<Vec<_>>().concat(),
                )?;
            }
        }
        Ok(true)
    }
}

/// The scorecards of both stores, with this number of aggregates at the level Scale.
async fn prove(parent: PathBuf, aggregates: usize) -> [Scorecard; 2] {
    let maps = conformance::in_memory(|| Arc::new(MapStore::default()));
    let map_store = Conformance::of(&maps).scale(aggregates).run().await;
    let directories = Directories(parent);
    [map_store, Conformance::of(&directories).scale(aggregates).run().await]
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    for card in prove(std::env::temp_dir(), 100_000).await {
        println!("{}", card.into_result()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! A wrong example teaches mistakes, and a listing that is not tested becomes wrong.

    use snapfold::conformance::Level;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn both_stores_keep_every_promise() {
        // Syncs are free in memory, if there is such a directory.
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        for card in prove(parent, 2_000).await {
            println!("{card:#}");
            let card = card.into_result().unwrap();
            let durable = card.capabilities().unwrap().durable;
            for level in [Level::Core, Level::History, Level::Delete, Level::Durable] {
                let tally = card.tally_of(level);
                assert!(tally.passed >= 5 || !durable, "{level}");
                assert!(tally.skipped == 0 || level == Level::Durable, "{level}");
            }
        }
    }

    #[test]
    fn the_listings_in_the_docs_are_this_code() {
        let docs = include_str!("../../docs/store-authors.md");
        for listing in [include_str!("map_store.rs"), include_str!("dir_store.rs")] {
            assert!(docs.contains(&format!("\n{listing}```\n")), "{listing}");
        }
    }
}
