//! snapfold

mod backend;
mod checksum;
mod clock;
mod codec;
mod compress;
mod envelope;
mod error;
mod events;
mod generation;
mod key;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
mod shape;
mod snapshot_id;
mod state;
mod store;
mod timestamp;

#[cfg(feature = "file")]
pub use backend::file::{
    BackedUp, Compacted, Durability, FileStore, FileStoreConfig, FileStoreStats, Inspection,
    Problem, Repaired, SegmentInfo, Verification,
};
#[cfg(feature = "memory")]
pub use backend::memory::{MemoryEvents, MemoryStore};
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
pub use envelope::{Base, Header, Record, RecordBuilder, Reject, SnapshotMeta};
pub use error::{BoxError, Error, ErrorKind, Retry};
pub use events::{EventRange, EventSource, Recorded, Replay};
pub use generation::Generation;
pub use key::AggregateKey;
pub use snapshot_id::SnapshotId;
pub use state::Aggregate;
pub use store::{
    Capabilities, Cursor, Deleted, Found, KeysRequest, ListRequest, Lookup, Page, PutOptions,
    PutOutcome, Query, Selection, SnapshotStore,
};
pub use timestamp::Timestamp;
