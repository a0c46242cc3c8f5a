//! A store that differs from the reference in one corner (a tie in an order, a key with a NUL, a
//! duplicate within one batch) makes a load that is right with one backend wrong with another. So
//! the same calls go to `PostgresStore` on a real server and to `MemoryStore`, and the answers must
//! be the same; what only PostgreSQL can get wrong (names, limits, encodings, migrations) is tested
//! by name.

use std::time::Duration;

use crate::support::TestDb;
use snapfold::postgres::{PostgresMigrations, PostgresOptions, PostgresStore};
use snapfold::record::{Base, DigestKind, Generation, Record, RecordBuilder, StateDigest};
use snapfold::store::{
    DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, Retry, SnapshotId, SnapshotStore, Timestamp};
use sqlx::postgres::PgPoolOptions;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

fn record(key: &AggregateKey, version: u64, payload: &[u8]) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap_or(i64::MAX));
    RecordBuilder::new(key.clone(), GENERATION, version, at).build(payload).unwrap()
}

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).unwrap()
}

async fn all_keys(store: &dyn SnapshotStore, request: KeysRequest<'_>) -> Vec<AggregateKey> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let mut request = request;
        request.after = cursor.as_ref();
        let page = store.keys(request).await.unwrap();
        assert!(page.items.len() <= request.limit.max(1));
        assert!(page.next.is_none() || !page.items.is_empty());
        keys.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return keys,
        }
    }
}

/// Keys, generations, versions and times that are chosen to collide, to tie and to be hostile.
struct Chooser(u64);

impl Chooser {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }

    fn key(&mut self) -> AggregateKey {
        let tenants = ["", "a", "a\0"];
        let kinds = ["k", "a", "\u{1}"];
        let ids = ["", "x", "x\0", "x\u{1}", "o'brien\"; --", "\u{10ffff}", "X"];
        AggregateKey::from_parts(self.pick(&tenants), self.pick(&kinds), self.pick(&ids)).unwrap()
    }

    fn generation(&mut self) -> Generation {
        Generation {
            schema_version: self.pick(&[0, 1, u32::MAX]),
            fingerprint: self.pick(&[0, u64::MAX / 2 + 1, u64::MAX]),
        }
    }

    fn version(&mut self) -> u64 {
        self.pick(&[1, 2, 3, 4, 5, 1 << 40, i64::MAX.cast_unsigned()])
    }

    fn bound(&mut self) -> u64 {
        self.pick(&[0, 1, 2, 3, 4, 5, 1 << 40, i64::MAX.cast_unsigned(), u64::MAX])
    }

    fn time(&mut self) -> Timestamp {
        self.pick(&[
            Timestamp::MIN,
            Timestamp::from_micros(-1),
            Timestamp::from_micros(0),
            Timestamp::from_seconds(1),
            Timestamp::MAX,
        ])
    }

    fn id(&mut self) -> SnapshotId {
        SnapshotId { generation: self.generation(), version: self.version() }
    }

    fn record(&mut self) -> Record {
        let (key, generation) = (self.key(), self.generation());
        let mut builder = RecordBuilder::new(key, generation, self.version(), self.time());
        if self.below(4) == 0 {
            builder = builder.label("pinned").anchor(*b"anchor").created_at(self.time());
        }
        if self.below(3) == 0 {
            builder = builder.base(Base { version: self.version(), checksum: 1 });
        }
        let payload = self.pick(&[&b"one"[..], b"two", b"\0"]);
        builder.build(payload).unwrap()
    }

    fn mark(&mut self) -> Mark {
        let name = self.pick(&["a", "b", "a\0", "'\"\\\u{1}"]);
        let kind = self.pick(&[MarkKind::Pin, MarkKind::Retirement]);
        Mark::new(kind, name, self.time()).note(self.pick(&["", "why\n\0"]))
    }
}

/// Lists the snapshots of several keys in both stores, and compares the answers.
async fn list_many_alike(
    choose: &mut Chooser,
    postgres: &PostgresStore,
    memory: &MemoryStore,
    request: ListRequest<'_>,
    step: usize,
) {
    let keys = [choose.key(), choose.key(), choose.key(), request.key.clone()];
    let of = |n: usize| {
        let mut request = request;
        request.key = &keys[n.min(3)];
        request
    };
    let mut requests: Vec<_> = (0..choose.below(5)).map(of).collect();
    if let Some(first) = requests.first_mut() {
        *first = ListRequest::new(&keys[0]).limit(choose.below(3));
    }
    let expected = memory.list_many(&requests).await.unwrap();
    assert_eq!(postgres.list_many(&requests).await.unwrap(), expected, "step {step}");
}

