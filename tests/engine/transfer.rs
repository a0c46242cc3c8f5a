//! Archives and merges: everything arrives, once, and nothing that was damaged on the way.
//!
//! Guards against: an archive that loses marks, bases or aggregates; a damaged, truncated,
//! reordered or newer archive that is taken for a good one; a restore over data that nobody asked
//! to overwrite; a merge that loses the right one of two states in silence.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::support::{World, at, key};
use snapfold::engine::Incremental;
use snapfold::manager::Origin;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::retention::keep_last;
use snapfold::service::transfer::{
    ExportOptions, OnConflict, TransferDifference, TransferFilter, TransferOptions, check_archive,
    export, import, merge,
};
use snapfold::store::{
    KeysRequest, ListRequest, Lookup, Mark, MarkChange, Marks, PutOptions, Query, Selection,
    SnapshotStoreExt,
};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotEngine, SnapshotStore, Timestamp};
use tokio::io::AsyncWrite;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

/// Everything in a store: records with their marks.
type Contents = BTreeMap<(String, u64), (Vec<u8>, Marks)>;

async fn contents(store: &dyn SnapshotStore) -> Contents {
    let mut contents = Contents::new();
    let mut pages = store.key_pages(KeysRequest::new().reserved(true));
    while let Some(keys) = pages.next().await.unwrap() {
        for key in keys {
            for meta in store.list_all(ListRequest::new(&key)).await.unwrap() {
                let lookup = store.get(Query::exact(&key, meta.id())).await.unwrap();
                let Lookup::Found(found) = lookup else { panic!("{key} {}", meta.version) };
                let record = found.record.as_bytes().to_vec();
                contents.insert((key.to_string(), meta.version), (record, meta.marks));
            }
        }
    }
    contents
}

fn record(key: &AggregateKey, version: u64, state: &[u8], created: i64) -> Record {
    RecordBuilder::new(key.clone(), GENERATION, version, Timestamp::from_seconds(5))
        .created_at(Timestamp::from_seconds(created))
        .build(state)
        .unwrap()
}

async fn put(store: &dyn SnapshotStore, record: Record, marks: Marks) {
    store.put(vec![record], PutOptions::default().marks(marks)).await.unwrap();
}

fn tenant(id: &str) -> AggregateKey {
    key(id).with_tenant("north").unwrap()
}

/// Three aggregates, with a pin, a retirement and a document of snapfold's own.
async fn filled() -> MemoryStore {
    let store = MemoryStore::new();
    let pin = Marks::new([Mark::pin("audit", at(1)).actor("ops").note("why")]).unwrap();
    let retired = Marks::new([Mark::retirement("bad", at(2))]).unwrap();
    for (key, version, marks) in [
        (key("a"), 1, Marks::NONE),
        (key("a"), 2, pin),
        (key("a"), 3, Marks::NONE),
        (key("b\0\u{1f980}"), 1, retired),
        (tenant("a"), 9, Marks::NONE),
    ] {
        let state = format!("{key} at {version}").into_bytes();
        put(&store, record(&key, version, &state, 10 * i64::try_from(version).unwrap()), marks)
            .await;
    }
    let own = AggregateKey::from_stored("", "snapfold.ledger", "x").unwrap();
    put(&store, record(&own, 1, b"own", 1), Marks::NONE).await;
    store
}

async fn archive(store: &dyn SnapshotStore, filter: TransferFilter) -> Vec<u8> {
    let mut archive = Vec::new();
    let options = ExportOptions::new().filter(filter).created_at(at(77));
    let exported = export(store, &mut archive, &options).await.unwrap();
    assert_eq!((exported.bytes, exported.damaged), (archive.len() as u64, 0));
    archive
}

fn all() -> TransferFilter {
    TransferFilter::new().reserved(true)
}

