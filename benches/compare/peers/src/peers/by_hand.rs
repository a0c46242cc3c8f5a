use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row, raw_sql};

use crate::account::{Account, Event, Subject};
use crate::peer::Peer;

/// What somebody writes for one table and one state: one statement a load, nothing is checked.
/// Less than this is not possible with the same client and encodings.
pub struct ByHand {
    pool: PgPool,
}

const LOAD: &str = "\
    WITH s AS MATERIALIZED ( \
        SELECT version, payload FROM snapshots WHERE id = $1 ORDER BY version DESC LIMIT 1) \
    SELECT 0::int2, version, payload, NULL FROM s \
    UNION ALL \
    (SELECT 1::int2, version, NULL, payload FROM events \
     WHERE id = $1 AND version > coalesce((SELECT version FROM s), 0) ORDER BY version)";

impl ByHand {
    pub async fn connect(url: &str) -> Self {
        let pool = PgPoolOptions::new().test_before_acquire(false).connect(url).await.unwrap();
        let tables = "
            CREATE TABLE IF NOT EXISTS events (id text NOT NULL, version bigint NOT NULL,
                payload json NOT NULL, PRIMARY KEY (id, version));
            CREATE TABLE IF NOT EXISTS snapshots (id text NOT NULL, version bigint NOT NULL,
                payload bytea NOT NULL, PRIMARY KEY (id, version));
            ALTER TABLE snapshots ALTER COLUMN payload SET STORAGE EXTERNAL";
        raw_sql(tables).execute(&pool).await.unwrap();
        Self { pool }
    }

    async fn append(&self, id: &str, first: u64, events: &[Event]) {
        let versions: Vec<_> = (first as i64..).take(events.len()).collect();
        let payloads: Vec<_> = events.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        let sql = "INSERT INTO events SELECT $1, version, payload::json \
                   FROM unnest($2::bigint[], $3::text[]) AS new (version, payload)";
        sqlx::query(sql).bind(id).bind(versions).bind(payloads).execute(&self.pool).await.unwrap();
    }

    async fn save(&self, id: &str, version: u64, account: &Account) {
        let payload = lz4_flex::compress_prepend_size(&postcard::to_stdvec(account).unwrap());
        sqlx::query("INSERT INTO snapshots VALUES ($1, $2, $3)")
            .bind(id)
            .bind(version as i64)
            .bind(payload)
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

#[async_trait]
impl Peer for ByHand {
    async fn fill(&mut self, subject: &Subject) {
        let events = subject.events(1..=subject.len());
        for (chunk, events) in events.chunks(10_000).enumerate() {
            self.append(&subject.id, chunk as u64 * 10_000 + 1, events).await;
        }
        self.save(&subject.id, subject.at, &subject.folded(subject.at)).await;
    }

    async fn replay(&mut self, id: &str) -> Account {
        let sql = "SELECT payload FROM events WHERE id = $1 ORDER BY version";
        let mut account = Account::default();
        for row in sqlx::query(sql).bind(id).fetch_all(&self.pool).await.unwrap() {
            let payload: sqlx::types::Json<Event> = row.get(0);
            account.apply(&payload.0);
        }
        account
    }

    async fn load(&mut self, id: &str) -> Account {
        let mut account = Account::default();
        for row in sqlx::query(LOAD).bind(id).fetch_all(&self.pool).await.unwrap() {
            if row.get::<i16, _>(0) == 0 {
                let raw = lz4_flex::decompress_size_prepended(row.get(2)).unwrap();
                account = postcard::from_bytes(&raw).unwrap();
            } else {
                let payload: sqlx::types::Json<Event> = row.get(3);
                account.apply(&payload.0);
            }
        }
        account
    }

    /// Whoever writes it by hand saves the snapshot after the commit, and waits.
    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let began = Instant::now();
        let mut account = self.load(id).await;
        let version = account.count + 1;
        sqlx::query("INSERT INTO events VALUES ($1, $2, $3)")
            .bind(id)
            .bind(version as i64)
            .bind(sqlx::types::Json(&event))
            .execute(&self.pool)
            .await
            .unwrap();
        let is_due = version % 10 == 0;
        if is_due {
            account.apply(&event);
            self.save(id, version, &account).await;
        }
        (began.elapsed(), is_due)
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(payload)::bigint, pg_column_size(s.*)::bigint FROM snapshots s \
         WHERE id = $1 ORDER BY version LIMIT 1"
    }
}
