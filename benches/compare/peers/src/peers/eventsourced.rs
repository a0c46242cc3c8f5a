use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventsourced::binarize::serde_json::SerdeJsonBinarize;
use eventsourced::snapshot_store::{Snapshot, SnapshotStore};
use eventsourced::{Command, CommandEffect, EntityRef, EventSourced, EventSourcedExt};
use eventsourced_postgres::{
    PostgresEventLog, PostgresEventLogConfig, PostgresSnapshotStore, PostgresSnapshotStoreConfig,
};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::account::{Account, Event, Subject};
use crate::peer::Peer;

impl EventSourced for Account {
    type Id = Uuid;
    type Event = Event;
    const TYPE_NAME: &'static str = "account";

    fn handle_event(mut self, event: Event) -> Self {
        self.apply(&event);
        self
    }
}

#[derive(Debug)]
struct Tell;

impl Command<Account> for Tell {
    type Reply = Account;
    type Error = ();

    fn handle_command(self, _: &Uuid, account: &Account) -> CommandEffect<Account, Account, ()> {
        CommandEffect::reply(account.clone())
    }
}

#[derive(Debug)]
struct Append(Event);

impl Command<Account> for Append {
    type Reply = u64;
    type Error = ();

    fn handle_command(self, _: &Uuid, _: &Account) -> CommandEffect<Account, u64, ()> {
        CommandEffect::emit_and_reply(self.0, |account: &Account| account.count)
    }
}

/// For replays: a store without snapshots.
#[derive(Clone)]
struct Nothing;

impl SnapshotStore for Nothing {
    type Id = Uuid;
    type Error = std::convert::Infallible;

    async fn save<S, ToBytes, ToBytesError>(
        &mut self,
        _: &Uuid,
        _: NonZeroU64,
        _: &S,
        _: &ToBytes,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn load<S, FromBytes, FromBytesError>(
        &self,
        _: &Uuid,
        _: FromBytes,
    ) -> Result<Option<Snapshot<S>>, Self::Error> {
        Ok(None)
    }
}

pub struct Eventsourced {
    pool: PgPool,
    log: PostgresEventLog<Uuid>,
    snapshots: PostgresSnapshotStore<Uuid>,
    /// An entity holds its state: only its first command loads.
    entity: Option<(String, EntityRef<Account>)>,
}

pub fn uuid(id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes())
}

impl Eventsourced {
    pub async fn connect(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        let dbname = options.get_database().unwrap().to_owned();
        let log = PostgresEventLogConfig {
            host: host.clone(),
            port,
            user: "postgres".to_owned(),
            password: "none".to_owned(),
            dbname: dbname.clone(),
            sslmode: "disable".to_owned(),
            events_table: "events".to_owned(),
            poll_interval: Duration::from_secs(2),
            id_broadcast_capacity: NonZeroUsize::MIN,
            setup: true,
        };
        let snapshots = PostgresSnapshotStoreConfig {
            host,
            port,
            user: "postgres".to_owned(),
            password: "none".to_owned(),
            dbname,
            sslmode: "disable".to_owned(),
            snapshots_table: "snapshots".to_owned(),
            setup: true,
        };
        Self {
            pool: PgPool::connect(url).await.unwrap(),
            log: PostgresEventLog::new(log).await.unwrap(),
            snapshots: PostgresSnapshotStore::new(snapshots).await.unwrap(),
            entity: None,
        }
    }

    async fn spawn<S>(&self, id: &str, snapshots: S) -> EntityRef<Account>
    where
        S: SnapshotStore<Id = Uuid>,
    {
        let every_tenth = NonZeroU64::new(10);
        Account::default()
            .entity()
            .spawn(
                uuid(id),
                every_tenth,
                NonZeroUsize::MIN,
                self.log.clone(),
                snapshots,
                SerdeJsonBinarize,
            )
            .await
            .unwrap()
    }
}

#[async_trait]
impl Peer for Eventsourced {
    /// It appends one event at a time. Here they are written as it writes them, but at once.
    async fn fill(&mut self, subject: &Subject) {
        let versions: Vec<_> = (1..=subject.len() as i64).collect();
        let events = subject.events(1..=subject.len());
        let events: Vec<_> = events.iter().map(|it| serde_json::to_vec(it).unwrap()).collect();
        let sql = "INSERT INTO events SELECT seq_no, 'account', $1::uuid, event \
                   FROM unnest($2::bigint[], $3::bytea[]) AS new (seq_no, event)";
        let insert =
            sqlx::query(sql).bind(uuid(&subject.id).to_string()).bind(versions).bind(events);
        insert.execute(&self.pool).await.unwrap();
        let state = subject.folded(subject.at);
        let at = NonZeroU64::new(subject.at).unwrap();
        let bytes = |state: &Account| serde_json::to_vec(state).map(Into::into);
        self.snapshots.save(&uuid(&subject.id), at, &state, &bytes).await.unwrap();
    }

    async fn replay(&mut self, id: &str) -> Account {
        self.spawn(id, Nothing).await.handle_command(Tell).await.unwrap().unwrap()
    }

    async fn load(&mut self, id: &str) -> Account {
        let entity = self.spawn(id, self.snapshots.clone()).await;
        entity.handle_command(Tell).await.unwrap().unwrap()
    }

    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        if self.entity.as_ref().is_none_or(|(of, _)| of != id) {
            self.entity = Some((id.to_owned(), self.spawn(id, self.snapshots.clone()).await));
        }
        let (_, entity) = self.entity.as_ref().unwrap();
        let began = Instant::now();
        let count = entity.handle_command(Append(event)).await.unwrap().unwrap();
        (began.elapsed(), count % 10 == 0)
    }

    fn stored_id(&self, id: &str) -> String {
        uuid(id).to_string()
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(state)::bigint, pg_column_size(s.*)::bigint FROM snapshots s \
         WHERE id = $1::uuid"
    }
}
