//! `PostgresStore` under the kit: each site is a schema.
//!
//! The level of durability runs on a server of its own, which syncs what it commits: a crash is its
//! death by SIGKILL, and another start. All else runs on the server that the tests share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::conformance::{Conformance, Level, Site, StoreFactory};
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::postgres_support::{Cluster, TestDb};

/// On a server of our own, or on the shared one.
struct Schemas(Option<Arc<Mutex<Cluster>>>);

#[async_trait]
impl StoreFactory for Schemas {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let db = match &self.0 {
            Some(cluster) => {
                let options: PgConnectOptions = cluster.lock().unwrap().url().parse()?;
                TestDb::on(options).await
            }
            None => TestDb::new().await,
        };
        Ok(Box::new(Schema { cluster: self.0.clone(), db }))
    }
}

struct Schema {
    cluster: Option<Arc<Mutex<Cluster>>>,
    db: TestDb,
}

impl Schema {
    fn pool(&self) -> PgPool {
        // The kit has up to ten tasks at once, and cuts calls off, which closes connections.
        PgPoolOptions::new()
            .max_connections(6)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(20))
            .connect_lazy_with(self.db.options.clone())
    }

    /// Flips a bit of a column of the one row of a snapshot.
    async fn flip(&self, column: &str, at: &str, key: &AggregateKey, id: SnapshotId) -> bool {
        let sql = format!(
            "UPDATE {}.snapfold_snapshots SET {column} = \
             set_byte({column}, {at}, get_byte({column}, {at}) # 4), \
             replacements = replacements + 1 \
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND version = $4 AND schema_version = $5",
            self.db.schema
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(key.tenant())
            .bind(key.kind())
            .bind(key.id())
            .bind(i64::try_from(id.version).unwrap())
            .bind(i64::from(id.generation.schema_version))
            .execute(&self.db.pool)
            .await;
        done.unwrap().rows_affected() == 1
    }
}

#[async_trait]
impl Site for Schema {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        let options = PostgresOptions::new().schema(&self.db.schema).max_record_bytes(20 << 20);
        let store = PostgresStore::with_options(self.pool(), &options)?;
        store.migrations().run().await?;
        Ok(Arc::new(store))
    }

    async fn crash(&mut self) -> Result<bool, BoxError> {
        {
            let Some(cluster) = &self.cluster else { return Ok(false) };
            let mut cluster = cluster.lock().unwrap();
            cluster.kill();
            cluster.restart();
        }
        // Its connections died with the server.
        self.db.pool.close().await;
        self.db.pool = self.pool();
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        Ok(self.flip("payload", "length(payload) / 2", key, id).await)
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        // In the fingerprint, which the checksum of the header covers.
        Ok(self.flip("header", "18", key, id).await)
    }

    async fn fail_writes(&mut self, failing: bool) -> Result<bool, BoxError> {
        // One row in the middle of the batch is refused.
        let sql = if failing {
            "ALTER TABLE {schema}.snapfold_snapshots ADD CONSTRAINT odd CHECK (version <> 5)"
        } else {
            "ALTER TABLE {schema}.snapfold_snapshots DROP CONSTRAINT odd"
        };
        self.db.run(sql).await;
        Ok(true)
    }
}

async fn prove(schemas: &Schemas, level: impl Fn(Conformance<'_>) -> Conformance<'_>) {
    let card = level(Conformance::of(schemas)).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.store_name(), "postgres");
    // The server may still finish a put that it received before its caller gave up. All else that
    // the kit can use is offered.
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let known = |needs: &&str| {
        // Only a server of our own can crash.
        *needs == "Capabilities::ordered_deletes" || *needs == "Site::crash"
    };
    assert!(missing.iter().all(known), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store_keeps_every_promise() {
    prove(&Schemas(None), |kit| kit.without(Level::Durable).scale(5_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store_survives_crashes_of_the_server() {
    let cluster = Arc::new(Mutex::new(Cluster::start(true)));
    prove(&Schemas(Some(cluster)), |kit| kit.only(Level::Durable).and(Level::Marks)).await;
}
