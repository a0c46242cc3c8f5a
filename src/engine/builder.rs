//! [`EngineBuilder`]: configures and builds an engine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::SnapshotEngine;
use super::cache::{CacheConfig, HotCache};
use super::core::{Compare, EngineCore, Validate};
use super::health::{HealthThresholds, HealthWatch};
use super::learning::Learning;
use super::observer::{Both, Observer};
use super::on_store_failure::OnStoreFailure;
use super::reader::Reader;
use super::recorder::Recorder;
use super::save_settings::SaveSettings;
use super::saver::Saver;
use super::shared_limits::SharedLimits;
use super::spot_checks::SpotTurns;
use super::statistics::Counters;
use super::store_breaker::StoreBreaker;
use super::verify::{Turns, Verify};
use super::workload::Gauges;
use crate::clock::{Clock, SystemClock};
use crate::codec::{Codec, Viewer};
use crate::compress::Compression;
use crate::error::{BoxError, Error, ErrorKind};
use crate::events::{EventSource, HybridSource};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::ledger::Ledger;
use crate::record::{Openers, RecordBuilder, SnapshotDetails};
use crate::state::Aggregate;
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;
use crate::trigger::{Trigger, every_events};
use crate::value::StateValue;

/// Configures and builds an engine. Only the event source and the store are required.
///
/// | part | default |
/// |---|---|
/// | codec | [`Postcard`](crate::codec::Postcard) |
/// | compression | [`Compression::lz4`] |
/// | trigger | [`every_events(100)`](every_events) |
/// | retention | [`keep_last(4)`](crate::retention::keep_last) after background snapshots |
/// | spot checks | [one in 1,000](crate::engine::SpotChecks) background snapshots |
/// | seal | none; [`seal`](Self::seal) encrypts payloads |
/// | cache | none; [`cache`](Self::cache) enables it |
/// | on a store failure | [`OnStoreFailure::Fail`] |
/// | maximum state size | 256 MiB encoded |
/// | maximum depth | 128 levels, for recursive types |
/// | verified loads | all: [`Verify::Always`] |
/// | concurrent full replays | 32: [`SharedLimits`] |
/// | clock | [`SystemClock`] |
pub struct EngineBuilder<A: Aggregate> {
    source: Arc<dyn EventSource<A>>,
    store: Arc<dyn SnapshotStore>,
    pub(super) evidence: Option<Arc<dyn SnapshotStore>>,
    hybrid: Option<Arc<dyn HybridSource<A>>>,
    /// `None` selects the system clock.
    clock: Option<Arc<dyn Clock>>,
    codec: Arc<dyn Codec<A>>,
    pub(super) others: Vec<Arc<dyn Codec<A>>>,
    pub(super) samples: Vec<A>,
    pub(super) upcasters: Vec<Result<Reader<A>, Error>>,
    pub(super) by_name: bool,
    pub(super) compression: Compression,
    pub(super) openers: Openers,
    trigger: Box<dyn Trigger>,
    observer: Option<Arc<dyn Observer>>,
    on_store_failure: OnStoreFailure,
    max_state_bytes: u64,
    max_depth: Option<u16>,
    compare: Option<Box<Compare<A>>>,
    validate: Option<Box<Validate<A>>>,
    verify: Verify,
    accept_unverified: bool,
    pub(super) saves: SaveSettings,
    pub(super) limits: SharedLimits,
    pub(super) thresholds: HealthThresholds,
    origin: Option<String>,
    producer: Option<String>,
    cache: Option<CacheConfig>,
    viewer: Option<Arc<dyn Viewer<A>>>,
    recorder: Option<Arc<Recorder>>,
}

