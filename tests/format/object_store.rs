//! Objects written by earlier releases must be read for ever, and the page `format-object-store`
//! must say what they are. `fixtures/object_store/v1` is a bucket; `SNAPFOLD_MAKE_GOLDEN=dir` writes
//! one of this release into `dir`, for the day when the format changes. The index is also read here by
//! a reader that was written from the page and shares nothing with the crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::codec::CodecId;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::{Base, Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Mark, MarkChange, Marks, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};

const G1: Generation = Generation { schema_version: 1, fingerprint: 0x0123_4567_89ab_cdef };
const G2: Generation = Generation { schema_version: 2, fingerprint: 9 };
const ROOT: &str = "golden";

fn key(id: &str) -> AggregateKey {
    AggregateKey::from_parts("north & south", "account", id).unwrap()
}

fn record(id: &str, generation: Generation, version: u64) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    let payload = format!("{id} at {version} ").repeat(20);
    let builder = RecordBuilder::new(key(id), generation, version, at).created_at(at);
    let builder = builder.codec(CodecId::custom(1)).label("month-end");
    let builder =
        if version == 6 { builder.base(Base { version: 5, checksum: 7 }) } else { builder };
    builder.build(payload.as_bytes()).unwrap()
}

fn pin() -> Mark {
    Mark::pin("audit", Timestamp::from_seconds(9)).actor("ops").note("until it is \u{e9} closed")
}

async fn make(objects: Arc<InMemory>) {
    let options = ObjectStoreOptions::new().inline_limit(400);
    let store = ObjectStoreSnapshots::open_with(objects, ROOT, options).await.unwrap();
    for version in 1..=6 {
        let records = ["a", "../b c", ""].map(|id| record(id, G1, version)).to_vec();
        store.put(records, PutOptions::default()).await.unwrap();
        let marks = PutOptions::default().marks(Marks::new([pin()]).unwrap());
        store.put(vec![record("a", G2, version)], marks).await.unwrap();
    }
    let all = DeleteOptions::default().overrule_pins(true);
    store.delete(&key("a"), Selection::Below(5), all).await.unwrap();
    store.delete(&key(""), Selection::All, all).await.unwrap();
    let retired = Mark::retirement("wrong", Timestamp::from_seconds(10));
    let newest = [SnapshotId { generation: G1, version: 6 }];
    let set = MarkChange::Set(&retired);
    store.mark(&key("../b c"), Selection::Ids(&newest), set).await.unwrap();
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/object_store/v1")
}

/// All files below a folder, with their paths in it.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

async fn bucket() -> Arc<InMemory> {
    let objects = Arc::new(InMemory::new());
    for (name, bytes) in files(&fixture()) {
        let path = ObjectPath::parse(name).unwrap();
        objects.put(&path, bytes.into()).await.unwrap();
    }
    objects
}

#[tokio::test]
async fn a_bucket_of_format_1_holds_what_it_held_and_can_be_written() {
    if let Some(dir) = std::env::var_os("SNAPFOLD_MAKE_GOLDEN") {
        let objects = Arc::new(InMemory::new());
        make(objects.clone()).await;
        for object in objects.list(None).try_collect::<Vec<_>>().await.unwrap() {
            let path = Path::new(&dir).join(object.location.as_ref());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = objects.get(&object.location).await.unwrap().bytes().await.unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let store = ObjectStoreSnapshots::open(bucket().await, ROOT).await.unwrap();
    let tenant = KeysRequest::new().tenant("north & south");
    let keys = store.keys(tenant).await.unwrap().items;
    assert_eq!(keys, [key("../b c"), key("a")]);
    let listed = |id: &'static str| {
        let store = &store;
        async move {
            let page = store.list(ListRequest::new(&key(id))).await.unwrap();
            let of = |meta: &snapfold::record::SnapshotMeta| {
                (meta.generation.schema_version, meta.version, meta.marks.len())
            };
            page.items.iter().map(of).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed("a").await, [(2, 6, 1), (1, 6, 0), (2, 5, 1), (1, 5, 0)]);
    let others = [(1, 6, 1), (1, 5, 0), (1, 4, 0), (1, 3, 0), (1, 2, 0), (1, 1, 0)];
    assert_eq!(listed("../b c").await, others);
    assert_eq!(listed("").await, []);
    for (id, generation, version) in
        [("a", G1, 6), ("a", G1, 5), ("a", G2, 6), ("../b c", G1, 6), ("../b c", G1, 2)]
    {
        let key = key(id);
        let exact = Query::exact(&key, SnapshotId { generation, version });
        let found = store.get(exact).await.unwrap().into_record();
        assert_eq!(found, Some(record(id, generation, version)), "{id} {version}");
    }
    let key = key("../b c");
    let newest = store.get(Query::latest(&key, G1)).await.unwrap().into_record();
    assert_eq!(newest, Some(record("../b c", G1, 5)), "6 is retired");
    store.put(vec![record("", G1, 9)], PutOptions::default()).await.unwrap();
    assert_eq!(listed("").await, [(1, 9, 0)]);
}

/// Takes numbers and texts from the front of bytes.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn number(&mut self, len: usize) -> u64 {
        self.take(len).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn text(&mut self, len: usize) -> &'a str {
        std::str::from_utf8(self.take(len)).unwrap()
    }
}