/// Deletes snapshots of several keys in both stores, and compares the answers.
async fn delete_many_alike(
    choose: &mut Chooser,
    postgres: &PostgresStore,
    memory: &MemoryStore,
    step: usize,
) -> Vec<Deleted> {
    let keys = [choose.key(), choose.key(), choose.key()];
    let lists: Vec<Vec<_>> = (0..choose.below(6))
        .map(|_| (0..choose.below(30)).map(|_| choose.id()).collect())
        .collect();
    let deletes: Vec<_> = lists.iter().map(|ids| (&keys[choose.below(3)], &ids[..])).collect();
    let options = DeleteOptions::default().overrule_pins(choose.below(3) == 0);
    let expected = memory.delete_many(&deletes, options).await.unwrap();
    let answer = postgres.delete_many(&deletes, options).await.unwrap();
    assert_eq!(answer, expected, "step {step}: {deletes:?} {options:?}");
    expected
}

#[tokio::test]
async fn every_answer_is_that_of_the_memory_store() {
    let mut choose = Chooser(7);
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryStore::new());
    let mut deleted_many = Deleted::default();
    for step in 0..6_000 {
        match choose.below(10) {
            0..4 => {
                let records: Vec<_> = (0..choose.below(6)).map(|_| choose.record()).collect();
                let mut options = PutOptions::default().replace(choose.below(3) == 0);
                if choose.below(3) == 0 {
                    let marks = [choose.mark(), choose.mark()];
                    options = options.marks(Marks::new(marks).unwrap());
                }
                let expected = memory.put(records.clone(), options.clone()).await.unwrap();
                assert_eq!(postgres.put(records, options).await.unwrap(), expected, "step {step}");
            }
            4..6 => {
                let key = choose.key();
                let mut query = Query::latest(&key, choose.generation()).at_most(choose.bound());
                if choose.below(2) == 0 {
                    query = query.as_of(choose.time());
                }
                if choose.below(2) == 0 {
                    query = query.at_least(choose.bound()).include_retired(choose.below(2) == 0);
                }
                let expected = memory.get(query).await.unwrap();
                assert_eq!(postgres.get(query).await.unwrap(), expected, "step {step}: {query:?}");
                let exact = Query::exact(&key, choose.id());
                let queries = [exact, query, Query::latest(&key, choose.generation())];
                let expected = memory.get_many(&queries).await.unwrap();
                assert_eq!(postgres.get_many(&queries).await.unwrap(), expected, "step {step}");
            }
            6 => {
                let key = choose.key();
                let mut request = ListRequest::new(&key)
                    .at_most(choose.bound())
                    .at_least(choose.bound())
                    .limit(choose.below(4));
                if choose.below(2) == 0 {
                    request = request.after(choose.id());
                }
                let expected = memory.list(request).await.unwrap();
                assert_eq!(postgres.list(request).await.unwrap(), expected, "step {step}");
                list_many_alike(&mut choose, &postgres, &memory, request, step).await;
            }
            7 => {
                let mut request = KeysRequest::new().limit(choose.below(5));
                let (tenant, kind) = (choose.pick(&["", "a", "a\0"]), choose.pick(&["k", "\u{1}"]));
                if choose.below(2) == 0 {
                    request = request.tenant(tenant);
                }
                if choose.below(2) == 0 {
                    request = request.kind(kind);
                }
                let expected = all_keys(&memory, request).await;
                assert_eq!(all_keys(&postgres, request).await, expected, "step {step}");
            }
            _ => {
                let key = choose.key();
                let ids = [choose.id(), choose.id(), choose.id()];
                let selection = match choose.below(10) {
                    0 => Selection::All,
                    1..4 => Selection::Below(choose.bound()),
                    4 => Selection::Generation(choose.generation()),
                    5 => Selection::ExceptGeneration(choose.generation()),
                    _ => Selection::Ids(&ids),
                };
                if choose.below(3) == 0 {
                    let expected = delete_many_alike(&mut choose, &postgres, &memory, step).await;
                    deleted_many = expected.into_iter().chain([deleted_many]).sum();
                } else if choose.below(2) == 0 {
                    let mark = choose.mark();
                    let clear = MarkChange::Clear { kind: mark.kind, name: &mark.name };
                    let change = choose.pick(&[MarkChange::Set(&mark), clear]);
                    let expected = memory.mark(&key, selection, change).await.unwrap();
                    let changed = postgres.mark(&key, selection, change).await.unwrap();
                    assert_eq!(changed, expected, "step {step}: {change:?} of {selection:?}");
                    continue;
                }
                let options = DeleteOptions::default().overrule_pins(choose.below(4) == 0);
                let expected = memory.delete(&key, selection, options).await.unwrap();
                let deleted = postgres.delete(&key, selection, options).await.unwrap();
                assert_eq!(deleted, expected, "step {step}: {selection:?}");
            }
        }
    }
    assert!(!all_keys(&memory, KeysRequest::new()).await.is_empty());
    let Deleted { snapshots, pinned, needed, .. } = deleted_many;
    assert!(snapshots > 500 && pinned > 100 && needed > 20, "{deleted_many:?}");
    db.close().await;
}

