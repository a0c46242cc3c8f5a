//! Every public path, by name: one that is renamed, moved or lost breaks this file and with it
//! the build. (`guide` is there in the documentation only.) The seams stay objects, and the main types may cross threads.

use std::fmt::{Debug, Display};

use crate::account::Account;
#[cfg(feature = "bincode")]
use snapfold::codec::Bincode;
#[cfg(feature = "json")]
use snapfold::codec::Json;
#[cfg(feature = "msgpack")]
use snapfold::codec::MessagePack;
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::retention::{
    Action, Disposition, Either, Judged, KeepLast, KeepSuperseded, KeepWithin, Policy,
    PolicyBuilder, Retention, RetentionContext, RetentionPlan, keep_last, keep_within,
};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::service::transfer::{
    ArchiveContents, ExportOptions, Exported, Imported, OnConflict, TransferDifference,
    TransferFilter, TransferNote, TransferOptions, TransferReport, check_archive, export, import,
    merge,
};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::service::{SnapshotSizes, StoreSizes, store_sizes};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::trigger::{
    Adaptive, All, Any, Costs, EveryEvents, EveryInterval, GrownBy, LargerThan, LastSnapshot,
    Manual, SlowerThan, Trigger, TriggerContext, Verdict, all, any, every_events, every_interval,
    grown_by, larger_than, manual, slower_than,
};
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, Loaded, Loader,
    MemoryEvents, MemoryStore, Point, Replay, Retry, SnapshotAdmin, SnapshotEngine, SnapshotId,
    SnapshotManager, SnapshotStore, Timestamp,
    codec::{
        Codec, CodecId, Compression, CompressionId, Compressor, DecodeLimits, Dictionary,
        DictionaryId, Digester, Postcard, Seal, SealContext, Sealed, TypeInfo,
    },
    engine::{
        CacheConfig, Clock, Drained, EngineBuilder, EngineHealth, EngineStatistics, HealthSignal,
        HealthThresholds, InFlight, Incremental, LastError, ManualClock, Observation, Observer,
        OnStoreFailure, RecompressRequest, Recompressed, ReplayLoader, SharedLimits,
        SnapshotReader, SpotChecks, SystemClock, Trouble, Verify, WhenFull, Workload,
        telemetry::{Metrics, Tracing},
    },
    events::{EventTime, KeyedReplay, Recorded},
    manager::{
        AdminContext, AggregateStats, Bisected, CreateOptions, CreateOutcome, CreateRequest,
        Decision, Explained, ExplainedSnapshot, Fetched, FoldCause, FoldComparison, FoldDifference,
        Inspect, Kinds, OpaqueState, Origin, Proof, Provenance, Question, REFOLD, REPLACED,
        ROLLBACK, Rebuilt, Rejected, Retained, SafeTruncation, Snapshot, SnapshotFilter,
        SnapshotRole, SnapshotUsed, StateChange, StateDiff, StatePath, StateStep, StateValue,
        Timings, TruncationLimit, TruncationRequest, Verified, View,
    },
    record::{
        Base, ChangeSummary, ChecksumId, DigestKind, Generation, Header, Record, RecordBuilder,
        RejectReason, SigningKeys, SnapshotDetails, SnapshotMeta, SnapshotSource, StateDigest,
    },
    store::{
        Capabilities, Copied, Cursor, Deletable, DeleteOptions, DeletePlan, Deleted, Erased, Found,
        KeyPages, KeysRequest, ListPages, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks,
        Page, PutOptions, PutOutcome, Query, Remains, Rewrite, Selection, SnapshotStoreExt,
    },
};
#[cfg(feature = "zstd")]
#[allow(unused_imports, reason = "that they resolve is the test")]
use snapfold::{codec::Training, engine::TrainingRequest};

/// What a newcomer meets first stays few. The modules `artifact`, `object_store` and
/// `publication` were let in last.
const MAX_ROOT_NAMES: usize = 39;

