//! An application that has events in a table of its own gets snapshots. Nothing about the table or
//! about how it is written changes.
//!
//! Run it with `cargo run --example existing_event_store`. It keeps events in a database
//! file and snapshots in files, both in a temporary directory.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use snapfold::events::Recorded;
use snapfold::file::FileStore;
use snapfold::{
    Aggregate, AggregateKey, BoxError, EventRange, EventSource, Replay, SnapshotEngine, Timestamp,
};

// ---- What the application has: events, a table, and a fold

#[derive(Serialize, Deserialize)]
enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

/// The table of events.
#[derive(Clone)]
struct Table(Arc<Mutex<Connection>>);

enum Append {
    Done,
    /// Somebody else has appended meanwhile.
    Conflict,
}

impl Table {
    fn open(path: &Path) -> Result<Self, BoxError> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS events (
                 account TEXT NOT NULL,
                 number INTEGER NOT NULL, -- 1, 2, 3, ... within the account
                 at INTEGER NOT NULL,     -- microseconds since 1970
                 data TEXT NOT NULL,      -- JSON
                 PRIMARY KEY (account, number)
             ) WITHOUT ROWID;",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Connection>, BoxError> {
        self.0.lock().map_err(|_| "another thread has panicked at the table".into())
    }

    /// Appends events after the one with the number `expected`.
    fn append(
        &self,
        account: &str,
        expected: u64,
        at: Timestamp,
        events: &[AccountEvent],
    ) -> Result<Append, BoxError> {
        let mut connection = self.lock()?;
        let transaction = connection.transaction()?;
        for (number, event) in (expected + 1..).zip(events) {
            let row = params![account, number, at.as_micros(), serde_json::to_string(event)?];
            match transaction.execute("INSERT INTO events VALUES (?1, ?2, ?3, ?4)", row) {
                Ok(_) => {}
                Err(error)
                    if error.sqlite_error_code()
                        == Some(rusqlite::ErrorCode::ConstraintViolation) =>
                {
                    return Ok(Append::Conflict);
                }
                Err(error) => return Err(error.into()),
            }
        }
        transaction.commit()?;
        Ok(Append::Done)
    }
}

// ---- What snapfold needs: how events are folded, and how they are read

impl Aggregate for Account {
    type Event = AccountEvent;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Account { owner: String::new(), cents: 0 }
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner.clone_from(owner),
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

/// One query reads so many events.
const PAGE: u64 = 1_000;

#[async_trait]
impl EventSource<Account> for Table {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        let mut after = range.after;
        loop {
            // SQLite has signed numbers only.
            let until = range.until.min(i64::MAX.cast_unsigned());
            let connection = self.lock()?;
            let mut query = connection.prepare_cached(
                "SELECT number, at, data FROM events
                 WHERE account = ?1 AND number > ?2 AND number <= ?3 ORDER BY number LIMIT ?4",
            )?;
            let mut rows = query.query(params![key.id(), after, until, PAGE])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let (number, at) = (row.get(0)?, Timestamp::from_micros(row.get(1)?));
                let data = row.get_ref(2)?.as_str()?;
                let recorded = Recorded::new(number, at, data);
                if replay.push_encoded(recorded, |data| serde_json::from_str(data))?.is_break() {
                    return Ok(());
                }
                (after, count) = (number, count + 1);
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }

    // Not needed, but then the engine finds out if a read ends too early.
    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        let connection = self.lock()?;
        let last = connection
            .query_row("SELECT max(number) FROM events WHERE account = ?1", [key.id()], |row| {
                row.get::<_, Option<u64>>(0)
            })
            .optional()?;
        Ok(Some(last.flatten().unwrap_or(0)))
    }
}

// ---- The application, with snapshots

type Engine = SnapshotEngine<Account>;

/// A command: load, decide, append, say so.
async fn withdraw(
    engine: &Engine,
    table: &Table,
    account: &AggregateKey,
    cents: i64,
) -> Result<i64, BoxError> {
    for _ in 0..5 {
        let loaded = engine.load(account).await?;
        if loaded.state.cents < cents {
            return Err(
                format!("{} has only {} cents", loaded.state.owner, loaded.state.cents).into()
            );
        }
        let now = Timestamp::from(std::time::SystemTime::now());
        let events = [AccountEvent::Withdrawn { cents }];
        match table.append(account.id(), loaded.version, now, &events)? {
            Append::Done => {
                engine.committed(&loaded, loaded.version + 1);
                return Ok(loaded.state.cents - cents);
            }
            Append::Conflict => {}
        }
    }
    Err("others change this account all the time: try again later".into())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let directory = tempfile::tempdir()?;
    let table = Table::open(&directory.path().join("events.db"))?;

    // Years of events that were there before.
    let noon: Timestamp = "2020-01-01T12:00:00Z".parse()?;
    let mut history = vec![AccountEvent::Opened { owner: "Alice".into() }];
    history.extend((0..20_000).map(|n| AccountEvent::Deposited { cents: n % 7 }));
    table.append("alice", 0, noon, &history)?;

    let store = FileStore::open(directory.path().join("snapshots"))?;
    let engine = Engine::builder(table.clone(), store.clone()).build()?;
    let alice = Account::key("alice")?;

    let first = engine.load(&alice).await?;
    println!("the first load:  {} cents, {}", first.state.cents, first.provenance);

    // The first command finds that a snapshot is due. It does not wait for it.
    println!("after a command: {} cents", withdraw(&engine, &table, &alice, 1_000).await?);
    engine.flush(Duration::from_secs(10)).await?;
    println!("after another:   {} cents", withdraw(&engine, &table, &alice, 500).await?);

    let loaded = engine.load(&alice).await?;
    println!("the next load:   {} cents, {}", loaded.state.cents, loaded.provenance);
    let before = engine.at_version(&alice, 20_001).await?;
    println!("before them:     {} cents, {}", before.state.cents, before.provenance);
    assert_eq!(before.state.cents - loaded.state.cents, 1_500);

    if let Err(why) = withdraw(&engine, &table, &alice, i64::MAX).await {
        println!("too much:        {why}");
    }

    engine.flush(Duration::from_secs(10)).await?;
    store.close()?;
    Ok(())
}
