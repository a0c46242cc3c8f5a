//! What observers, logs and metrics get to see of an engine.
//!
//! Guards against: a failure that nobody sees; a name of a metric that changes; a state or an event
//! in a log; an observer that keeps an observation from another one.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
    SharedString, Unit,
};
use snapfold::engine::telemetry::{Metrics, Tracing};
use snapfold::engine::{EngineBuilder, HealthThresholds, Observation, Observer};
use snapfold::manager::AdminContext;
use snapfold::retention::keep_last;
use snapfold::trigger::every_events;
use snapfold::{AggregateKey, ErrorKind};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};

use crate::support::{Account, Op, World, key};

const LONG: Duration = Duration::from_secs(3_600);

/// Commands, background snapshots, retention, management calls, and a failure of each.
async fn life(world: &World) {
    let key = key("a");
    for version in (10..=80).step_by(10) {
        // A failed snapshot is tried again after a while.
        world.clock.advance(LONG);
        let loaded = world.engine.load(&key).await.unwrap();
        world.grow(&key, version);
        assert!(world.engine.committed(&loaded, version).is_queued());
        if version == 50 {
            world.store.fail(Op::Put, 1);
        }
        world.engine.flush(LONG).await.unwrap();
    }
    world
        .store
        .tamper_with(&key, 80, |mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        })
        .await;
    world.engine.load(&key).await.unwrap();
    let alien = AggregateKey::new("order", "x").unwrap();
    world.engine.at_version(&key, 81).await.unwrap_err();
    world.engine.load_many(&[key.clone(), alien.clone()]).await.remove(1).unwrap_err();
    let by = AdminContext::new("ann");
    world.engine.admin().delete(&alien, 1, &by).await.unwrap_err();
    world.engine.admin().delete(&key, 20, &by).await.unwrap();
    world.store.fail(Op::Delete, 1);
    world.engine.admin().delete(&key, 70, &by).await.unwrap_err();
    world.store.fail(Op::Get, 1);
    assert_eq!(world.engine.load(&key).await.unwrap_err().kind(), ErrorKind::Store);
}

type Builder = EngineBuilder<Account>;

fn world(observe: impl FnOnce(Builder) -> Builder) -> World {
    World::with(|builder| {
        observe(builder.trigger(every_events(10)).retention(keep_last(2)).encode_in_place(u64::MAX))
    })
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Observer for Lines {
    fn observe(&self, observation: &Observation<'_>) {
        self.0.lock().unwrap().push(observation.to_string());
    }
}

#[tokio::test]
async fn each_operation_is_reported_in_one_line() {
    let lines = Lines::default();
    let second = lines.clone();
    let world = world(|builder| builder.observer(Explosive).observer(second));
    life(&world).await;
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    for wanted in [
        "loaded account \"a\" at version 70 from the snapshot at 70",
        "captured account \"a\" at version 80",
        "stored: account \"a\" at version 80",
        "a background snapshot of account \"a\" failed",
        "retention deleted",
        "account \"a\" was not loaded: cannot load a version: the newest version",
        "order \"x\" was not loaded",
        "account \"a\" was not loaded: cannot use the store",
        "delete account \"a\" at version 20 by ann in",
        "delete account \"a\" at version 70 by ann failed after",
    ] {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:#?}");
    }
    assert_eq!(world.engine.statistics().observer_panics, lines.len() as u64);
}

/// Panics at each observation.
struct Explosive;

impl Observer for Explosive {
    fn observe(&self, _: &Observation<'_>) {
        panic!("the observer panicked");
    }
}

// tracing -----------------------------------------------------------------------------------------

/// Events, and spans as lines at a level of their own.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>, Arc<Mutex<Spans>>);

#[derive(Default)]
struct Spans {
    /// Name and fields of each span.
    opened: Vec<String>,
    /// The ids of the spans that are entered.
    entered: Vec<u64>,
    /// Each event, with the innermost span around it.
    events: Vec<(Option<String>, String)>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "snapfold"
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(format!("{} ", attributes.metadata().name()));
        attributes.record(&mut fields);
        let mut spans = self.1.lock().unwrap();
        spans.opened.push(fields.0);
        Id::from_u64(spans.opened.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let mut spans = self.1.lock().unwrap();
        let around = spans.entered.last().copied();
        let around = around.map(|id| spans.opened[usize::try_from(id).unwrap() - 1].clone());
        spans.events.push((around, fields.0.clone()));
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }
    fn enter(&self, id: &Id) {
        self.1.lock().unwrap().entered.push(id.into_u64());
    }
    fn exit(&self, id: &Id) {
        assert_eq!(self.1.lock().unwrap().entered.pop(), Some(id.into_u64()));
    }
}

#[tokio::test]
async fn logs_have_levels_by_what_an_operator_must_see() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    life(&world(|builder| builder.observer(Tracing::new()))).await;
    drop(guard);
    let lines = log.0.lock().unwrap().clone();
    let has = |level: Level, text: &str| {
        assert!(
            lines.iter().any(|(l, line)| *l == level && line.contains(text)),
            "{text}: {lines:#?}"
        );
    };
    has(Level::TRACE, "loaded account");
    has(Level::WARN, "the checksum of the payload does not match");
    has(Level::DEBUG, "stored: account");
    has(Level::DEBUG, "retention deleted");
    has(Level::WARN, "a background snapshot of account \"a\" failed");
    has(Level::ERROR, "was not loaded");
    has(Level::INFO, "delete account \"a\" at version 20 by ann");
    has(Level::WARN, "delete account \"a\" at version 70 by ann failed");
    assert!(
        lines
            .iter()
            .all(|(_, line)| line.contains("kind=\"account\"") || line.contains("kind=\"order\""))
    );
}

