//! Two stores of one's own, as `docs/store-authors.md` builds them, and the proof that they are
//! right: the conformance kit runs over them and prints its scorecards.
//!
//! Run it with `cargo run --features conformance --example own_store`.

mod dir_store;
mod map_store;

use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{self, Conformance, Scorecard, Site, StoreFactory};
use snapfold::{BoxError, SnapshotStore};
use tempfile::TempDir;

use dir_store::DirStore;
use map_store::MapStore;

/// Each [`DirStore`] gets a directory of its own.
struct Directories;

#[async_trait]
impl StoreFactory for Directories {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        Ok(Box::new(Directory(TempDir::new()?)))
    }
}

/// Removed when dropped.
struct Directory(TempDir);

#[async_trait]
impl Site for Directory {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        Ok(Arc::new(DirStore::open(self.0.path()).await?))
    }
}

/// The scorecards of both stores, over so many aggregates at the level Scale.
async fn prove(aggregates: usize) -> [Scorecard; 2] {
    let maps = conformance::in_memory(|| Arc::new(MapStore::default()));
    let map_store = Conformance::of(&maps).scale(aggregates).run().await;
    [map_store, Conformance::of(&Directories).scale(aggregates).run().await]
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    for card in prove(100_000).await {
        println!("{}", card.into_result()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! An example that is wrong teaches what is wrong, and a listing that is not the code that was
    //! tested is an example that will be.

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn both_stores_keep_every_promise() {
        for card in prove(2_000).await {
            println!("{card:#}");
            card.into_result().unwrap();
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