#[tokio::test]
async fn an_identity_twice_in_one_call_is_put_in_order() {
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryStore::new());
    let one = |id: &str| record(&key(id), 1, b"one");
    let two = |id: &str| record(&key(id), 1, b"two");
    let calls = [
        (vec![one("a"), two("a"), one("a")], false),
        (vec![two("a"), one("a")], false),
        (vec![one("b"), two("b")], true),
        (vec![two("b"), one("b"), two("c")], true),
    ];
    for (records, replace) in calls {
        let options = PutOptions::default().replace(replace);
        let expected = memory.put(records.clone(), options.clone()).await.unwrap();
        assert_eq!(postgres.put(records, options).await.unwrap(), expected);
        for id in ["a", "b", "c"] {
            let key = key(id);
            let query = Query::latest(&key, GENERATION);
            assert_eq!(postgres.get(query).await.unwrap(), memory.get(query).await.unwrap());
        }
    }
    db.close().await;
}

#[tokio::test]
async fn a_stored_snapshot_of_an_equal_state_is_identical_whatever_its_bytes() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let with = |payload: &[u8], digest: Option<u8>| {
        let builder = RecordBuilder::new(key("a"), GENERATION, 1, Timestamp::from_seconds(1));
        let digest = digest.map(|byte| StateDigest::new(DigestKind::Ordered, [byte; 16]));
        digest.into_iter().fold(builder, RecordBuilder::digest).build(payload).unwrap()
    };
    store.put(vec![with(b"ab", Some(1))], PutOptions::default()).await.unwrap();
    for (record, identical) in [
        (with(b"ab", Some(1)), true),
        (with(b"ba", Some(1)), true),
        (with(b"ba", Some(2)), false),
        (with(b"ba", None), false),
    ] {
        // Alone, and twice in one batch, where the second one is compared by a statement of its own.
        let outcomes = store.put(vec![record.clone()], PutOptions::default()).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Existing { identical }]);
        let outcomes = store.put(vec![record.clone(), record], PutOptions::default()).await;
        assert_eq!(outcomes.unwrap(), [PutOutcome::Existing { identical }; 2]);
    }
    // A record that does not verify proves nothing.
    db.tamper("UPDATE {schema}.snapfold_snapshots SET payload = 'xx'").await;
    let outcomes = store.put(vec![with(b"ba", Some(1))], PutOptions::default()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Existing { identical: false }]);
    db.close().await;
}

#[tokio::test]
async fn a_key_or_version_beyond_the_limits_is_refused_and_absent() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    // Random bytes, which the server cannot compress to make them fit.
    let mut choose = Chooser(3);
    let mut id = |len: usize| -> String {
        (0..len).map(|_| char::from(b'!' + u8::try_from(choose.below(90)).unwrap())).collect()
    };
    // Of characters that are stored as they are; the capability promises less.
    let limit = 2_400;
    let longest = key(&id(limit - "account".len()));
    let outcome = store.put(vec![record(&longest, 1, b"s")], PutOptions::default()).await.unwrap();
    assert_eq!(outcome, [PutOutcome::Stored]);
    for len in [limit - "account".len() + 1, AggregateKey::MAX_PART_BYTES] {
        let long = key(&id(len));
        let records = vec![record(&key("whole"), 1, b"s"), record(&long, 1, b"s")];
        let error = store.put(records, PutOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&limit.to_string()), "{error}");
        let query = Query::latest(&long, GENERATION);
        assert_eq!(store.get(query).await.unwrap(), Lookup::Absent);
        assert_eq!(
            store.delete(&long, Selection::All, DeleteOptions::default()).await.unwrap(),
            Deleted::default()
        );
        assert!(store.list(ListRequest::new(&long)).await.unwrap().items.is_empty());
    }
    let above = record(&key("v"), i64::MAX.cast_unsigned() + 1, b"s");
    let error = store.put(vec![above], PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(all_keys(&store, KeysRequest::new()).await, [longest], "nothing else was stored");
    db.close().await;
}

