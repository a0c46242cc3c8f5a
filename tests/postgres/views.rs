//! The views show people and reporting tools what is stored: whatever a row contains, a query of
//! all rows succeeds, and a connection bound to one tenant sees its own rows only.

use crate::ledger_support::{at, key};
use crate::support::TestDb;
use snapfold::codec::{CodecId, Compression, Seal, SealContext, Sealed};
use snapfold::ledger::{AuditEntry, AuditOutcome, Ledger, StoreLedger};
use snapfold::postgres::{PostgresOptions, PostgresStore, TenantBinding};
use snapfold::record::{Base, Generation, RecordBuilder};
use snapfold::store::{Mark, MarkChange, PutOptions, Selection};
use snapfold::{AggregateKey, BoxError, SnapshotStore, Timestamp};
use sqlx::{AssertSqlSafe, Executor, Row};

const GENERATION: Generation = Generation { schema_version: 3, fingerprint: 7 };

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

/// The rows of a query whose columns are all text, with `-` for NULL, separated by `|`.
async fn rows(db: &TestDb, sql: &str) -> Vec<String> {
    let sql = format!("SET TIME ZONE 'UTC'; {}", sql.replace("{schema}", &db.schema));
    let mut connection = db.pool.acquire().await.unwrap();
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    let column = |row: &sqlx::postgres::PgRow, at| {
        row.try_get_unchecked::<Option<String>, _>(at).unwrap().unwrap_or_else(|| "-".to_owned())
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|at| column(row, at)).collect::<Vec<_>>().join("|"))
        .collect()
}

fn json(id: &str) -> RecordBuilder {
    RecordBuilder::new(key("t", id), GENERATION, 9, at(5)).codec(CodecId::JSON)
}

/// A seal whose sealed bytes are JSON themselves.
#[derive(Debug)]
struct Envelope;

