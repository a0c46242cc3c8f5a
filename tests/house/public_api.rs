//! Every public path, by name: one that is renamed, moved or lost breaks this file and with it
//! the build. The seams stay objects, and the main types may cross threads.

use std::fmt::{Debug, Display};

use crate::account::Account;
#[cfg(feature = "bincode")]
use snapfold::Bincode;
#[cfg(feature = "json")]
use snapfold::Json;
#[cfg(feature = "msgpack")]
use snapfold::MessagePack;
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::retention::{
    Action, Disposition, Either, Judged, KeepLast, KeepWithin, Retention, RetentionPlan, keep_last,
    keep_within,
};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::trigger::{
    All, Any, EveryEvents, EveryInterval, GrownBy, LargerThan, Manual, Observation, SlowerThan,
    SnapshotSeen, Trigger, Verdict, all, any, every_events, every_interval, grown_by, larger_than,
    manual, slower_than,
};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::{
    AdminContext, Aggregate, AggregateKey, AggregateStats, Base, BoxError, CacheConfig,
    Capabilities, ChecksumId, Clock, Codec, CodecId, Compression, CompressionId, Copied,
    CreateOptions, Created, Cursor, Decision, DecodeLimits, Deletable, DeleteOptions, DeletePlan,
    Deleted, DigestKind, Digester, EngineBuilder, EngineStatistics, Error, ErrorKind, EventRange,
    EventSource, EventTime, Fetched, Found, Generation, Header, KeyPages, KeyedReplay, KeysRequest,
    Kinds, ListPages, ListRequest, Loaded, Loader, Lookup, ManualClock, Mark, MarkChange, MarkKind,
    Marks, MemoryEvents, MemoryStore, Observer, Origin, Page, Point, Postcard, Proof, Provenance,
    PutOptions, PutOutcome, Query, Record, RecordBuilder, Recorded, Reject, Rejected, Repaired,
    Replay, ReplayLoader, Report, Retained, Retry, Selection, Snapshot, SnapshotAdmin,
    SnapshotEngine, SnapshotId, SnapshotManager, SnapshotMeta, SnapshotStore, SnapshotStoreExt,
    SnapshotUsed, StateDigest, StateValue, StoreFailure, SystemClock, Timestamp, Timings, TypeInfo,
    Verify, View,
};

#[test]
fn the_front_page_exports_nothing_that_is_not_listed_here() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let here = read("tests/house/public_api.rs");
    let front = read("src/lib.rs") + &read("src/trigger/mod.rs") + &read("src/retention/mod.rs");
    let mut names = 0;
    for export in front.split("\npub use ").skip(1) {
        let path = export.split(';').next().unwrap();
        let list = path.rsplit("::").next().unwrap();
        for name in list.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let listed = here.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
            assert!(name.is_empty() || listed, "{name} is public and not listed here");
            names += usize::from(!name.is_empty());
        }
    }
    assert!(names > 80, "{names} names: are the exports still written as they were?");
}