#[tokio::test]
async fn everything_arrives_in_any_store_and_a_second_import_changes_nothing() {
    let store = filled().await;
    let archive = archive(&store, all()).await;
    let checked = check_archive(archive.as_slice()).await.unwrap();
    assert_eq!((checked.aggregates, checked.snapshots), (4, 6));
    assert_eq!((checked.bytes, checked.created_at), (archive.len() as u64, Some(at(77))));

    #[cfg(feature = "file")]
    let dir = tempfile::tempdir().unwrap();
    let targets: Vec<Box<dyn SnapshotStore>> = vec![
        Box::new(MemoryStore::new()),
        #[cfg(feature = "file")]
        Box::new(snapfold::file::FileStore::open(dir.path().join("store")).unwrap()),
    ];
    let expected = contents(&store).await;
    for target in targets {
        let options = TransferOptions::new().filter(all());
        let dry = options.clone().dry_run(true);
        let report = import(archive.as_slice(), &*target, &dry).await.unwrap().report;
        assert_eq!((report.stored, contents(&*target).await.len()), (6, 0));
        let imported = import(archive.as_slice(), &*target, &options).await.unwrap();
        assert_eq!(imported.contents, checked);
        assert_eq!((imported.report.aggregates, imported.report.stored), (4, 6));
        assert_eq!(contents(&*target).await, expected);

        // Not by accident over something else.
        let error = import(archive.as_slice(), &*target, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("into_existing()"), "{error}");
        let options = options.into_existing(true);
        let report = import(archive.as_slice(), &*target, &options).await.unwrap().report;
        assert_eq!((report.stored, report.existing, report.different), (0, 6, 0));
        assert_eq!(contents(&*target).await, expected);
        // And from this store as well.
        let mut again = Vec::new();
        let options = ExportOptions::new().filter(all());
        export(&*target, &mut again, &options).await.unwrap();
        assert_eq!(check_archive(again.as_slice()).await.unwrap().snapshots, 6);
    }
}

/// The frames of an archive, by `docs/format-archive.md`.
fn frames(archive: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = vec![archive[..8].to_vec()];
    let mut at = 8;
    while at < archive.len() {
        let length = u32::from_le_bytes(archive[at + 1..at + 5].try_into().unwrap()) as usize;
        frames.push(archive[at..at + 9 + length].to_vec());
        at += 9 + length;
    }
    frames
}

#[tokio::test]
async fn a_damaged_or_truncated_archive_is_reported_and_gives_nothing_false() {
    let store = filled().await;
    let archive = archive(&store, all()).await;
    let expected = contents(&store).await;
    let mut bad: Vec<Vec<u8>> = (0..archive.len()).map(|len| archive[..len].to_vec()).collect();
    bad.extend((0..archive.len()).map(|at| {
        let mut changed = archive.clone();
        changed[at] ^= 0x10;
        changed
    }));
    bad.push([&archive[..], b"\0"].concat());
    let frames = frames(&archive);
    for at in 1..frames.len() {
        let (mut missing, mut twice, mut swapped) =
            (frames.clone(), frames.clone(), frames.clone());
        missing.remove(at);
        twice.insert(at, frames[at].clone());
        bad.extend([missing.concat(), twice.concat()]);
        if at > 1 {
            swapped.swap(at, at - 1);
            bad.push(swapped.concat());
        }
    }
    for (case, bad) in bad.iter().enumerate() {
        let checked = check_archive(bad.as_slice()).await.unwrap_err();
        let is_newer = bad.len() > 7 && bad[..7] == archive[..7] && bad[7] != 1;
        let kind = if is_newer { ErrorKind::Unsupported } else { ErrorKind::CorruptStore };
        assert_eq!(checked.kind(), kind, "{case}: {checked}");
        assert!(is_newer || checked.to_string().contains("at byte "), "{checked}");
        let target = MemoryStore::new();
        let options = TransferOptions::new().filter(all());
        let error = import(bad.as_slice(), &target, &options).await.unwrap_err();
        assert_eq!(error.to_string(), checked.to_string());
        for (snapshot, found) in contents(&target).await {
            assert_eq!(expected.get(&snapshot), Some(&found), "{case}");
        }
    }
    // What was whole before the damage is there.
    let target = MemoryStore::new();
    let cut = &archive[..archive.len() - 1];
    let options = TransferOptions::new().filter(all());
    import(cut, &target, &options).await.unwrap_err();
    assert_eq!(contents(&target).await, expected);
}

