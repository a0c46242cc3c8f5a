//! snapfold

mod backend;
mod checksum;
mod clock;
mod codec;
mod compress;
mod engine;
mod envelope;
mod error;
mod events;
mod generation;
mod key;
mod ledger;
mod manager;
pub mod retention;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
mod shape;
mod snapshot_id;
mod state;
mod store;
mod timestamp;
pub mod trigger;

#[cfg(feature = "memory")]
pub use backend::memory::{MemoryEvents, MemoryLedger, MemoryStore};
#[cfg(feature = "postgres")]
pub use backend::postgres::{
    EventRow, EventTable, PostgresEvents, PostgresHybrid, PostgresMigrations, PostgresOptions,
    PostgresStore, PruneProgress, TenantBinding,
};
pub use checksum::ChecksumId;
pub use clock::{Clock, ManualClock, SystemClock};
#[cfg(feature = "bincode")]
pub use codec::Bincode;
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "msgpack")]
pub use codec::MessagePack;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, CodecId, DecodeLimits, TypeInfo};
pub use compress::{Compression, CompressionId};
pub use engine::{
    CacheConfig, EngineBuilder, Observer, ReplayManager, Report, SnapshotEngine, StoreFailure,
};
pub use envelope::{Base, Header, Record, RecordBuilder, Reject, SnapshotMeta};
pub use error::{BoxError, Error, ErrorKind, Retry};
pub use events::{EventRange, EventSource, Hybrid, HybridSource, Recorded, Replay, Tail};
pub use generation::Generation;
pub use key::AggregateKey;
pub use ledger::{
    AuditEntry, AuditLog, AuditRecord, AuditRequest, DailyStatistics, Day, Schedule, ScheduleStore,
    StatisticsStore,
};
pub use manager::{
    AggregateStats, Compaction, CreateOptions, Created, Decision, Fetched, Loaded, Origin, Point,
    Provenance, Rejected, Repaired, Snapshot, SnapshotManager, SnapshotUsed, Timings,
};
pub use snapshot_id::SnapshotId;
pub use state::Aggregate;
pub use store::{
    Capabilities, Cursor, Deleted, Found, KeysRequest, ListRequest, Lookup, Page, PutOptions,
    PutOutcome, Query, Selection, SnapshotStore,
};
pub use timestamp::Timestamp;