#[tokio::test]
async fn a_batch_beyond_one_statement_is_still_all_or_nothing() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let payload = vec![7; 12 << 20];
    let records: Vec<_> = (1..=5).map(|v| record(&key("big"), v, &payload)).collect();
    let outcomes = store.put(records.clone(), PutOptions::default()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored; 5]);
    let found = store.get(Query::latest(&key("big"), GENERATION)).await.unwrap().into_record();
    assert_eq!(found.as_ref(), records.last());
    // The last statement of the batch fails: version 3 of "b" is refused by a rule.
    db.run("ALTER TABLE {schema}.snapfold_snapshots ADD CHECK (id <> 'b' OR version <> 3)").await;
    let records = (1..=3).map(|v| record(&key("b"), v, &payload)).collect();
    let error = store.put(records, PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    let found = store.get(Query::latest(&key("b"), GENERATION)).await.unwrap();
    assert_eq!(found, Lookup::Absent);
    db.close().await;
}

#[tokio::test]
async fn a_record_is_refused_above_the_limit_and_kept_at_one_byte() {
    let db = TestDb::new().await;
    let options = PostgresOptions::new().schema(&db.schema).max_record_bytes(1_000);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    let small = record(&key("a"), 1, b"s");
    store.put(vec![small.clone()], PutOptions::default()).await.unwrap();
    let found = store.get(Query::latest(&key("a"), GENERATION)).await.unwrap();
    assert_eq!(found.into_record(), Some(small));
    let error = store.put(vec![record(&key("a"), 2, &[0; 1_000])], PutOptions::default()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    let too_much = options.max_record_bytes(500 << 20);
    let error = PostgresStore::with_options(db.pool.clone(), &too_much).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    db.close().await;
}

#[tokio::test]
async fn listing_reads_no_payload() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let records = (1..=20).map(|v| record(&key("a"), v, &vec![9; 100_000])).collect();
    store.put(records, PutOptions::default()).await.unwrap();
    // On a single connection, so that its counters can be flushed.
    let pool = PgPoolOptions::new().max_connections(1).connect_with(db.options.clone());
    let pool = pool.await.unwrap();
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
    let toast = "SELECT reltoastrelid::int8 FROM pg_class WHERE oid = \
                 '{schema}.snapfold_snapshots'::regclass";
    let toast = db.number(toast).await;
    let blocks = async || -> i64 {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&pool).await.unwrap();
        sqlx::query_scalar("SELECT pg_stat_get_blocks_fetched($1::oid)")
            .bind(sqlx::postgres::types::Oid(u32::try_from(toast).unwrap()))
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let before = blocks().await;
    let page = store.list(ListRequest::new(&key("a"))).await.unwrap();
    assert_eq!(page.items.len(), 20);
    assert!(page.items[0].stored_bytes > 100_000);
    assert_eq!(blocks().await, before);
    assert!(matches!(store.get(Query::latest(&key("a"), GENERATION)).await, Ok(Lookup::Found(_))));
    assert!(blocks().await > before, "reading a payload does show");
    let deleted =
        store.delete(&key("a"), Selection::Below(5), DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted.snapshots, 4);
    db.close().await;
}

#[tokio::test]
async fn a_damaged_row_is_found_as_it_is_and_left_out_of_lists() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let records = (1..=8).map(|v| record(&key("a"), v, b"state")).collect();
    store.put(records, PutOptions::default()).await.unwrap();
    db.tamper("UPDATE {schema}.snapfold_snapshots SET header = '\\x00' WHERE version > 2").await;
    let found = store.get(Query::latest(&key("a"), GENERATION)).await.unwrap();
    assert_eq!(found.into_record().unwrap().as_bytes(), b"\0state");
    // Pages of damaged headers are passed over: none is empty with a continuation.
    let page = store.list(ListRequest::new(&key("a")).limit(2)).await.unwrap();
    let versions: Vec<_> = page.items.iter().map(|meta| meta.version).collect();
    assert_eq!((versions, page.next), (vec![2, 1], None));
    db.close().await;
}

