//! The engines, each with its most durable setting.

use std::path::Path;
use std::sync::Mutex;

use heed::types::Bytes;
use redb::ReadableDatabase as _;

pub type Pair = (Vec<u8>, Vec<u8>);

/// A store with one writer at a time.
pub trait Engine: Sync {
    /// Writes all pairs in one transaction, durable when it returns.
    fn commit<'a>(&self, pairs: impl Iterator<Item = &'a Pair>);
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("t");

pub struct Redb(redb::Database);

impl Redb {
    pub fn open(path: &Path) -> Self {
        let database = redb::Database::create(path).unwrap();
        drop(database.begin_read().unwrap());
        Self(database)
    }
}

impl Engine for Redb {
    fn commit<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) {
        let transaction = self.0.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for (key, value) in pairs {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

pub struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Fjall {
    pub fn open(path: &Path) -> Self {
        let database = fjall::Database::builder(path).open().unwrap();
        let options = || {
            fjall::KeyspaceCreateOptions::default()
                .with_kv_separation(Some(fjall::KvSeparationOptions::default()))
        };
        let keyspace = database.keyspace("t", options).unwrap();
        Self { database, keyspace }
    }
}

impl Engine for Fjall {
    fn commit<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        batch.commit().unwrap();
    }
}

pub struct Sqlite(Mutex<rusqlite::Connection>);

impl Sqlite {
    pub fn open(path: &Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;",
            )
            .unwrap();
        Self(Mutex::new(connection))
    }
}

impl Engine for Sqlite {
    fn commit<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) {
        let mut connection = self.0.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        {
            let insert = "INSERT OR IGNORE INTO t VALUES (?1, ?2)";
            let mut statement = transaction.prepare_cached(insert).unwrap();
            for (key, value) in pairs {
                statement.execute((key, value)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

pub struct Lmdb {
    env: heed::Env,
    database: heed::Database<Bytes, Bytes>,
}

impl Lmdb {
    pub fn open(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        // SAFETY: the directory was just made, and nobody else opens or changes it.
        let env = unsafe { heed::EnvOpenOptions::new().map_size(64 << 30).open(path) }.unwrap();
        let mut transaction = env.write_txn().unwrap();
        let database = env.create_database(&mut transaction, None).unwrap();
        transaction.commit().unwrap();
        Self { env, database }
    }
}

impl Engine for Lmdb {
    fn commit<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) {
        let mut transaction = self.env.write_txn().unwrap();
        for (key, value) in pairs {
            self.database.put(&mut transaction, key, value).unwrap();
        }
        transaction.commit().unwrap();
    }
}