#[tokio::test]
async fn a_claimed_length_takes_no_memory() {
    let mut archive = b"SNFARCH\x01".to_vec();
    archive.extend_from_slice(&[0x81, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let error = check_archive(archive.as_slice()).await.unwrap_err();
    assert!(error.to_string().contains("at byte 8"), "{error}");
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[tokio::test]
async fn an_archive_of_the_first_release_stays_importable() {
    let archive = include_bytes!("../fixtures/archive/1.snfarch");
    let target = MemoryStore::new();
    let options = TransferOptions::new().filter(all());
    let imported = import(&archive[..], &target, &options).await.unwrap();
    assert_eq!((imported.report.stored, imported.contents.created_at), (6, Some(at(77))));
    assert_eq!(contents(&target).await, contents(&filled().await).await);
    assert_eq!(archive.to_vec(), self::archive(&filled().await, all()).await);
}

#[tokio::test]
async fn a_filter_selects_by_tenant_kind_id_and_time() {
    let store = filled().await;
    let filter = TransferFilter::new;
    for (filter, expected) in [
        (filter(), 5),
        (all(), 6),
        (filter().tenant("north"), 1),
        (filter().tenant(""), 4),
        (filter().kind("account"), 5),
        (filter().kind("order"), 0),
        (filter().key(&key("a")), 3),
        (filter().created_from(at(20)), 3),
        (filter().created_before(at(20)), 2),
        (filter().created_from(at(20)).created_before(at(30)), 1),
    ] {
        let archive = archive(&store, filter.clone()).await;
        let checked = check_archive(archive.as_slice()).await.unwrap();
        assert_eq!(checked.snapshots, expected, "{filter:?}");
        let target = MemoryStore::new();
        let options = TransferOptions::new().filter(filter.clone());
        let report = merge(&store, &target, &options).await.unwrap();
        assert_eq!(report.stored, expected, "{filter:?}");
        // In an import, the base of a delta comes before anything shows that it is needed.
        let options = options.into_existing(true);
        let imported = import(archive.as_slice(), &target, &options).await;
        if filter.created_from.or(filter.created_before).is_some() {
            assert_eq!(imported.unwrap_err().kind(), ErrorKind::InvalidInput);
        } else {
            assert_eq!(imported.unwrap().report.existing, expected);
        }
    }
}

#[tokio::test]
async fn a_conflict_is_settled_as_asked_and_always_told() {
    let (theirs, ours) = (MemoryStore::new(), MemoryStore::new());
    let key = key("a");
    let other = AggregateKey::new("account", "b").unwrap();
    for (version, their, our) in [(1, 10, 20), (2, 20, 10), (3, 10, 10), (4, 20, 10)] {
        put(&theirs, record(&key, version, b"theirs", their), Marks::NONE).await;
        put(&ours, record(&key, version, b"ours", our), Marks::NONE).await;
    }
    // The same state, encoded at another time, is no conflict. A mark of either side counts.
    let retired = Marks::new([Mark::retirement("bad", at(2))]).unwrap();
    put(&theirs, record(&other, 7, b"same", 1), retired.clone()).await;
    put(&ours, record(&other, 7, b"same", 2), Marks::NONE).await;
    // A pinned one stays.
    let ids = [snapfold::SnapshotId { generation: GENERATION, version: 4 }];
    let pin = Mark::pin("audit", at(1));
    ours.mark(&key, Selection::Ids(&ids), MarkChange::Set(&pin)).await.unwrap();

    let merged = |on_conflict, dry_run| {
        let (theirs, ours, key) = (theirs.clone(), ours.clone(), key.clone());
        async move {
            let target = MemoryStore::new();
            merge(&ours, &target, &TransferOptions::new()).await.unwrap();
            let before = contents(&target).await;
            let options = TransferOptions::new().on_conflict(on_conflict).dry_run(dry_run);
            let result = merge(&theirs, &target, &options).await;
            let mut states = Vec::new();
            for version in 1..=4 {
                let id = snapfold::SnapshotId { generation: GENERATION, version };
                let lookup = target.get(Query::exact(&key, id)).await.unwrap();
                let record = lookup.into_record().unwrap();
                states.push(record.as_bytes().ends_with(b"theirs"));
            }
            let after = contents(&target).await;
            assert!(!dry_run || before == after);
            (result, states, after)
        }
    };
    let (kept, states, after) = merged(OnConflict::KeepExisting, false).await;
    let kept = kept.unwrap();
    assert_eq!(states, [false; 4]);
    assert_eq!((kept.stored, kept.existing, kept.different, kept.replaced), (0, 1, 4, 0));
    let difference = TransferDifference::Different { version: 1, replaced: false };
    assert_eq!(kept.notes[0].difference, difference);
    assert_eq!(after[&(other.to_string(), 7)].1, retired);

    let (newest, states, _) = merged(OnConflict::KeepNewest, false).await;
    let newest = newest.unwrap();
    assert_eq!(states, [false, true, false, false]);
    assert_eq!((newest.existing, newest.different, newest.replaced), (1, 3, 1));
    let (dry, ..) = merged(OnConflict::KeepNewest, true).await;
    assert!(dry.as_ref().unwrap().to_string().starts_with("dry run: "));
    assert_eq!((dry.as_ref().unwrap().notes.len(), &dry.unwrap().notes), (4, &newest.notes));

    let (failed, ..) = merged(OnConflict::Fail, false).await;
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("version 1 differ"), "{error}");
}

#[tokio::test]
async fn a_report_tells_which_side_is_ahead() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    for (id, their, our) in [("a", 5, 9), ("b", 9, 5), ("c", 7, 7)] {
        put(&from, record(&key(id), their, b"x", 1), Marks::NONE).await;
        put(&to, record(&key(id), our, b"x", 1), Marks::NONE).await;
    }
    put(&from, record(&key("d"), 1, b"x", 1), Marks::NONE).await;
    let report = merge(&from, &to, &TransferOptions::new()).await.unwrap();
    assert_eq!((report.aggregates, report.ahead, report.behind), (4, 1, 1));
    let text: Vec<_> = report.notes.iter().map(ToString::to_string).collect();
    assert!(
        text.iter().any(|note| note.contains("the target was ahead, at version 9")),
        "{text:?}"
    );
    assert!(report.to_string().contains("1 aggregates were behind"), "{report}");
}

#[tokio::test]
async fn deltas_arrive_with_their_bases_and_load_as_before() {
    let incremental = || Incremental::lz4().min_bytes(1).max_percent(255);
    let world = World::with(|builder| builder.retention(keep_last(99)));
    let store = MemoryStore::new();
    let engine = |store: MemoryStore| {
        SnapshotEngine::builder(world.source.clone(), store)
            .retention(keep_last(99))
            .incremental(incremental())
            .clock(world.clock.clone())
            .build()
            .unwrap()
    };
    let (key, first) = (key("a"), engine(store.clone()));
    for version in 1..=6 {
        world.grow(&key, version);
        world.clock.advance(std::time::Duration::from_secs(100));
        first.create(&key).await.unwrap();
    }
    let metas = store.list_all(ListRequest::new(&key)).await.unwrap();
    assert_eq!(metas[0].base.map(|base| base.version), Some(1));
    // The base was created before, and comes along.
    let filter = TransferFilter::new().created_from(metas[1].created_at);
    let archive = archive(&store, filter).await;
    let target = MemoryStore::new();
    let report = import(archive.as_slice(), &target, &TransferOptions::new()).await.unwrap().report;
    assert_eq!(report.stored, 3);
    let loaded = engine(target.clone()).load(&key).await.unwrap();
    assert_eq!(*loaded.state, world.truth(&key).await);
    assert_eq!((loaded.version, loaded.provenance.origin), (6, Origin::Snapshot));
    assert_eq!(loaded.provenance.events_replayed, 0);
}

/// A stream that takes so many bytes.
struct Full(usize);

impl AsyncWrite for Full {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Poll::Ready(if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::StorageFull.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_with_its_cause() {
    let store = filled().await;
    let error = export(&store, Full(100), &ExportOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn dictionaries_travel_with_the_snapshots_that_need_them() {
    use snapfold::codec::Dictionary;
    let dictionary = Dictionary::from_bytes(b"what many states contain".to_vec()).unwrap();
    let mut archive = Vec::new();
    let options = ExportOptions::new().dictionary(dictionary.clone());
    export(&filled().await, &mut archive, &options).await.unwrap();
    let imported =
        import(archive.as_slice(), &MemoryStore::new(), &TransferOptions::new()).await.unwrap();
    assert_eq!(imported.contents.dictionaries, [dictionary]);
}
