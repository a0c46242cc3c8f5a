use std::time::{Duration, Instant};

use async_trait::async_trait;
use distributed::{
    AggregateBuilder, AggregateRepository, Entity, InMemoryRepository, PostgresRepository,
    Snapshot, sourced,
};

use crate::account::{Account, Event, Subject, deposit};
use crate::peer::Peer;

#[derive(Default, Snapshot)]
pub struct Sourced {
    pub entity: Entity,
    pub slots: u32,
    pub balance: i64,
    pub count: u64,
    pub last: Vec<(i64, String)>,
}

#[sourced(entity, aggregate_type = "account")]
impl Sourced {
    #[event("opened")]
    pub fn open(&mut self, id: String, slots: u32) {
        self.entity.set_id(&id);
        self.slots = slots;
        self.count += 1;
    }

    #[event("deposited")]
    pub fn deposit(&mut self, amount: i64, memo: String) {
        deposit(&mut self.last, self.slots, self.count, amount, &memo);
        self.balance += amount;
        self.count += 1;
    }
}

impl Sourced {
    fn record(&mut self, event: Event) {
        match event {
            Event::Opened { account_id, slots } => self.open(account_id, slots).unwrap(),
            Event::Deposited { amount, memo, .. } => self.deposit(amount, memo).unwrap(),
        }
    }

    fn account(self) -> Account {
        Account {
            account_id: self.entity.id().to_owned(),
            slots: self.slots,
            balance: self.balance,
            count: self.count,
            last: self.last,
        }
    }
}

macro_rules! peer {
    ($name:ident, $repository:ty, $size:literal) => {
        pub struct $name {
            plain: AggregateRepository<$repository, Sourced>,
            at_once: AggregateRepository<$repository, Sourced>,
            snapshots: AggregateRepository<$repository, Sourced>,
            commands: AggregateRepository<$repository, Sourced>,
        }

        impl $name {
            fn new(repository: $repository) -> Self {
                Self {
                    plain: repository.clone().aggregate(),
                    at_once: repository.clone().aggregate().with_snapshots(1),
                    snapshots: repository.clone().aggregate().with_snapshots(100),
                    commands: repository.aggregate().with_snapshots(10),
                }
            }
        }

        #[async_trait]
        impl Peer for $name {
            async fn fill(&mut self, subject: &Subject) {
                let (mut account, mut version) = (Sourced::default(), 0);
                while version < subject.len() {
                    let end = if version < subject.at { subject.at } else { subject.len() };
                    let to = end.min(version + 1_000);
                    for event in subject.events(version + 1..=to) {
                        account.record(event);
                    }
                    let store = if to == subject.at { &self.at_once } else { &self.plain };
                    store.commit(&mut account).await.unwrap();
                    version = to;
                }
            }

            async fn replay(&mut self, id: &str) -> Account {
                self.plain.get(id).await.unwrap().unwrap().account()
            }

            async fn load(&mut self, id: &str) -> Account {
                let account = self.snapshots.get(id).await.unwrap().unwrap();
                assert!(account.entity.snapshot_version() > 0);
                account.account()
            }

            async fn load_many(&mut self, ids: &[String]) -> Vec<Account> {
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                let accounts = self.snapshots.get_all(&ids).await.unwrap();
                accounts.into_iter().map(Sourced::account).collect()
            }

            async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
                let began = Instant::now();
                let mut account = self.commands.get(id).await.unwrap().unwrap();
                account.record(event);
                let is_due = account.entity.version() - account.entity.snapshot_version() >= 10;
                self.commands.commit(&mut account).await.unwrap();
                (began.elapsed(), is_due)
            }

            fn size_query(&self) -> &'static str {
                $size
            }
        }
    };
}

peer!(
    Distributed,
    PostgresRepository,
    "SELECT octet_length(payload)::bigint, pg_column_size(s.*)::bigint \
     FROM aggregate_snapshots s WHERE aggregate_id = $1"
);
peer!(DistributedInMemory, InMemoryRepository, "");

impl Distributed {
    pub async fn connect(url: &str) -> Self {
        Self::new(PostgresRepository::connect_and_migrate(url).await.unwrap())
    }
}

impl Default for DistributedInMemory {
    fn default() -> Self {
        Self::new(InMemoryRepository::new())
    }
}