#[tokio::test]
async fn a_table_name_with_quotes_and_sql_in_it_is_just_a_name() {
    let db = TestDb::new().await;
    db.run("CREATE TABLE {schema}.victim (id int)").await;
    let table = "t\"; DROP TABLE victim; --'$$";
    let options = PostgresOptions::new().schema(&db.schema).table(table);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store.put(vec![record(&key("a"), 1, b"s")], PutOptions::default()).await.unwrap();
    assert_eq!(all_keys(&store, KeysRequest::new()).await, [key("a")]);
    assert_eq!(store.prune(&key("a"), 1).await.unwrap(), Deleted::default());
    assert_eq!(db.number("SELECT count(*) FROM {schema}.victim").await, 0);
    store.migrations().run_to(0).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_schema_with_quotes_in_its_name_is_made_when_missing() {
    let db = TestDb::new().await;
    let schema = format!("{}'\"x", db.schema);
    let options = PostgresOptions::new().schema(&schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store.put(vec![record(&key("a"), 1, b"s")], PutOptions::default()).await.unwrap();
    db.run(&format!("DROP SCHEMA \"{}\" CASCADE", schema.replace('"', "\"\""))).await;
    db.close().await;
}

#[tokio::test]
async fn migrations_run_forward_and_back_from_many_nodes_at_once() {
    let db = TestDb::new().await;
    let options = PostgresOptions::new().schema(&db.schema);
    let nodes: Vec<_> =
        (0..8).map(|_| PostgresStore::with_options(db.pool.clone(), &options).unwrap()).collect();
    let runs: Vec<_> = nodes
        .iter()
        .map(|node| {
            let migrations = node.migrations();
            tokio::spawn(async move { migrations.run().await })
        })
        .collect();
    let mut fresh = 0;
    for run in runs {
        let before = run.await.unwrap().unwrap();
        fresh += u32::from(before == 0);
        assert!(before == 0 || before == PostgresMigrations::LATEST);
    }
    assert_eq!(fresh, 1, "one node did the work");
    let migrations = nodes[0].migrations();
    nodes[0].check().await.unwrap();
    for target in (0..PostgresMigrations::LATEST).rev() {
        migrations.run_to(target).await.unwrap();
        assert_eq!(migrations.current().await.unwrap(), target);
        assert_eq!(nodes[0].check().await.unwrap_err().kind(), ErrorKind::Store);
    }
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace";
    assert_eq!(db.number(left).await, 0, "nothing is left");
    let left = "SELECT count(*) FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace";
    assert_eq!(db.number(left).await, 0, "no function is left");
    for target in 1..=PostgresMigrations::LATEST {
        migrations.run_to(target).await.unwrap();
    }
    nodes[0].check().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_and_left_alone() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    db.run("INSERT INTO {schema}.snapfold_snapshots_migrations VALUES (99)").await;
    let migrations = store.migrations();
    for error in [
        store.check().await.unwrap_err(),
        migrations.run().await.unwrap_err(),
        migrations.run_to(0).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("99"), "{error}");
    }
    assert_eq!(migrations.current().await.unwrap(), 99);
    let error = migrations.run_to(PostgresMigrations::LATEST + 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    db.close().await;
}

#[tokio::test]
async fn a_snapshot_commits_and_rolls_back_with_the_callers_transaction() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let query_key = key("a");
    let query = Query::latest(&query_key, GENERATION);
    for commit in [false, true] {
        let mut transaction = db.pool.begin().await.unwrap();
        let records = vec![record(&key("a"), 1, b"s")];
        let outcomes =
            store.put_in(&mut transaction, records, PutOptions::default()).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Stored]);
        assert_eq!(store.get(query).await.unwrap(), Lookup::Absent, "not committed yet");
        let found = store.get_in(&mut transaction, query).await.unwrap();
        assert!(matches!(found, Lookup::Found(_)));
        if commit {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        assert_eq!(matches!(store.get(query).await.unwrap(), Lookup::Found(_)), commit);
    }
    let mut transaction = db.pool.begin().await.unwrap();
    let mark = Mark::pin("audit", Timestamp::from_seconds(1));
    let (a, change) = (key("a"), MarkChange::Set(&mark));
    let pinned = store.mark_in(&mut transaction, &a, Selection::All, change).await.unwrap();
    let plain = DeleteOptions::default();
    let spared = store.delete_in(&mut transaction, &a, Selection::All, plain).await.unwrap();
    assert_eq!((pinned, spared), (1, Deleted::default().kept(1, 0)));
    let overrule = plain.overrule_pins(true);
    let deleted = store.delete_in(&mut transaction, &a, Selection::All, overrule).await.unwrap();
    assert_eq!(deleted.snapshots, 1);
    drop(transaction);
    assert!(matches!(store.get(query).await.unwrap(), Lookup::Found(_)));
    db.close().await;
}

