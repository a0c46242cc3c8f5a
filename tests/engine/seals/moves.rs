//! Sealed records are moved between stores as they are, without a key.

use std::sync::Arc;

use snapfold::engine::Incremental;
use snapfold::layer::TieredStore;
use snapfold::manager::CreateOptions;
use snapfold::service::transfer::{
    ExportOptions, TransferOptions, check_archive, export, import, merge,
};
use snapfold::store::Selection;
use snapfold::{MemoryStore, SnapshotEngine, SnapshotStore, Timestamp};

use super::{SECRET, contains, note, records, settings};
use crate::own_coding::NoCipher;
use crate::support::{World, key};

#[tokio::test]
async fn archives_merges_and_tiers_move_sealed_records_untouched() {
    let seal = NoCipher::new("k1");
    // The newest snapshot stays in the hot tier, and with it its base.
    let how = Incremental::lz4().min_bytes(1).max_percent(u8::MAX).max_deltas(2);
    let world = World::with(|builder| settings(builder, &seal).incremental(how));
    let key = key("a");
    note(&world, &key, 6);
    for version in 1..=6 {
        if version == 4 {
            seal.rotate("k2");
        }
        let options = CreateOptions::new().at_version(version);
        world.engine.create_with(&key, options).await.unwrap();
    }
    let before = records(&world.store, &key).await;
    assert_eq!(before.len(), 6);
    assert!(before.iter().any(|record| record.header().unwrap().base.is_some()));
    let sealed = seal.sealed();

    let mut archive = Vec::new();
    let exported = export(&world.store, &mut archive, &ExportOptions::new()).await.unwrap();
    assert_eq!(exported.damaged, 0);
    assert!(!archive.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
    assert_eq!(check_archive(archive.as_slice()).await.unwrap().snapshots, 6);
    let imported = MemoryStore::new();
    import(archive.as_slice(), &imported, &TransferOptions::new()).await.unwrap();
    let merged = MemoryStore::new();
    merge(&world.store, &merged, &TransferOptions::new()).await.unwrap();
    let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
    merge(&world.store, &hot, &TransferOptions::new()).await.unwrap();
    let tiered = TieredStore::new(hot, cold.clone());
    tiered.archive(&key, Timestamp::MAX).await.unwrap();
    assert_eq!(records(&cold, &key).await.len(), 3);

    assert_eq!(records(&imported, &key).await, before);
    assert_eq!(records(&merged, &key).await, before);
    assert_eq!(records(&tiered, &key).await, before);
    tiered.restore(&key, Selection::All).await.unwrap();
    assert_eq!(records(&tiered, &key).await, before);
    assert_eq!(seal.sealed(), sealed);
    assert!(before.iter().all(|record| !contains(record, SECRET)));
    // Imported once more, the same states are recognized without a key.
    let again = TransferOptions::new().into_existing(true);
    let report = import(archive.as_slice(), &imported, &again).await.unwrap().report;
    assert_eq!((report.existing, report.stored, report.different), (6, 0, 0), "{report}");

    let stores: [Arc<dyn SnapshotStore>; 3] =
        [Arc::new(imported), Arc::new(merged), Arc::new(tiered)];
    for store in stores {
        let builder = SnapshotEngine::builder(world.source.clone(), store);
        let engine = settings(builder, &seal).build().unwrap();
        let loaded = engine.load(&key).await.unwrap();
        assert_eq!(loaded.provenance.events_replayed, 0);
        assert_eq!(*loaded.state, world.truth(&key).await);
    }
}