#[tokio::test]
async fn operations_have_spans_around_what_they_report() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    life(&world(|builder| builder.observer(Tracing::new()))).await;
    drop(guard);
    let spans = log.1.lock().unwrap();
    assert_eq!(spans.entered, [0_u64; 0]);
    let about = "tenant=\"\" kind=\"account\" id=\"a\" ";
    for (name, fields) in [
        ("load", about),
        ("load_many", "count=2 "),
        ("save", about),
        ("put", "count=1 "),
        ("retention", about),
    ] {
        let span = format!("{name} {fields}");
        assert!(spans.opened.contains(&span), "{span}: {:#?}", spans.opened);
    }
    for (span, event) in [("load ", "loaded"), ("load ", "not loaded"), ("save ", "captured")] {
        let is_around = |(around, line): &(Option<String>, String)| {
            line.contains(event) && around.as_ref().is_some_and(|around| around.starts_with(span))
        };
        assert!(spans.events.iter().any(is_around), "{event}: {:#?}", spans.events);
    }
}

// metrics -----------------------------------------------------------------------------------------

/// Sums of counters and of histograms, by name and labels.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, Arc<Sum>>>>);

#[derive(Default)]
struct Sum(AtomicU64);

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Sum {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The highest value.
impl GaugeFn for Sum {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    fn set(&self, value: f64) {
        self.0.fetch_max(value as u64, Ordering::SeqCst);
    }
}

impl Sums {
    fn at(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }
}

impl metrics::Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.at(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.at(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.at(key))
    }
}

#[test]
fn metrics_have_stable_names_and_no_ids() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        let thresholds = HealthThresholds::new().saves_queued(1);
        let observe = |builder: Builder| builder.observer(Metrics::new());
        runtime.block_on(life(&world(|builder| observe(builder).health_thresholds(thresholds))));
    });
    let sums: BTreeMap<_, _> = sums
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(name, sum)| (name.clone(), sum.0.load(Ordering::SeqCst)))
        .collect();
    assert!(sums.keys().all(|name| !name.contains("=a,") && !name.contains("=a}")), "{sums:#?}");
    assert!(sums.keys().all(|name| !name.contains("order")), "{sums:#?}");
    let deleted = sums["snapfold_retention_deleted_total{kind=account}"];
    assert!(deleted > 0);
    for (name, wanted) in [
        ("snapfold_loads_total{kind=account,origin=snapshot}", 10),
        ("snapfold_loads_total{kind=account,origin=replay}", 1),
        ("snapfold_load_failures_total{kind=account,error=BeyondHead}", 1),
        ("snapfold_load_failures_total{kind=account,error=Store}", 1),
        // Callers may name any kind, so a foreign one is no label.
        ("snapfold_load_failures_total{kind=,error=InvalidInput}", 1),
        ("snapfold_misses_total{kind=account,reason=absent}", 1),
        ("snapfold_managed_total{kind=,action=delete,outcome=failed}", 1),
        ("snapfold_load_seconds{kind=account,phase=decode}", 11),
        ("snapfold_replayed_events{kind=account}", 11),
        ("snapfold_rejected_snapshots_total{kind=account,reason=payload_checksum}", 3),
        ("snapfold_saves_total{kind=account,outcome=stored}", 7),
        ("snapfold_saves_total{kind=account,outcome=failed}", 1),
        ("snapfold_save_seconds{kind=account}", 7),
        ("snapfold_saves_queued{kind=account}", 1),
        ("snapfold_saves_running{kind=account}", 1),
        ("snapfold_replays_running{kind=account}", 1),
        ("snapfold_replays_waiting{kind=account}", 0),
        ("snapfold_health_raised{kind=account,signal=saves_queued}", 1),
        ("snapfold_snapshot_raw_bytes{kind=account}", 7),
        ("snapfold_snapshot_stored_bytes{kind=account}", 7),
        ("snapfold_managed_total{kind=account,action=delete,outcome=ok}", 1),
        ("snapfold_managed_total{kind=account,action=delete,outcome=failed}", 1),
        ("snapfold_managed_seconds{kind=account,action=delete}", 2),
    ] {
        assert_eq!(sums.get(name), Some(&wanted), "{name}: {sums:#?}");
    }
}