#[tokio::test]
async fn a_prune_keeps_the_newest_of_each_generation_and_what_is_pinned() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let keys: Vec<_> = (0..7).map(|n| key(&format!("k{n}\0"))).collect();
    let mut records = Vec::new();
    for key in &keys {
        for version in 1..=6 {
            records.push(record(key, version, b"one"));
            let other = Generation { schema_version: 2, fingerprint: u64::MAX };
            let at = Timestamp::from_seconds(0);
            let builder = RecordBuilder::new(key.clone(), other, version, at);
            records.push(builder.build(b"two").unwrap());
        }
    }
    let bytes_of_one = records.iter().map(|r| r.as_bytes().len() as u64).sum::<u64>() / 7;
    store.put(records, PutOptions::default()).await.unwrap();
    let pin = Mark::pin("audit", Timestamp::from_seconds(1));
    let generation = Generation { schema_version: 2, fingerprint: u64::MAX };
    for key in &keys {
        let ids = [SnapshotId { generation, version: 2 }];
        store.mark(key, Selection::Ids(&ids), MarkChange::Set(&pin)).await.unwrap();
    }
    // Nobody's to prune.
    let document = AggregateKey::from_stored("", "snapfold.lease", "a").unwrap();
    let of_it = (1..=5).map(|version| record(&document, version, b"held")).collect();
    store.put(of_it, PutOptions::default()).await.unwrap();
    assert_eq!(store.prune(&document, 1).await.unwrap(), Deleted::default());
    // 12 snapshots of each key; kept are 2 of each generation and the pinned one.
    let pruned = store.prune(&keys[0], 2).await.unwrap();
    assert_eq!(pruned.snapshots, 7);
    assert!(pruned.bytes > 0 && pruned.bytes < bytes_of_one);
    let left = store.list(ListRequest::new(&keys[0])).await.unwrap().items;
    let left: Vec<_> = left.iter().map(|m| (m.generation.schema_version, m.version)).collect();
    assert_eq!(left, [(2, 6), (1, 6), (2, 5), (1, 5), (2, 2)]);
    let mut after = None;
    let (mut snapshots, mut seen) = (0, 0);
    loop {
        let progress = store.prune_chunk(after.as_ref(), 2, 3).await.unwrap();
        snapshots += progress.deleted.snapshots;
        seen += progress.aggregates;
        match progress.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((snapshots, seen), (6 * 7, 7));
    assert_eq!(store.prune_all(2).await.unwrap(), Deleted::default());
    assert_eq!(store.prune_all(0).await.unwrap().snapshots, 7 * 2, "0 is taken for 1");
    assert_eq!(store.list(ListRequest::new(&document)).await.unwrap().items.len(), 5);
    db.close().await;
}

#[tokio::test]
async fn a_prune_counts_retired_ones_last_and_keeps_the_bases_of_deltas() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let retired = Mark::retirement("wrong fold", Timestamp::from_seconds(1));
    for aggregate in ["one", "chunk", "all"] {
        let key = key(aggregate);
        let mut records: Vec<_> = (1..=6).map(|v| record(&key, v, b"s")).collect();
        let at = Timestamp::from_seconds(0);
        let delta = RecordBuilder::new(key.clone(), GENERATION, 4, at);
        records[3] = delta.base(Base { version: 2, checksum: 1 }).build(b"d").unwrap();
        store.put(records, PutOptions::default()).await.unwrap();
        let ids = [5, 6].map(|version| SnapshotId { generation: GENERATION, version });
        store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&retired)).await.unwrap();
        match aggregate {
            "one" => drop(store.prune(&key, 2).await.unwrap()),
            "chunk" => drop(store.prune_chunk(None, 2, 100).await.unwrap()),
            _ => drop(store.prune_all(2).await.unwrap()),
        }
        let left = store.list(ListRequest::new(&key)).await.unwrap().items;
        let left: Vec<_> = left.iter().map(|meta| meta.version).collect();
        assert_eq!(left, [4, 3, 2], "{aggregate}");
    }
    db.close().await;
}