#[cfg(feature = "postcard")]
impl<A: Aggregate + serde::Serialize + serde::de::DeserializeOwned> SnapshotEngine<A> {
    /// Returns a builder for an engine that folds the events of `source` and keeps snapshots in
    /// `store`. The default codec is [`Postcard`](crate::codec::Postcard).
    pub fn builder(
        source: impl EventSource<A> + 'static,
        store: impl SnapshotStore + 'static,
    ) -> EngineBuilder<A> {
        Self::builder_with_codec(source, store, crate::codec::Postcard)
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Returns a builder for an engine that encodes states with `codec`. Use it for states that do
    /// not implement serde's traits, and in builds without the `postcard` feature.
    pub fn builder_with_codec(
        source: impl EventSource<A> + 'static,
        store: impl SnapshotStore + 'static,
        codec: impl Codec<A>,
    ) -> EngineBuilder<A> {
        EngineBuilder::new(Arc::new(source), Arc::new(store), Arc::new(codec))
    }
}

impl<A: Aggregate> EngineBuilder<A> {
    pub(super) fn new(
        source: Arc<dyn EventSource<A>>,
        store: Arc<dyn SnapshotStore>,
        codec: Arc<dyn Codec<A>>,
    ) -> Self {
        Self {
            source,
            store,
            evidence: None,
            hybrid: None,
            clock: None,
            codec,
            others: Vec::new(),
            samples: Vec::new(),
            upcasters: Vec::new(),
            by_name: false,
            compression: Compression::default(),
            openers: Openers::default(),
            trigger: Box::new(every_events(100)),
            observer: None,
            on_store_failure: OnStoreFailure::default(),
            max_state_bytes: 256 << 20,
            max_depth: None,
            compare: None,
            validate: None,
            verify: Verify::default(),
            accept_unverified: false,
            saves: SaveSettings::default(),
            limits: SharedLimits::new(),
            thresholds: HealthThresholds::new(),
            origin: None,
            producer: None,
            cache: None,
            viewer: None,
            recorder: None,
        }
    }

    /// Sets the codec for writing and reading snapshots.
    pub fn codec(mut self, codec: impl Codec<A>) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// Sets a source that returns a snapshot and the events after it in one round trip. Each load
    /// queries it first, and makes any further reads from the store and the event source. The
    /// hybrid source must read the same data as these two.
    pub fn hybrid(mut self, hybrid: impl HybridSource<A> + 'static) -> Self {
        self.hybrid = Some(Arc::new(hybrid));
        self
    }

    /// Sets the trigger, which decides whether a commit leads to a snapshot.
    pub fn trigger(mut self, trigger: impl Trigger) -> Self {
        self.trigger = Box::new(trigger);
        self
    }

    /// Enables the hot cache of decoded states (feature `cache`).
    #[cfg(feature = "cache")]
    pub fn cache(mut self, config: CacheConfig) -> Self {
        self.cache = Some(config);
        self
    }

    /// Adds an observer. Observers are called in the order in which they were added.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        let observer: Arc<dyn Observer> = Arc::new(observer);
        self.observer = Some(match self.observer {
            Some(others) => Arc::new(Both(others, observer)),
            None => observer,
        });
        self
    }

    /// Sets what a load does when the store fails. [`OnStoreFailure::Fail`] by default.
    pub fn on_store_failure(mut self, policy: OnStoreFailure) -> Self {
        self.on_store_failure = policy;
        self
    }

    /// Sets the maximum size of an encoded state, in bytes before compression (inclusive). A larger
    /// state cannot be stored, and a record that declares a larger size is treated as a miss.
    pub fn max_state_bytes(mut self, bytes: u64) -> Self {
        self.max_state_bytes = bytes;
        self
    }

    /// Sets the maximum nesting depth (inclusive) of a state whose type contains itself. Each
    /// option, element, field, entry and variant is a level. 128 by default; at most
    /// [`MAX_DEPTH`](Self::MAX_DEPTH), and 0 is treated as 1. Writing a deeper state fails, and a
    /// stored one is a miss.
    ///
    /// Encoding and decoding recurse on the thread that loads or saves. Allow 8 KiB of stack per
    /// level (in debug builds, MessagePack uses 6 KiB and postcard 1.5 KiB). The default needs half
    /// of a thread's usual 2 MiB; 1,024 levels need a runtime with `thread_stack_size(8 << 20)`.
    pub fn max_depth(mut self, levels: u16) -> Self {
        self.max_depth = Some(levels.clamp(1, Self::MAX_DEPTH));
        self
    }