/// What the stores of other features add to the front page.
#[cfg(all(feature = "file", feature = "postgres"))]
#[test]
fn the_stores_of_other_features_are_exported_and_cross_threads() {
    use snapfold::{
        BackedUp, Compacted, Durability, EventRow, EventTable, FileStore, FileStoreConfig,
        FileStoreStats, Hybrid, HybridSource, Inspection, PostgresEvents, PostgresHybrid,
        PostgresMigrations, PostgresOptions, PostgresStore, Problem, PruneProgress, RepairReport,
        SegmentInfo, Tail, TenantBinding, Verification, ZeroAhead,
    };
    crosses_threads::<(FileStore, FileStoreConfig, FileStoreStats, Durability, ZeroAhead)>();
    crosses_threads::<(BackedUp, Compacted, Inspection, Problem, RepairReport)>();
    crosses_threads::<(SegmentInfo, Verification)>();
    crosses_threads::<(PostgresStore, PostgresOptions, PostgresEvents<Account>)>();
    crosses_threads::<(PostgresHybrid<Account>, TenantBinding, PruneProgress, EventTable)>();
    crosses_threads::<(Hybrid<Account>, PostgresMigrations, snapfold::KeyType)>();
    let _: Option<(&dyn HybridSource<Account>, &dyn Tail<Account>, EventRow<'_>)> = None;
}

#[test]
fn the_ledger_is_exported_and_crosses_threads() {
    use snapfold::{
        AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord, AuditRequest, Cadence, Claim,
        DailyStatistics, Day, Lease, Ledger, Schedule, ScheduleKey, StoreLedger, TrailCheck,
    };
    crosses_threads::<StoreLedger>();
    prints::<StoreLedger>();
    let _: Option<&dyn Ledger> = None;
    is_value::<(AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord)>();
    is_value::<(AuditRequest<'_>, TrailCheck)>();
    is_value::<(Cadence, Claim, Lease, Schedule, ScheduleKey)>();
    is_value::<(DailyStatistics, Day)>();
}

#[cfg(feature = "conformance")]
#[test]
fn the_faulty_store_is_exported_and_crosses_threads() {
    use snapfold::{Fault, FaultReport, Faults, FaultyStore, StoreCall};
    crosses_threads::<FaultyStore>();
    is_value::<Faults>();
    is_value::<FaultReport>();
    is_value::<(Fault, StoreCall)>();
}

fn crosses_threads<T: Send + Sync + 'static>() {}
fn prints<T: Debug>() {}
fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
fn is_value<T: Clone + PartialEq + Debug + Send + Sync>() {}

#[test]
fn the_main_types_cross_threads_and_print() {
    crosses_threads::<SnapshotEngine<Account>>();
    crosses_threads::<ReplayLoader<Account>>();
    crosses_threads::<EngineBuilder<Account>>();
    crosses_threads::<Loaded<Account>>();
    crosses_threads::<Snapshot<Account>>();
    crosses_threads::<Fetched<Account>>();
    crosses_threads::<MemoryStore>();
    crosses_threads::<MemoryEvents<crate::account::Event>>();
    crosses_threads::<Replay<'static, Account>>();
    crosses_threads::<Record>();
    crosses_threads::<AggregateKey>();
    crosses_threads::<Error>();
    crosses_threads::<SystemClock>();
    crosses_threads::<ManualClock>();
    prints::<SnapshotEngine<Account>>();
    prints::<ReplayLoader<Account>>();
    prints::<EngineBuilder<Account>>();
    prints::<Loaded<Account>>();
    prints::<Fetched<Account>>();
    prints::<Replay<'static, Account>>();
    prints::<Report<'static>>();
    is_error::<Error>();
    is_error::<Reject>();
    is_value::<AggregateKey>();
    is_value::<AggregateStats>();
    is_value::<CacheConfig>();
    is_value::<Capabilities>();
    is_value::<Retained>();
    is_value::<CreateOptions>();
    is_value::<Created>();
    is_value::<Decision>();
    is_value::<Deleted>();
    is_value::<EventRange>();
    is_value::<Found>();
    is_value::<Generation>();
    is_value::<Lookup>();
    is_value::<(Mark, MarkChange<'static>, MarkKind, Marks)>();
    is_value::<PutOptions>();
    is_value::<(Copied, Deletable, DeleteOptions, DeletePlan)>();
    is_value::<Observation>();
    is_value::<Point>();
    is_value::<Provenance>();
    is_value::<PutOutcome>();
    is_value::<Query<'static>>();
    is_value::<Rejected>();
    is_value::<Repaired>();
    is_value::<RetentionPlan>();
    is_value::<SnapshotMeta>();
    is_value::<Timestamp>();
    is_value::<Verdict>();
}

#[test]
fn what_people_read_displays() {
    fn displays<T: Display>() {}
    displays::<AggregateKey>();
    displays::<CodecId>();
    displays::<CompressionId>();
    displays::<Created>();
    displays::<Decision>();
    displays::<Error>();
    displays::<Generation>();
    displays::<Provenance>();
    displays::<Reject>();
    displays::<Rejected>();
    displays::<RetentionPlan>();
    displays::<SnapshotId>();
    displays::<SnapshotMeta>();
    displays::<Timestamp>();
    displays::<Verdict>();
}

#[test]
fn each_seam_can_be_an_object() {
    fn object<T: ?Sized>(_: Option<&T>) {}
    fn is_store<T: SnapshotStore>() {}
    fn is_trigger<T: Trigger>() {}
    object::<dyn SnapshotStore>(None);
    object::<dyn EventSource<Account>>(None);
    object::<dyn Loader<Account>>(None);
    object::<dyn SnapshotAdmin>(None);
    object::<dyn SnapshotManager<Account>>(None);
    object::<dyn Trigger>(None);
    object::<dyn Retention>(None);
    object::<dyn Observer>(None);
    object::<dyn Clock>(None);
    object::<dyn Codec<Account>>(None);
    // Behind a shared pointer a store and a trigger are still what they were.
    is_store::<std::sync::Arc<dyn SnapshotStore>>();
    is_trigger::<std::sync::Arc<dyn Trigger>>();
}

#[test]
fn the_codecs_that_are_compiled_in_carry_any_serde_type() {
    fn is_codec<S, C: Codec<S>>() {}
    is_codec::<Account, Postcard>();
    #[cfg(feature = "bincode")]
    is_codec::<Account, Bincode>();
    #[cfg(feature = "json")]
    is_codec::<Account, Json>();
    #[cfg(feature = "msgpack")]
    is_codec::<Account, MessagePack>();
}