impl Seal for Envelope {
    fn seal(&self, _: SealContext<'_>, _: &[u8]) -> Result<Sealed, BoxError> {
        Ok(Sealed::new("k1", br#"{"sealed":1}"#))
    }

    fn open(&self, _: SealContext<'_>, _: &str, _: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(Some(br#"{"secret":1}"#.to_vec()))
    }
}

#[tokio::test]
async fn a_snapshot_is_shown_as_people_read_it() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let one = json("a").created_at(Timestamp::from_micros(1_700_000_000_123_456));
    let one = one.build(br#"{"owner":"ada","cents":5}"#).unwrap();
    let other = RecordBuilder::new(key("t", "b"), GENERATION, 9, at(5)).build(b"s").unwrap();
    let bytes = one.as_bytes().len();
    store.put(vec![one, other], PutOptions::default()).await.unwrap();
    for mark in [
        Mark::pin("release", at(7)).actor("ada").note("before the audit"),
        Mark::pin("legal", at(8)).actor("bob").note("case 5"),
        Mark::retirement("bug", at(60)).actor("eve").note("wrong sum"),
        Mark::retirement("again", at(61)).actor("ada").note("see bug"),
    ] {
        store.mark(&key("t", "a"), Selection::All, MarkChange::Set(&mark)).await.unwrap();
    }
    // The documents of a ledger are none of the application's snapshots.
    let documents = StoreLedger::new(std::sync::Arc::new(store.clone()));
    documents.append(&AuditEntry::new(at(0), "a", "b")).await.unwrap();
    let shown = rows(
        &db,
        "SELECT tenant, kind, id, version, schema_version, fingerprint, as_of, created_at, status, \
           pinned, pinned_by, pin_reasons, retired, retired_by, retirement_reasons, retired_at, \
           codec, base_version, raw_bytes, replacements, replaced_at, state, state ->> 'owner' \
         FROM {schema}.snapfold_snapshots_view ORDER BY id",
    )
    .await;
    let first = "t|account|a|9|3|0000000000000007|1970-01-01 00:00:05+00|\
         2023-11-14 22:13:20.123456+00|retired|t|bob, ada|case 5, before the audit|t|ada, eve|\
         see bug, wrong sum|1970-01-01 00:01:00+00|json|-|25|0|-|{\"cents\": 5, \"owner\": \"ada\"}|ada";
    let second = "t|account|b|9|3|0000000000000007|1970-01-01 00:00:05+00|1970-01-01 00:00:00+00|active|\
         f|-|-|f|-|-|-|postcard|-|1|0|-|-|-";
    assert_eq!(shown, [first, second]);
    let sizes = "SELECT header_bytes + payload_bytes FROM {schema}.snapfold_snapshots_view \
         WHERE pins ->> 'legal' <> '' AND retirements ->> 'bug' <> ''";
    assert_eq!(rows(&db, sizes).await, [bytes.to_string()]);
    db.close().await;
}

#[tokio::test]
async fn only_plain_json_is_shown_as_a_state_and_no_row_makes_a_query_fail() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let long = format!(r#"{{"text":"{}"}}"#, "again and ".repeat(200));
    let extended = json("extended").label("l").label("m").anchor(b"\xff\x00".to_vec()).origin("o");
    let long_key = "i".repeat(300);
    let records = vec![
        json("plain").build(b"[1,2]").unwrap(),
        extended.build(b"{}").unwrap(),
        json(&long_key).build(long.as_bytes()).unwrap(),
        json("compressed").compression(Compression::lz4()).build(long.as_bytes()).unwrap(),
        json("sealed").seal(Envelope).build(br#"{"secret":1}"#).unwrap(),
        json("delta").base(Base { version: 1, checksum: 1 }).build(long.as_bytes()).unwrap(),
        json("nul").build(br#"{"a":"\u0000"}"#).unwrap(),
        json("no utf8").build(b"\"\xff\"").unwrap(),
        json("no json").build(b"{").unwrap(),
        json("empty").build(b"").unwrap(),
        json("deep").build("[".repeat(1_000_000).as_bytes()).unwrap(),
        json("damaged header").build(b"{}").unwrap(),
        json("other codec").codec(CodecId::custom(5)).build(b"{}").unwrap(),
    ];
    let compressed = records[3].header().unwrap();
    assert!(compressed.payload_bytes < 1_000, "it is compressed");
    let count = records.len();
    store.put(records, PutOptions::default()).await.unwrap();
    db.tamper(
        "UPDATE {schema}.snapfold_snapshots SET header = '\\xffffff01ffffffffff' \
         WHERE id = 'damaged header'",
    )
    .await;
    let shown = rows(
        &db,
        "SELECT left(id, 10), codec, left(state::text, 20) FROM {schema}.snapfold_snapshots_view \
         WHERE state IS NOT NULL OR codec <> 'json' ORDER BY id",
    )
    .await;
    let expected = [
        "extended|json|{}",
        "iiiiiiiiii|json|{\"text\": \"again and ",
        "other code|custom codec 5|-",
        "plain|json|[1, 2]",
    ];
    assert_eq!(shown, expected);
    let all = "SELECT count(*) FROM {schema}.snapfold_snapshots_view";
    assert_eq!(db.number(all).await, i64::try_from(count).unwrap());
    db.close().await;
}

#[tokio::test]
async fn times_beyond_what_the_server_can_show_are_no_error() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let micros =
        [i64::MIN, -210_866_803_200_000_001, -210_866_803_200_000_000, -1, 253_402_300_799_999_999];
    for (at, version) in micros.into_iter().chain([i64::MAX]).zip(1..) {
        let key = AggregateKey::new("k", "a").unwrap();
        let at = Timestamp::from_micros(at);
        let builder = RecordBuilder::new(key, GENERATION, version, at).created_at(at);
        store.put(vec![builder.build(b"").unwrap()], PutOptions::default()).await.unwrap();
    }
    let shown = "SELECT as_of FROM {schema}.snapfold_snapshots_view WHERE as_of = created_at \
         ORDER BY version";
    let shown = rows(&db, shown).await;
    let expected = [
        "-infinity",
        "-infinity",
        "4714-11-24 00:00:00+00 BC",
        "1969-12-31 23:59:59.999999+00",
        "9999-12-31 23:59:59.999999+00",
    ];
    assert_eq!(shown[..5], expected);
    assert!(shown[5].starts_with("294247-01-10 04:00:5"), "{shown:?}");
    db.close().await;
}

#[tokio::test]
async fn an_audit_trail_is_shown_with_times_and_found_by_actor() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let about = AuditEntry::new(Timestamp::from_micros(1_700_000_000_000_001), "ada", "delete")
        .about(key("t", "a"))
        .version(7)
        .reason("asked for")
        .meta(r#"{"ticket":5}"#)
        .idempotency("i1");
    let failed = AuditEntry::new(at(0), "bob", "prune")
        .in_tenant("t")
        .meta("no json")
        .outcome(AuditOutcome::failed("Store", "it is full"));
    store.append_all(&[about, failed]).await.unwrap();
    let shown = rows(
        &db,
        "SELECT tenant, sequence, at, actor, action, kind, id, version, reason, meta, \
           meta_json ->> 'ticket', idempotency, outcome, failure \
         FROM {schema}.snapfold_snapshots_audit_view ORDER BY sequence",
    )
    .await;
    let expected = [
        "t|1|2023-11-14 22:13:20.000001+00|ada|delete|account|a|7|asked for|{\"ticket\":5}|5|i1|ok|-",
        "t|2|1970-01-01 00:00:00+00|bob|prune|-|-|-||no json|-||Store|it is full",
    ];
    assert_eq!(shown, expected);
    for (index, condition) in [("_audit_actor", "AND left(actor, 48) = 'ada'"), ("_audit_at", "")] {
        let plan = rows(
            &db,
            &format!(
                "SET enable_seqscan = off; SET enable_sort = off; EXPLAIN SELECT * \
                 FROM {{schema}}.snapfold_snapshots_audit WHERE tenant = 't' {condition} \
                 ORDER BY at; RESET ALL"
            ),
        )
        .await;
        let found = plan.iter().any(|line| line.contains(&format!("snapfold_snapshots{index} ")));
        assert!(found, "{plan:#?}");
    }
    db.close().await;
}

/// An index must not refuse an entry that was accepted without it.
#[tokio::test]
async fn the_longest_tenant_and_actor_are_still_stored() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    // Nothing that the server could compress: an index entry may take a third of a page.
    let mut random = fastrand::Rng::with_seed(3);
    let mut text = |characters: usize, from: u32| -> String {
        std::iter::repeat_with(|| char::from_u32(from + random.u32(..0x700)).unwrap())
            .take(characters)
            .collect()
    };
    let tenant = text(600, 0x1_F000);
    let actor = text(250, 0x1_F000);
    assert_eq!((tenant.len(), actor.len()), (2_400, 1_000));
    let entry = AuditEntry::new(at(0), &actor, "b").in_tenant(&tenant);
    assert_eq!(store.append(&entry).await.unwrap(), 1);
    db.close().await;
}

#[tokio::test]
async fn a_view_shows_the_rows_of_the_connections_tenant_only() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    for tenant in ["north", "south"] {
        let record = RecordBuilder::new(key(tenant, "a"), GENERATION, 1, at(0)).build(b"").unwrap();
        owner.put(vec![record], PutOptions::default()).await.unwrap();
        owner.append(&AuditEntry::new(at(0), "a", "b").in_tenant(tenant)).await.unwrap();
    }
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    for view in ["view", "audit_view"] {
        let select = |tenant: &str| {
            format!(
                "BEGIN; SET LOCAL ROLE {role}; SET LOCAL snapfold.tenant = '{tenant}'; \
                 SELECT tenant FROM {{schema}}.snapfold_snapshots_{view}; COMMIT"
            )
        };
        assert_eq!(rows(&db, &select("north")).await, ["north"]);
        assert_eq!(rows(&db, &select("south")).await, ["south"]);
        assert!(rows(&db, &select("")).await.is_empty());
    }
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}