fn read(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The names that a module file makes public: its items, modules, and what it re-exports.
fn exports(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for item in text.split("\npub ").skip(1) {
        let (what, rest) = item.split_once(' ').unwrap();
        match what {
            "use" => {
                let path = rest.split(';').next().unwrap();
                let list = path.rsplit("::").next().unwrap();
                names.extend(list.split(|c: char| !c.is_alphanumeric() && c != '_'));
            }
            "mod" | "struct" | "enum" | "trait" | "fn" | "type" | "const" => {
                names.extend(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            }
            other => assert_eq!(other, "async", "an export of a kind that this does not know"),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn the_front_page_is_short() {
    let front = read("src/lib.rs");
    let names = exports(&front);
    assert!(names.len() > 25, "{names:?}");
    assert!(names.len() <= MAX_ROOT_NAMES, "{}: {names:?}", names.len());
}

#[test]
fn nothing_is_exported_that_is_not_listed_here() {
    let here = read("tests/house/public_api.rs");
    let front = read("src/lib.rs");
    let mut names = 0;
    for name in exports(&front) {
        let folder = ["src", "src/backend"].map(|above| format!("{above}/{name}/mod.rs"));
        let module = folder.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let inner = module.as_deref().map(exports).unwrap_or_default();
        for name in inner.into_iter().chain([name]) {
            let listed = here.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
            assert!(listed, "{name} is public and not listed here");
            names += 1;
        }
    }
    assert!(names > 180, "{names} names: are the exports still written as they were?");
}

#[test]
fn exports_of_all_kinds_are_seen() {
    let text = "\npub mod a;\npub(crate) use b::B;\npub use c::{C, D};\n#[x]\npub use e::f;\n\
                pub trait G<A> {\n    pub fn no() {}\n}\npub async fn h() {}\npub fn i() {}";
    assert_eq!(exports(text), ["a", "C", "D", "f", "G", "i"]);
}

/// What the stores of other features add to the front page.
#[cfg(feature = "object-store")]
#[test]
fn a_store_in_object_storage_crosses_threads() {
    use snapfold::object_store::{
        ObjectStoreOptions, ObjectStoreSnapshots, RepairedObjects, SweptObjects,
    };
    crosses_threads::<(ObjectStoreOptions, ObjectStoreSnapshots, RepairedObjects, SweptObjects)>();
}

#[cfg(all(feature = "file", feature = "postgres"))]
#[test]
fn the_stores_of_other_features_are_exported_and_cross_threads() {
    use snapfold::events::{Hybrid, HybridSource, Tail};
    use snapfold::file::{
        BackedUp, Compacted, Durability, FileStore, FileStoreConfig, FileStoreStats, Inspection,
        Problem, RepairReport, SegmentInfo, Verification, ZeroAhead,
    };
    use snapfold::postgres::{
        EventRow, EventTable, PostgresEvents, PostgresEventsWithin, PostgresHybrid,
        PostgresMigrations, PostgresOptions, PostgresStore, PruneProgress, TenantBinding,
    };
    crosses_threads::<(FileStore, FileStoreConfig, FileStoreStats, Durability, ZeroAhead)>();
    crosses_threads::<(BackedUp, Compacted, Inspection, Problem, RepairReport)>();
    crosses_threads::<(SegmentInfo, Verification)>();
    crosses_threads::<(PostgresStore, PostgresOptions, PostgresEvents<Account>)>();
    crosses_threads::<PostgresEventsWithin<'static, Account>>();
    crosses_threads::<(PostgresHybrid<Account>, TenantBinding, PruneProgress, EventTable)>();
    crosses_threads::<(Hybrid<Account>, PostgresMigrations, snapfold::postgres::KeyType)>();
    let _: Option<(&dyn HybridSource<Account>, &dyn Tail<Account>, EventRow<'_>)> = None;
}

#[cfg(all(feature = "postgres", feature = "publish"))]
#[test]
fn publications_in_postgres_are_exported_and_cross_threads() {
    use snapfold::postgres::PostgresPublications;
    crosses_threads::<PostgresPublications>();
    prints::<PostgresPublications>();
}

#[test]
fn the_ledger_is_exported_and_crosses_threads() {
    use snapfold::ledger::{
        AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord, AuditRequest, Cadence, Claim,
        DailyStatistics, Day, KeepRule, Lease, Ledger, Schedule, ScheduleKey, SignedHead,
        SignedTrail, StoreLedger, Task, TrailCheck, UnknownTask,
    };
    crosses_threads::<StoreLedger>();
    prints::<StoreLedger>();
    let _: Option<&dyn Ledger> = None;
    is_value::<(AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord)>();
    is_value::<(AuditRequest<'_>, TrailCheck, SignedHead, SignedTrail)>();
    crosses_threads::<SigningKeys>();
    prints::<SigningKeys>();
    is_value::<(Cadence, Claim, Lease, Schedule, ScheduleKey)>();
    is_value::<(KeepRule, Task, UnknownTask)>();
    is_value::<(DailyStatistics, Day)>();
}

#[test]
fn the_artifacts_are_exported_and_cross_threads() {
    use snapfold::artifact::{
        Artifact, ArtifactCapabilities, ArtifactCheck, ArtifactContent, ArtifactId,
        ArtifactOutcome, ArtifactStore, FoundArtifact, ListedArtifact, MemoryArtifacts,
        SignedDownload, SignedUpload, Upload, in_one_piece,
    };
    crosses_threads::<(MemoryArtifacts, ArtifactCheck)>();
    prints::<(MemoryArtifacts, ArtifactCheck, FoundArtifact)>();
    is_value::<(Artifact, ArtifactCapabilities, ArtifactId, ArtifactOutcome, ListedArtifact)>();
    is_value::<(SignedDownload, SignedUpload, Upload<'_>)>();
    let _: fn(Vec<u8>) -> ArtifactContent = in_one_piece;
    let _: Option<&dyn ArtifactStore> = None;
}

#[cfg(feature = "file")]
#[test]
fn the_artifacts_in_files_are_exported_and_cross_threads() {
    use snapfold::file::FileArtifacts;
    crosses_threads::<FileArtifacts>();
    prints::<FileArtifacts>();
}

#[cfg(feature = "object-store")]
#[test]
fn the_artifacts_in_object_stores_are_exported_and_cross_threads() {
    use snapfold::object_store::{
        ObjectStoreArtifacts, ObjectUrl, ObjectUrlRules, ObjectUrlSigner,
    };
    crosses_threads::<ObjectStoreArtifacts>();
    prints::<ObjectStoreArtifacts>();
    is_value::<(ObjectUrl<'_>, ObjectUrlRules)>();
    let _: Option<&dyn ObjectUrlSigner> = None;
}

#[cfg(feature = "publish")]
#[test]
fn the_publications_are_exported_and_cross_threads() {
    use snapfold::publication::{
        ArtifactRemoval, Publication, PublicationCreated, PublicationDetails, PublicationFailure,
        PublicationId, PublicationPart, PublicationStatus, PublicationStore, PublicationsRequest,
        StorePublications,
    };
    crosses_threads::<(StorePublications, PublicationsRequest<'static>)>();
    prints::<(StorePublications, PublicationsRequest<'_>)>();
    is_value::<(
        Publication,
        ArtifactRemoval,
        PublicationCreated,
        PublicationDetails,
        PublicationFailure,
    )>();
    is_value::<(PublicationId, PublicationPart, PublicationStatus)>();
    let _: Option<&dyn PublicationStore> = None;
    #[cfg(feature = "conformance")]
    {
        #[allow(unused_imports, reason = "that they resolve is the test")]
        use snapfold::conformance::{PublicationFactory, publication_cases, publications};
    }
}

#[test]
fn the_services_are_exported_and_cross_threads() {
    use snapfold::service::{
        Batch, BatchProgress, BatchReport, Coverage, MissedRuns, RunCounts, RunOutcome, RunReport,
        Scheduler, SchedulerEvent, SchedulerObserver, SchedulerStatistics,
    };
    crosses_threads::<(Scheduler, RunReport, RunOutcome, Batch, BatchReport)>();
    prints::<(Scheduler, RunReport, RunOutcome, SchedulerEvent<'_>)>();
    prints::<(Batch, BatchReport, BatchProgress<'_>, Coverage)>();
    #[cfg(feature = "progress")]
    let _ = snapfold::service::progress_bar(7);
    is_value::<(MissedRuns, RunCounts, SchedulerStatistics)>();
    let _: Option<&dyn SchedulerObserver> = None;
}

#[cfg(feature = "publish")]
#[test]
fn the_urls_of_uploads_are_exported_and_cross_threads() {
    use snapfold::service::publish::{
        UploadGrant, UploadKeys, UploadQuery, UploadUrlVerdict, UploadUrls,
    };
    crosses_threads::<(UploadUrls, UploadKeys, UploadQuery)>();
    prints::<(UploadUrls, UploadKeys, UploadQuery)>();
    is_value::<(UploadGrant<'_>, UploadUrlVerdict, UploadQuery)>();
}

#[cfg(feature = "publish")]
#[test]
fn the_publisher_is_exported_and_crosses_threads() {
    use snapfold::service::publish::{
        PartUpload, PublicationObserver, PublishCollection, PublishError, PublishOptions,
        PublishRefusal, PublishRequest, PublishSweep, Published, Publisher, PublisherBuilder,
        WrongPart,
    };
    crosses_threads::<(Publisher, PublisherBuilder, PublishError)>();
    prints::<(Publisher, PublisherBuilder, PublishError)>();
    is_value::<(PublishOptions, PublishRequest, Published, PartUpload)>();
    is_value::<(PublishCollection, PublishRefusal, PublishSweep, WrongPart)>();
    let _: Option<&dyn PublicationObserver> = None;
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_is_exported_and_crosses_threads() {
    use snapfold::cli::{CommandLine, run};
    crosses_threads::<CommandLine>();
    prints::<CommandLine>();
    let _: fn(snapfold::manager::Kinds) -> std::process::ExitCode = run;
}

#[cfg(feature = "http")]
#[test]
fn the_delivery_is_exported_and_crosses_threads() {
    use snapfold::service::http::{
        AnyOf, ApiKey, ApiKeyFile, ApiKeyStore, ApiKeys, Authenticator, CachePolicy, Delivery,
        DeliveryBody, DeliveryBuilder, DeliveryMode, DeliveryModes, ExportReport, LiveChanges,
        LiveEvent, LiveStreams, Permission, Principal, RequestQuota, Scope, StaticExport,
    };
    crosses_threads::<(Delivery, DeliveryBody, DeliveryBuilder, ApiKeys, ApiKeyFile, AnyOf)>();
    prints::<(Delivery, DeliveryBody, DeliveryBuilder, ApiKeys, ApiKeyFile, AnyOf)>();
    is_value::<(Permission, ApiKey, CachePolicy, Principal, RequestQuota, Scope)>();
    crosses_threads::<(StaticExport, LiveChanges, LiveStreams)>();
    prints::<(LiveChanges, LiveStreams)>();
    is_value::<LiveEvent>();
    is_value::<(ExportReport, DeliveryMode, DeliveryModes)>();
    let _: Option<(Box<dyn Authenticator>, Box<dyn ApiKeyStore>)> = None;
}

#[cfg(feature = "webhooks")]
#[test]
fn the_webhooks_are_exported_and_cross_threads() {
    use snapfold::service::webhook::{
        ClaimedWebhook, DeadWebhook, RetrySchedule, StoreOutbox, WebhookDelivery, WebhookEndpoint,
        WebhookMessage, WebhookOutbox, WebhookReport, WebhookResponse, WebhookRun, WebhookSecret,
        WebhookSender, WebhookTransport, WebhookVerdict,
    };
    crosses_threads::<(StoreOutbox, WebhookSender, WebhookEndpoint, WebhookSecret)>();
    prints::<(StoreOutbox, WebhookSender, WebhookEndpoint, WebhookSecret)>();
    prints::<WebhookReport<'static>>();
    is_value::<(ClaimedWebhook, DeadWebhook, RetrySchedule, WebhookDelivery, WebhookMessage)>();
    is_value::<(WebhookResponse, WebhookRun, WebhookVerdict)>();
    let _: Option<(&dyn WebhookOutbox, &dyn WebhookTransport)> = None;
}

#[cfg(feature = "conformance")]
#[test]
fn the_kits_are_exported() {
    #[allow(unused_imports, reason = "that they resolve is the test")]
    use snapfold::conformance::{
        AggregateCheck, ArtifactFactory, ArtifactSite, Case, CaseResult, CaseVerdict, Choices,
        Conformance, EventSite, EventSourceFactory, FailingHistory, Failure, HybridPair, Kept, Law,
        LawFinding, LawOutcome, LawReport, LawVerdict, LawsBroken, LedgerCase, LedgerFactory,
        LedgerReport, Level, NewEvent, NotALedger, NotConformant, Scorecard, Site,
        SourceConformance, StoreFactory, Tally, aggregate, aggregate_with_codec, artifact_cases,
        artifacts, cases, event_sites, event_source, in_memory, ledger, ledger_cases, source_cases,
        store,
    };
    crosses_threads::<(Case, Scorecard, Failure)>();
}

#[test]
fn the_tiered_store_is_exported_and_crosses_threads() {
    use snapfold::layer::{ArchiveReport, RestoreReport, TieredStore};
    crosses_threads::<TieredStore>();
    is_value::<(ArchiveReport, RestoreReport)>();
}

#[cfg(feature = "faults")]
#[test]
fn the_faulty_store_is_exported_and_crosses_threads() {
    use snapfold::layer::{Fault, FaultReport, Faults, FaultyStore, StoreCall};
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
    crosses_threads::<SharedLimits>();
    prints::<SharedLimits>();
    is_value::<(EngineHealth, LastError, HealthSignal, HealthThresholds, Trouble, Workload)>();
    prints::<SnapshotEngine<Account>>();
    prints::<ReplayLoader<Account>>();
    prints::<EngineBuilder<Account>>();
    prints::<Loaded<Account>>();
    prints::<Fetched<Account>>();
    prints::<Replay<'static, Account>>();
    prints::<Observation<'static>>();
    is_error::<Error>();
    is_error::<RejectReason>();
    is_value::<AggregateKey>();
    is_value::<AggregateStats>();
    is_value::<CacheConfig>();
    is_value::<Capabilities>();
    is_value::<Retained>();
    is_value::<CreateOptions>();
    is_value::<CreateRequest>();
    is_value::<InFlight>();
    is_value::<CreateOutcome>();
    is_value::<Decision>();
    is_value::<Deleted>();
    is_value::<EventRange>();
    is_value::<Found>();
    is_value::<Generation>();
    is_value::<Lookup>();
    is_value::<(Mark, MarkChange<'static>, MarkKind, Marks)>();
    is_value::<PutOptions>();
    is_value::<(Copied, Deletable, DeleteOptions, DeletePlan)>();
    is_value::<TriggerContext>();
    is_value::<Point>();
    is_value::<Provenance>();
    is_value::<PutOutcome>();
    is_value::<Query<'static>>();
    is_value::<Rejected>();
    is_value::<Rebuilt>();
    is_value::<RetentionPlan>();
    is_value::<SnapshotMeta>();
    is_value::<(Sealed, SealContext<'static>)>();
    is_value::<Timestamp>();
    is_value::<Verdict>();
}

#[test]
fn what_people_read_displays() {
    fn displays<T: Display>() {}
    displays::<AggregateKey>();
    displays::<CodecId>();
    displays::<CompressionId>();
    displays::<CreateOutcome>();
    displays::<Decision>();
    displays::<Error>();
    displays::<Generation>();
    displays::<EngineHealth>();
    displays::<LastError>();
    displays::<Workload>();
    displays::<Provenance>();
    displays::<RejectReason>();
    displays::<Rejected>();
    displays::<RetentionPlan>();
    displays::<snapfold::ledger::SignedHead>();
    displays::<snapfold::ledger::Task>();
    displays::<snapfold::service::RunReport>();
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
    fn is_compressor<T: Compressor>() {}
    fn is_seal<T: Seal>() {}
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
    object::<dyn Compressor>(None);
    object::<dyn Seal>(None);
    // Behind a shared pointer they are still what they were.
    is_store::<std::sync::Arc<dyn SnapshotStore>>();
    is_trigger::<std::sync::Arc<dyn Trigger>>();
    is_compressor::<std::sync::Arc<dyn Compressor>>();
    is_seal::<std::sync::Arc<dyn Seal>>();
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