    /// The maximum for [`max_depth`](Self::max_depth), in levels.
    pub const MAX_DEPTH: u16 = 1_024;

    /// Also checks each write with `equal`, which compares the state with the decoded snapshot. The
    /// write fails if `equal` returns false. This detects differences that serde hides, such as a
    /// field with `#[serde(skip)]` or a `Serialize` implementation that rounds.
    pub fn compare(mut self, equal: impl Fn(&A, &A) -> bool + Send + Sync + 'static) -> Self {
        self.compare = Some(Box::new(equal));
        self
    }

    /// Calls `validate` with each state before it is stored. If it returns an error, the snapshot is
    /// not taken, and the error is the cause of the one that is reported. Loads are not affected,
    /// because a state follows from its events whether it is valid or not.
    pub fn validate(
        mut self,
        validate: impl Fn(&A) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.validate = Some(Box::new(validate));
        self
    }

    /// Sets which loads are verified. All by default.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Accepts a snapshot that decodes to a different state than the one that was written, if the
    /// events are gone and a replay is therefore impossible. Off by default. The provenance of such
    /// a load contains [`Proof::Accepted`](crate::manager::Proof::Accepted).
    ///
    /// Use this only after a dependency has changed how it serializes values, so that all old
    /// snapshots appear to differ although they do not. Take new snapshots, then turn it off again.
    pub fn accept_unverified(mut self) -> Self {
        self.accept_unverified = true;
        self
    }

    /// Sets the function that converts a state to a tree of values for [`Inspect::view`]. By
    /// default, the tree is built from the state's serde representation. With a codec that does not
    /// use serde, there is no default, and `view` fails unless a viewer is set. A viewer can also
    /// omit or [redact](StateValue::redact) values.
    ///
    /// [`Inspect::view`]: crate::manager::Inspect::view
    pub fn viewer(
        mut self,
        view: impl Fn(&A) -> Result<StateValue, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.viewer = Some(Arc::new(view));
        self
    }