#[tokio::test]
async fn pins_of_an_earlier_release_become_marks_and_go_back() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let (a, migrations) = (key("a"), store.migrations());
    store.put(vec![record(&a, 1, b"s"), record(&a, 2, b"s")], PutOptions::default()).await.unwrap();
    migrations.run_to(3).await.unwrap();
    db.run("UPDATE {schema}.snapfold_snapshots SET pinned = version = 1, created_at = 5000000")
        .await;
    migrations.run().await.unwrap();
    let items = store.list(ListRequest::new(&a)).await.unwrap().items;
    assert!(!items[0].is_pinned());
    assert_eq!(*items[1].marks, [Mark::pin("pinned", Timestamp::from_seconds(5))]);
    migrations.run_to(3).await.unwrap();
    let pinned =
        "SELECT string_agg(version::text, '') FROM {schema}.snapfold_snapshots WHERE pinned";
    let pinned = pinned.replace("{schema}", &db.schema);
    let pinned: String =
        sqlx::query_scalar(sqlx::AssertSqlSafe(pinned)).fetch_one(&db.pool).await.unwrap();
    assert_eq!(pinned, "1");
    db.close().await;
}

#[tokio::test]
async fn two_nodes_that_put_the_same_snapshots_agree_on_one_of_each() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let tasks: Vec<_> = (0..6_u8)
        .map(|node| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut stored = 0;
                for round in 0..20_u64 {
                    let mut records: Vec<_> = (1..=20)
                        .map(|v| record(&key(&format!("k{round}")), v, &[node % 2]))
                        .collect();
                    // Each node in another order: nothing may deadlock.
                    records.rotate_left(usize::from(node) * 3);
                    for outcome in store.put(records, PutOptions::default()).await.unwrap() {
                        stored += u64::from(outcome == PutOutcome::Stored);
                    }
                }
                stored
            })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
    }
    assert_eq!(stored, 400, "each snapshot was stored by exactly one node");
    assert_eq!(db.number("SELECT count(*) FROM {schema}.snapfold_snapshots").await, 400);
    db.close().await;
}

/// Writers of every kind share rows of several aggregates.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deletes_of_many_keys_wait_for_other_writers_and_do_not_deadlock() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_usize {
        let store = store.clone();
        tasks.spawn(async move {
            let mut choose = Chooser(task as u64 + 100);
            for _ in 0..150 {
                let keys: Vec<_> = (0..6).map(|n| key(&format!("d{n}"))).collect();
                let mut order: Vec<usize> = (0..6).collect();
                for n in 0..6 {
                    order.swap(n, choose.below(6));
                }
                let ids: Vec<_> = (0..20)
                    .map(|_| SnapshotId {
                        generation: GENERATION,
                        version: 1 + choose.below(12) as u64,
                    })
                    .collect();
                let result = match task % 4 {
                    0 | 1 => {
                        let deletes: Vec<_> = order.iter().map(|n| (&keys[*n], &ids[..])).collect();
                        store.delete_many(&deletes, DeleteOptions::default()).await.map(drop)
                    }
                    2 => {
                        let mut records = Vec::new();
                        for n in &order {
                            for id in &ids {
                                records.push(record(&keys[*n], id.version, b"x"));
                            }
                        }
                        store
                            .put(records, PutOptions::default().replace(choose.below(2) == 0))
                            .await
                            .map(drop)
                    }
                    _ => {
                        let mark = Mark::pin("a", Timestamp::from_seconds(1));
                        let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "a" };
                        let change =
                            if choose.below(2) == 0 { MarkChange::Set(&mark) } else { clear };
                        store.mark(&keys[order[0]], Selection::Ids(&ids), change).await.map(drop)
                    }
                };
                // A deadlock would fail one of the calls.
                result.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    db.close().await;
}