#[test]
fn the_objects_are_what_the_page_says() {
    let files = files(&fixture());
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    let tenant = "north~20~26~20south";
    let marker = files.iter().find(|(name, _)| name == "golden/snapfold").unwrap();
    assert_eq!(marker.1, b"snapfold object store, format 1\n");
    let index = |id: &str| {
        let name = format!("golden/x/{tenant}/account/{id}");
        &files.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{names:?}")).1
    };
    assert_eq!(index("~").len(), 2_068);
    let mut records = 0;
    for (id, key_id, count) in [("a", "a", 4), ("..~2fb~20c", "../b c", 6), ("~", "", 0)] {
        let body = index(id);
        let mut front = Front(body);
        assert_eq!(front.take(4), b"SNX1");
        assert_eq!(front.number(4), u64::from(crc32fast::hash(&body[8..])));
        let sequence = front.number(8);
        let changes: Vec<_> = (0..256).map(|_| front.number(8)).collect();
        for (number, change) in (0_u64..).zip(changes) {
            // Change 0 is that there is an index at all.
            assert_eq!(change != 0, (1..=sequence).contains(&number), "{number}");
        }
        assert_eq!(front.number(4), count);
        let mut above = (u64::MAX, u64::MAX);
        let mut copied = Vec::new();
        for _ in 0..count {
            let (version, fingerprint, schema) =
                (front.number(8), front.number(8), front.number(4));
            let as_of = front.number(8);
            let (object, length, is_delta, base) =
                (front.number(8), front.number(8), front.number(1), front.number(8));
            let (header_length, copy_length) = (front.number(4), front.number(4));
            let copy = front.take(usize::try_from(copy_length).unwrap());
            let marks = front.number(1);
            let mut is_retired = false;
            for _ in 0..marks {
                let kind = front.number(1);
                let lengths = [(); 3].map(|()| usize::try_from(front.number(2)).unwrap());
                let at = front.number(8);
                let [name, actor, note] = lengths.map(|length| front.text(length));
                is_retired |= kind == 2;
                let pinned = (1, 9_000_000, "audit", "ops", "until it is \u{e9} closed");
                let retired = (2, 10_000_000, "wrong", "", "");
                assert!([pinned, retired].contains(&(kind, at, name, actor, note)));
            }
            assert!((version, schema) < above);
            above = (version, schema);
            assert_eq!(as_of, version * 1_000_000);
            assert_eq!((is_delta, base), if version == 6 { (1, 5) } else { (0, 0) });
            let name = format!(
                "golden/r/{tenant}/account/{id}/{:020}-{schema:010}-{fingerprint:016x}-{object:016x}",
                u64::MAX - version
            );
            let stored = &files.iter().find(|(found, _)| *found == name).unwrap().1;
            let generation = if schema == 1 { G1 } else { G2 };
            assert_eq!(stored, record(key_id, generation, version).as_bytes());
            assert_eq!(stored.len() as u64, length);
            assert!(stored.starts_with(copy) && header_length <= copy_length);
            if copy_length == length {
                copied.push((schema, version));
            } else {
                assert_eq!(copy_length, header_length);
            }
            // The newest of its generation that is not retired, if the limit allows.
            assert!(!is_retired || copy_length == header_length);
            records += 1;
        }
        assert!(front.0.is_empty());
        match id {
            "a" => assert_eq!(copied, [(2, 6), (1, 6)]),
            // 6 is retired, and whoever retired it did not have 5.
            _ => assert_eq!(copied, []),
        }
    }
    let all = names.iter().filter(|name| name.starts_with("golden/r/")).count();
    assert_eq!(all, records, "a record that no index names");
    assert_eq!(names.len(), records + 4, "something else");
}