    /// Keeps statistics, an audit trail and schedules in `ledger`. The statistics contain, for each
    /// aggregate and day, how many snapshots were created and deleted, the total size of the
    /// created ones, and the time their creation took. The audit trail has an entry for each
    /// management call, with actor, reason and outcome
    /// ([`AdminContext`](crate::manager::AdminContext)). The schedules are those set through
    /// [`SnapshotAdmin`](crate::SnapshotAdmin).
    ///
    /// The engine writes to the ledger in the background, in batches. At most 4,096 audit entries
    /// and 4,096 daily statistics are queued; further ones are lost. Failed writes and lost entries
    /// are counted and reported
    /// ([`Observation::LedgerFailed`](crate::engine::Observation::LedgerFailed)).
    /// [`flush`](SnapshotEngine::flush) waits for the writes.
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.recorder = Some(Arc::new(Recorder::new(Arc::new(ledger))));
        self
    }

    /// Sets the name of this process or node (at most 65,535 bytes), stored with each snapshot.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets the build of the application, such as `billing 1.4.2`, stored with each snapshot. At most
    /// [`SnapshotDetails::MAX_NAME_BYTES`](crate::record::SnapshotDetails::MAX_NAME_BYTES) bytes.
    /// If a build turns out to fold wrongly, its snapshots can be found and retired.
    pub fn producer(mut self, build: impl Into<String>) -> Self {
        self.producer = Some(build.into());
        self
    }

    /// Sets the clock. [`SystemClock`] by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Learns the shape of the state type, and builds the engine.
    ///
    /// The shape is learned by deserializing made-up values. A panic in the type's code counts as a
    /// rejection of the value. The panic hook of the process still runs and may print a message.
    /// With `panic = "abort"`, the process aborts.
    ///
    /// # Errors
    /// - [`UnsuitableCodec`](crate::ErrorKind::UnsuitableCodec) if a codec cannot represent the
    ///   type. The message names one that can.
    /// - [`FeatureDisabled`](crate::ErrorKind::FeatureDisabled) if the compression needs a feature
    ///   that is compiled out.
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if the origin, the producer or
    ///   [`Aggregate::KIND`] is too long for a snapshot, if the id of a
    ///   [`Compressor`](crate::codec::Compressor) belongs to this crate, or if two of different
    ///   names have the same id.
    pub fn build(self) -> Result<SnapshotEngine<A>, Error> {
        let codec = self.codec;
        self.compression.check_available()?;
        let openers = self.openers.with_those_of(&self.compression)?;
        let max_depth = self.max_depth;
        let inspect = |codec: &Arc<dyn Codec<A>>| {
            codec.inspect(&self.samples).map(|info| info.with_depth(max_depth))
        };
        let type_info = inspect(&codec)?;
        let generation =
            Generation { schema_version: A::SCHEMA_VERSION, fingerprint: type_info.fingerprint };
        let mut readers = vec![Reader::current(generation, &codec, type_info, self.by_name)];
        for other in &self.others {
            let info = inspect(other)?;
            let generation = Generation { fingerprint: info.fingerprint, ..generation };
            readers.push(Reader::current(generation, other, info, self.by_name));
        }
        for upcaster in self.upcasters {
            readers.push(upcaster?.with_depth(max_depth));
        }
        check_record::<A>(generation, self.origin.as_deref(), self.producer.as_deref())?;
        let is_injected = self.clock.is_some();
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let SaveSettings {
            max_queued,
            parallel,
            when_full,
            encode_in_place,
            retention,
            incremental,
            spot_checks,
        } = self.saves;
        let deltas =
            incremental.map(|how| how.plan(&self.compression, &*self.store)).transpose()?;
        let core = EngineCore {
            cache: HotCache::new(self.cache, Arc::clone(&clock), is_injected),
            source: self.source,
            store: self.store,
            evidence: self.evidence,
            hybrid: self.hybrid,
            clock,
            viewer: self.viewer.or_else(|| codec.digester().viewer()),
            digester: codec.digester(),
            codec,
            type_info,
            generation,
            readers,
            compression: self.compression,
            openers,
            deltas,
            learning: self.trigger.needs_costs().then(|| Box::new(Learning::new())),
            trigger: self.trigger,
            observer: self.observer,
            on_store_failure: self.on_store_failure,
            max_state_bytes: self.max_state_bytes,
            origin: self.origin,
            producer: self.producer,
            compare: self.compare,
            validate: self.validate,
            turns: Turns::new(self.verify),
            accept_unverified: self.accept_unverified,
            counters: Counters::default(),
            recorder: self.recorder,
            encode_in_place,
            retention,
            spot_turns: spot_checks.map(SpotTurns::new),
            largest_saved: AtomicU64::new(0),
            limits: self.limits,
            gauges: Gauges::new(),
            watch: HealthWatch::new(self.thresholds),
            breaker: (self.on_store_failure == OnStoreFailure::Replay).then(StoreBreaker::default),
        };
        let saver = Saver::new(max_queued, parallel, when_full);
        Ok(SnapshotEngine { core: Arc::new(core), saver: Arc::new(saver) })
    }
}

/// Builds a record with these settings, so that settings that make snapshots impossible fail here.
fn check_record<A: Aggregate>(
    generation: Generation,
    origin: Option<&str>,
    producer: Option<&str>,
) -> Result<(), Error> {
    let refused = |source: Error| {
        Error::new(
            ErrorKind::InvalidInput,
            "build the engine",
            format!(
                "snapshots of kind \"{:.100}\" cannot be stored with these settings: {source}",
                A::KIND
            ),
        )
        .with_source(source)
    };
    let key = AggregateKey::new(A::KIND, "").map_err(refused)?;
    let mut record = RecordBuilder::new(key, generation, 1, Timestamp::from_micros(0));
    if let Some(origin) = origin {
        record = record.origin(origin);
    }
    let producer = producer.map(str::to_owned);
    let details = SnapshotDetails { producer, ..SnapshotDetails::default() };
    record.details(details).build(&[]).map(drop).map_err(refused)
}

impl<A: Aggregate> fmt::Debug for EngineBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("kind", &A::KIND)
            .field("store", &self.store)
            .field("codec", &self.codec)
            .field("compression", &self.compression)
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}
