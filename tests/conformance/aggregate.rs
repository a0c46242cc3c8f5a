//! The kit for application authors finds what is wrong with an aggregate, and says just that.
//!
//! The defect: a fold reads the clock, a field is not stored, an upcaster forgets a rule. Loads
//! from snapshots then differ from replays, now and then, in production, and nothing says so. Each
//! bad aggregate here has one such defect, and the report must name its law and no other. A kit
//! that cannot fail proves nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use snapfold::codec::{
    Codec, CodecId, DecodeLimits, Digester, Json, MessagePack, Postcard, TypeInfo,
};
use snapfold::conformance::{
    self, AggregateCheck, Choices, Law, LawFinding, LawOutcome, LawReport,
};
use snapfold::{Aggregate, AggregateKey, BoxError, Error, ErrorKind};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    Paid(i64),
    Tagged(String),
}

fn event(choices: &mut Choices) -> Event {
    const TAGS: [&str; 6] = ["red", "green", "blue", "late", "vip", "new"];
    if choices.chance(70) {
        Event::Paid(choices.between(-50..=100))
    } else {
        Event::Tagged((*choices.pick(&TAGS).unwrap()).to_owned())
    }
}

/// An aggregate over [`Event`] with a type, and a fold that is a function.
macro_rules! aggregate {
    (
        $(#[$meta:meta])*
        $name:ident ($version:literal) { $($(#[$on:meta])* $field:ident: $ty:ty,)* }
        $apply:expr
    ) => {
        #[derive(Clone, Default, Serialize, Deserialize)]
        $(#[$meta])*
        pub(crate) struct $name { $($(#[$on])* $field: $ty,)* }

        impl Aggregate for $name {
            type Event = Event;
            const KIND: &'static str = "account";
            const SCHEMA_VERSION: u32 = $version;

            fn initial(_: &AggregateKey) -> Self {
                Self::default()
            }

            fn apply(&mut self, event: &Event) {
                let apply: fn(&mut Self, &Event) = $apply;
                apply(self, event);
            }
        }
    };
}

fn check<A: Aggregate<Event = Event> + Serialize + DeserializeOwned>() -> AggregateCheck<A> {
    conformance::aggregate::<A>(|_, choices| event(choices)).debug_events().histories(30)
}

/// The finding, if `law` and nothing else is broken.
fn only(report: &LawReport, law: Law) -> LawFinding {
    let broken: Vec<_> = report.broken().collect();
    assert_eq!(broken.iter().map(|(law, _)| *law).collect::<Vec<_>>(), [law], "\n{report}");
    assert!(report.assert().is_err());
    broken[0].1.clone()
}

fn holds(report: &LawReport, law: Law) -> bool {
    matches!(report.outcome(law), Some(LawOutcome::Holds { .. }))
}

aggregate! {
    #[derive(Debug, PartialEq)]
    Good (2) { balance: i64, tags: BTreeMap<String, u32>, last: Option<String>, }
    |state, event| match event {
        Event::Paid(amount) => state.balance += amount,
        Event::Tagged(tag) => {
            *state.tags.entry(tag.clone()).or_default() += 1;
            state.last = Some(tag.clone());
        }
    }
}

#[test]
fn a_good_aggregate_keeps_every_law() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let report = check::<Good>()
            .compare(|a, b| a == b)
            .upcasts_from::<Before>(Postcard, upcast)
            .golden(folder.path())
            .record_golden()
            .second_process_runs("aggregate::a_good_aggregate_keeps_every_law")
            .check()
            .unwrap();
        assert!(report.assert_all().is_ok(), "round {round}\n{report}");
        assert_eq!(report.verdicts.len(), Law::ALL.len());
        assert!(report.events > 500, "{report}");
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 16, "eight samples of two files, recorded once");
}

#[test]
fn every_codec_carries_a_good_aggregate() {
    for report in [
        check::<Good>().codec(Json).one_process().check(),
        check::<Good>().codec(MessagePack).one_process().check(),
    ] {
        let report = report.unwrap();
        report.assert().unwrap();
        assert!(holds(&report, Law::Resumes) && holds(&report, Law::Canonical), "{report}");
    }
}

// L-01 ---------------------------------------------------------------------------------------

aggregate! {
    Panics (1) { balance: i64, }
    |state, event| match event {
        Event::Paid(amount) => {
            state.balance += amount;
            assert!(state.balance < 300, "too rich");
        }
        Event::Tagged(_) => {}
    }
}

#[test]
fn a_fold_that_panics_is_found_with_the_fewest_events() {
    let report = check::<Panics>().check().unwrap();
    let finding = only(&report, Law::Total);
    assert!(finding.text.contains("\"too rich\" at tests"), "{finding:?}");
    let history = finding.history.unwrap();
    assert!((3..=8).contains(&history.versions.len()), "{history:?}");
    assert_eq!(history.shown.len(), history.versions.len());
    assert!(history.shown.iter().all(|event| event.starts_with("Paid(")), "{history:?}");
    let why = report.unjudged().find(|(law, _)| *law == Law::Resumes).unwrap().1;
    assert_eq!(why, "L-01 does not hold");
}

#[derive(Clone, Serialize, Deserialize)]
struct NeverBegins;

impl Aggregate for NeverBegins {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        panic!("no state for {key}")
    }

    fn apply(&mut self, _: &Event) {}
}

#[test]
fn an_initial_state_that_panics_is_found() {
    let report = check::<NeverBegins>().check().unwrap();
    let finding = only(&report, Law::Total);
    assert!(finding.text.contains("initial panics") && finding.history.is_none(), "{finding:?}");
}

// L-02 ---------------------------------------------------------------------------------------

aggregate! {
    ReadsTheClock (1) { balance: i64, paid_at: u128, }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        state.paid_at = now.unwrap().as_nanos();
    }
}

#[test]
fn a_fold_that_reads_the_clock_is_found_with_its_field() {
    let report = check::<ReadsTheClock>().check().unwrap();
    let finding = only(&report, Law::Repeatable);
    assert!(finding.text.contains("differ at ReadsTheClock.paid_at"), "{finding:?}");
    let history = finding.history.unwrap();
    assert_eq!(history.versions.len(), 1, "{history:?}");
    assert!(holds(&report, Law::Survives) && !holds(&report, Law::Resumes), "{report}");
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

aggregate! {
    Counts (1) { last: u64, }
    |state, _| state.last = NUMBER.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn a_fold_that_counts_outside_the_state_is_found() {
    only(&check::<Counts>().check().unwrap(), Law::Repeatable);
}

aggregate! {
    HashOrder (1) { tags: Vec<String>, first: Option<String>, }
    |state, event| if let Event::Tagged(tag) = event {
        state.tags.push(tag.clone());
        let distinct: HashSet<_> = state.tags.iter().collect();
        state.first = distinct.into_iter().next().cloned();
    }
}

#[test]
fn a_fold_that_depends_on_the_order_of_a_hash_set_is_found() {
    let report = check::<HashOrder>().check().unwrap();
    let finding = only(&report, Law::Repeatable);
    assert!(finding.text.contains("HashOrder.first"), "{finding:?}");
}

// L-03 ---------------------------------------------------------------------------------------

thread_local! {
    static RATE: Cell<i64> = const { Cell::new(1) };
}

aggregate! {
    ThreadLocal (1) { balance: i64, }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount * RATE.get();
    }
}

#[test]
fn a_fold_that_reads_a_thread_local_is_found() {
    RATE.set(3);
    let report = check::<ThreadLocal>().check().unwrap();
    let finding = only(&report, Law::AnyThread);
    assert!(finding.text.contains("on another thread"), "{finding:?}");
    assert_eq!(finding.history.unwrap().versions.len(), 1);
}

// L-04 ---------------------------------------------------------------------------------------

aggregate! {
    ProcessId (1) { balance: i64, by: u32, }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
        if state.balance > 500 {
            state.by = std::process::id();
        }
    }
}

#[test]
fn a_fold_that_depends_on_the_process_is_found() {
    let report = check::<ProcessId>()
        .second_process_runs("aggregate::a_fold_that_depends_on_the_process_is_found")
        .check()
        .unwrap();
    let finding = only(&report, Law::AnyProcess);
    assert!(finding.text.contains("in another process gives a different state"), "{finding:?}");
    assert!(!finding.history.unwrap().shown.is_empty());
}

#[test]
fn a_generator_that_depends_on_the_process_is_not_taken_for_a_fold_that_does() {
    let report = conformance::aggregate::<Good>(|_, choices| {
        Event::Paid(choices.between(0..=9) + i64::from(std::process::id()))
    })
    .debug_events()
    .second_process_runs(
        "aggregate::a_generator_that_depends_on_the_process_is_not_taken_for_a_fold_that_does",
    )
    .check()
    .unwrap();
    report.assert().unwrap();
    let (_, why) = report.unjudged().find(|(law, _)| *law == Law::AnyProcess).unwrap();
    assert!(why.contains("the generator returns different events"), "{why}");
}

#[test]
fn the_running_test_is_found_out_where_the_harness_tells() {
    let report = check::<Good>().check().unwrap();
    report.assert().unwrap();
    // With one test thread the harness runs tests on the main one, and tells only a runner that
    // starts each test by its name.
    let thread = std::thread::current();
    let told = thread.name() != Some("main") || std::env::args().any(|arg| arg == "--exact");
    let bystander = std::env::var_os("SNAPFOLD_SECOND_PROCESS").is_some();
    assert_eq!(holds(&report, Law::AnyProcess), told && !bystander, "{report}");
}

#[test]
fn a_second_process_that_does_not_come_to_the_check_proves_nothing() {
    let report = check::<Good>().second_process_runs("no::such::test").check().unwrap();
    report.assert().unwrap();
    assert!(report.assert_all().is_err());
    let (_, why) = report.unjudged().find(|(law, _)| *law == Law::AnyProcess).unwrap();
    assert!(why.contains("did not reach this check"), "{why}");
}

#[test]
fn the_right_check_of_a_test_answers_in_the_second_process() {
    let test = "aggregate::the_right_check_of_a_test_answers_in_the_second_process";
    let before = check::<Good>().second_process_runs(test).check();
    let before = before.unwrap();
    assert!(before.assert_all().is_err() || std::env::var_os("SNAPFOLD_SECOND_PROCESS").is_some());
    let reports: Vec<_> = (1..=3)
        .map(|seed| check::<ProcessId>().seed(seed).second_process_runs(test).check().unwrap())
        .collect();
    for report in &reports {
        only(report, Law::AnyProcess);
    }
    assert!(holds(&before, Law::AnyProcess), "{before}");
}

// L-05 ---------------------------------------------------------------------------------------

#[derive(Clone)]
struct Shares {
    balance: Arc<AtomicI64>,
}

impl Serialize for Shares {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.balance.load(Ordering::Relaxed).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let balance = i64::deserialize(deserializer)?;
        Ok(Self { balance: Arc::new(AtomicI64::new(balance)) })
    }
}

impl Aggregate for Shares {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { balance: Arc::default() }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Paid(amount) = event {
            self.balance.fetch_add(*amount, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_clone_that_shares_its_parts_is_found() {
    let finding = only(&check::<Shares>().check().unwrap(), Law::OwnClone);
    assert!(finding.text.contains("they share data"), "{finding:?}");
    assert_eq!(finding.history.unwrap().versions.len(), 1);
}

// L-06 ---------------------------------------------------------------------------------------

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn tenths<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    (value / 10).serialize(serializer)
}

aggregate! {
    Lossy (1) {
        #[serde(serialize_with = "tenths")]
        balance: i64,
    }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
    }
}

#[test]
fn a_state_that_is_written_as_another_one_is_found() {
    let finding = only(&check::<Lossy>().check().unwrap(), Law::Survives);
    assert!(
        finding.text.contains("is changed by encoding and decoding with postcard"),
        "{finding:?}"
    );
    assert!(finding.text.contains("Lossy.balance"), "{finding:?}");
}

aggregate! {
    Flattened (1) {
        balance: i64,
        #[serde(flatten)]
        rest: BTreeMap<String, u32>,
    }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
    }
}

#[test]
fn a_type_that_the_codec_cannot_carry_is_found() {
    let report = check::<Flattened>().check().unwrap();
    let finding = only(&report, Law::Survives);
    assert!(finding.text.contains("flatten"), "{finding:?}");
    assert_eq!(report.generation, None);
    check::<Flattened>().codec(Json).check().unwrap().assert().unwrap();
}

// L-07 ---------------------------------------------------------------------------------------

aggregate! {
    #[derive(PartialEq)]
    Skips (1) {
        balance: i64,
        fees: u32,
        #[serde(skip)]
        payments: u32,
    }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
        state.payments += 1;
        if state.payments % 5 == 0 {
            state.fees += 1;
        }
    }
}

#[test]
fn a_field_that_is_not_stored_and_matters_is_found() {
    let finding = only(&check::<Skips>().check().unwrap(), Law::Resumes);
    assert!(finding.text.contains("differ at Skips.fees"), "{finding:?}");
    assert_eq!(finding.history.unwrap().versions.len(), 5);
}

#[test]
fn with_a_comparison_a_field_that_is_not_stored_is_found_where_it_is_lost() {
    let report = check::<Skips>().compare(|a, b| a == b).check().unwrap();
    let finding = only(&report, Law::Survives);
    assert!(finding.text.contains("compare() returned false"), "{finding:?}");
    assert_eq!(finding.history.unwrap().versions.len(), 1);
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    ((value * 10.0).round() / 10.0).serialize(serializer)
}

aggregate! {
    Rounds (1) {
        #[serde(serialize_with = "rounded")]
        interest: f64,
    }
    |state, event| if let Event::Paid(amount) = event {
        state.interest += f64::from(i32::try_from(*amount).unwrap()) * 0.013;
    }
}

/// What is read back is written the same, so encoding, decoding and encoding again sees nothing.
#[test]
fn a_value_that_is_rounded_when_it_is_stored_is_found() {
    let finding = only(&check::<Rounds>().check().unwrap(), Law::Resumes);
    assert!(finding.text.contains("Rounds.interest"), "{finding:?}");
}

// L-08 ---------------------------------------------------------------------------------------

#[derive(Clone, Default, Serialize, Deserialize)]
struct Line {
    tags: HashMap<String, u32>,
    colours: HashSet<String>,
}

aggregate! {
    Hashes (1) { lines: Vec<Line>, totals: HashMap<String, i64>, }
    |state, event| match event {
        Event::Paid(amount) => *state.totals.entry(amount.to_string()).or_default() += amount,
        Event::Tagged(tag) => {
            if state.lines.last().is_none_or(|line| line.tags.len() > 4) {
                state.lines.push(Line::default());
            }
            let line = state.lines.last_mut().unwrap();
            *line.tags.entry(tag.clone()).or_default() += 1;
            line.colours.insert(tag.clone());
        }
    }
}

#[test]
fn hash_maps_in_a_state_are_named() {
    let report = check::<Hashes>().histories(8).check().unwrap();
    let finding = only(&report, Law::Canonical);
    for place in [
        "Hashes.totals, a HashMap<String, i64>",
        "Hashes.lines[].tags, a HashMap<String, u32>",
        "Hashes.lines[].colours, a HashSet<String>",
    ] {
        assert!(finding.text.contains(place), "{place}: {finding:?}");
    }
    assert!(holds(&report, Law::Resumes) && holds(&report, Law::Repeatable), "{report}");
}

#[test]
fn json_sorts_maps_and_not_sets() {
    let report = check::<Hashes>().histories(8).codec(Json).check().unwrap();
    let finding = only(&report, Law::Canonical);
    assert!(finding.text.contains("Hashes.lines[].colours, a HashSet"), "{finding:?}");
}

mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &HashMap<String, u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<String, u32>, D::Error> {
        Ok(Vec::<(String, u32)>::deserialize(deserializer)?.into_iter().collect())
    }
}

aggregate! {
    AsPairs (1) {
        #[serde(with = "pairs")]
        tags: HashMap<String, u32>,
    }
    |state, event| if let Event::Tagged(tag) = event {
        *state.tags.entry(tag.clone()).or_default() += 1;
    }
}

#[test]
fn a_hash_map_that_is_written_as_a_list_is_found_by_its_path() {
    let finding = only(&check::<AsPairs>().check().unwrap(), Law::Canonical);
    assert!(finding.text.contains("AsPairs.tags"), "{finding:?}");
}

#[test]
fn a_broken_law_can_be_accepted_with_a_reason() {
    let check = check::<Hashes>().histories(8).accept(Law::Canonical, "one writer only");
    let report = check.check().unwrap();
    report.assert().unwrap();
    let outcome = report.outcome(Law::Canonical).unwrap();
    assert!(matches!(outcome, LawOutcome::Accepted { reason, .. } if reason == "one writer only"));
    assert!(report.to_string().contains("accepted: one writer only"), "{report}");
}

// L-09, L-10, L-11 ---------------------------------------------------------------------------

aggregate! {
    Before (1) { balance: i64, tags: BTreeMap<String, u32>, last: String, }
    |state, event| match event {
        Event::Paid(amount) => state.balance += amount,
        Event::Tagged(tag) => {
            *state.tags.entry(tag.clone()).or_default() += 1;
            state.last.clone_from(tag);
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "upcasters may fail")]
fn upcast(old: Before) -> Result<Good, BoxError> {
    let last = Some(old.last).filter(|last| !last.is_empty());
    Ok(Good { balance: old.balance, tags: old.tags, last })
}

#[expect(clippy::unnecessary_wraps, reason = "upcasters may fail")]
fn forgetful(old: Before) -> Result<Good, BoxError> {
    Ok(Good { balance: old.balance, tags: old.tags, last: None })
}

fn recorded<A: Aggregate<Event = Event> + Serialize + DeserializeOwned>(folder: &Path) {
    let report = check::<A>().golden(folder).record_golden().one_process().check().unwrap();
    report.assert().unwrap();
    assert!(holds(&report, Law::Golden), "{report}");
}

/// A good aggregate with the fold of [`Good`] changed and nothing else.
mod changed {
    use super::*;

    aggregate! {
        Good (2) { balance: i64, tags: BTreeMap<String, u32>, last: Option<String>, }
        |state, event| match event {
            Event::Paid(amount) => state.balance += (*amount).max(0),
            Event::Tagged(tag) => {
                *state.tags.entry(tag.clone()).or_default() += 1;
                state.last = Some(tag.clone());
            }
        }
    }
}

#[test]
fn a_fold_that_changed_its_meaning_is_found_by_golden_samples() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Good>(folder.path());
    let report = check::<changed::Good>().golden(folder.path()).one_process().check().unwrap();
    let finding = only(&report, Law::Meaning);
    assert!(finding.text.contains("Good.balance"), "{finding:?}");
    assert!(finding.text.contains("raise SCHEMA_VERSION"), "{finding:?}");
}

#[test]
fn an_upcaster_that_does_not_do_what_replaying_does_is_found_by_the_old_fold() {
    let report =
        check::<Good>().upcasts_from::<Before>(Postcard, forgetful).one_process().check().unwrap();
    let finding = only(&report, Law::Upcasts);
    assert!(finding.text.contains("differ at Good.last"), "{finding:?}");
    assert_eq!(finding.history.unwrap().versions.len(), 1);
}

#[test]
fn an_upcaster_that_does_not_do_what_replaying_does_is_found_by_golden_samples() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Before>(folder.path());
    let with = |upcast: fn(Before) -> Result<Good, BoxError>| {
        let check = check::<Good>().upcasts::<Before>(1, Postcard, upcast).golden(folder.path());
        check.one_process().check().unwrap()
    };
    let finding = only(&with(forgetful), Law::Upcasts);
    assert!(finding.text.contains("differ at Good.last"), "{finding:?}");
    let report = with(upcast);
    report.assert().unwrap();
    assert!(holds(&report, Law::Upcasts), "{report}");
    // An honest refusal is a miss.
    let report = with(|_| Err("not today".into()));
    report.assert().unwrap();
    let Some(LawOutcome::Holds { note }) = report.outcome(Law::Golden) else { panic!("{report}") };
    assert!(
        note.contains("0 of 8 samples load; 8 replayed: the upcaster refused the old state"),
        "{note}"
    );
}

#[test]
fn old_samples_without_an_upcaster_are_replayed_and_today_has_none_yet() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Before>(folder.path());
    let report = check::<Good>().golden(folder.path()).one_process().check().unwrap();
    report.assert().unwrap();
    let Some(LawOutcome::Holds { note }) = report.outcome(Law::Golden) else { panic!("{report}") };
    assert!(note.contains("8 replayed: the snapshot belongs to another generation"), "{note}");
    let unjudged: Vec<_> = report.unjudged().map(|(law, _)| law).collect();
    assert_eq!(unjudged, [Law::AnyProcess, Law::Meaning, Law::Upcasts], "{report}");
}

#[test]
fn an_upcaster_that_nothing_tests_is_not_taken_to_be_right() {
    let report =
        check::<Good>().upcasts::<Before>(1, Postcard, forgetful).one_process().check().unwrap();
    let (_, why) = report.unjudged().find(|(law, _)| *law == Law::Upcasts).unwrap();
    assert!(why.contains("there is no golden sample of schema 1"), "{why}");
}

aggregate! {
    Named (1) { balance: i64, }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
    }
}

aggregate! {
    NamedLater (1) {
        balance: i64,
        #[serde(default)]
        payments: u32,
    }
    |state, event| if let Event::Paid(amount) = event {
        state.balance += amount;
        state.payments += 1;
    }
}

#[test]
fn defaults_that_are_not_what_replaying_gives_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let old = check::<Named>().codec(Json).golden(folder.path()).record_golden();
    old.one_process().check().unwrap().assert().unwrap();
    let new = check::<NamedLater>().codec(Json).golden(folder.path()).tolerate_shape_changes();
    let finding = only(&new.one_process().check().unwrap(), Law::Upcasts);
    assert!(finding.text.contains("NamedLater.payments"), "{finding:?}");
}

#[test]
fn samples_of_a_codec_that_was_left_are_read_if_the_application_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Good>(folder.path());
    let report = check::<Good>().codec(Json).also_reads(Postcard).golden(folder.path());
    let report = report.one_process().check().unwrap();
    report.assert().unwrap();
    let Some(LawOutcome::Holds { note }) = report.outcome(Law::Golden) else { panic!("{report}") };
    assert_eq!(note, "8 of 8 samples load");
}

#[test]
fn golden_samples_that_were_changed_are_found() {
    let check = |folder: &Path| check::<Good>().golden(folder).one_process().check().unwrap();
    let first = |folder: &Path, ending: &str| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
        files.sort();
        files.remove(0)
    };
    for (ending, says) in [("record", "was changed: the checksum"), ("events", "was changed: its")]
    {
        let folder = tempfile::tempdir().unwrap();
        recorded::<Good>(folder.path());
        let file = first(folder.path(), ending);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.iter().rposition(u8::is_ascii_digit).unwrap_or(bytes.len() - 1);
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let finding = only(&check(folder.path()), Law::Golden);
        assert!(finding.text.contains(says), "{finding:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    recorded::<Good>(folder.path());
    fs::remove_file(first(folder.path(), "events")).unwrap();
    let finding = only(&check(folder.path()), Law::Golden);
    assert!(finding.text.contains("has no readable events file"), "{finding:?}");
}

#[test]
fn events_that_can_no_longer_be_read_are_found() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Good>(folder.path());
    let report = check::<Good>()
        .golden_with(folder.path(), |_| Ok(String::new()), |_| Err("who wrote this?".into()))
        .one_process()
        .check()
        .unwrap();
    let finding = only(&report, Law::Golden);
    assert!(finding.text.contains("an unreadable event at version 1: who wrote"), "{finding:?}");
}

#[test]
fn golden_samples_are_never_overwritten_and_not_recorded_for_a_bad_aggregate() {
    let folder = tempfile::tempdir().unwrap();
    recorded::<Good>(folder.path());
    let all = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = all();
    let again = check::<Good>().seed(99).golden(folder.path()).record_golden().one_process();
    again.check().unwrap().assert().unwrap();
    assert_eq!(all(), before);
    check::<Skips>().golden(folder.path()).record_golden().one_process().check().unwrap();
    assert_eq!(all(), before);
}

#[test]
fn events_that_do_not_come_back_from_their_text_are_not_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let recording = |write: fn(&Event) -> Result<String, BoxError>| {
        check::<Good>()
            .golden_with(folder.path(), write, |_| Ok(Event::Paid(0)))
            .record_golden()
            .one_process()
            .check()
            .unwrap_err()
    };
    let error = recording(|_| Ok("event".to_owned()));
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("fold to a different state"), "{error}");
    let error = recording(|_| Ok("two\nlines".to_owned()));
    assert!(error.to_string().contains("line break"), "{error}");
}

// States that serde does not know ------------------------------------------------------------

#[derive(Clone, Debug)]
struct Raw {
    balance: i64,
    forgotten: i64,
}

impl Aggregate for Raw {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { balance: 0, forgotten: 0 }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Paid(amount) = event {
            self.forgotten += amount;
            self.balance = self.forgotten * 2;
        }
    }
}

#[derive(Debug)]
struct RawCodec {
    whole: bool,
}

impl Codec<Raw> for RawCodec {
    fn id(&self) -> CodecId {
        CodecId::custom(7)
    }

    fn is_self_describing(&self) -> bool {
        false
    }

    fn inspect(&self, _: &[Raw]) -> Result<TypeInfo, Error> {
        Ok(TypeInfo::default())
    }

    fn digester(&self) -> Digester<Raw> {
        Digester::none()
    }

    fn encode(&self, state: &Raw, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend(state.balance.to_le_bytes());
        if self.whole {
            out.extend(state.forgotten.to_le_bytes());
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8], _: DecodeLimits) -> Result<Raw, BoxError> {
        let balance = i64::from_le_bytes(bytes[..8].try_into()?);
        let forgotten = if self.whole { i64::from_le_bytes(bytes[8..].try_into()?) } else { 0 };
        Ok(Raw { balance, forgotten })
    }
}

#[test]
fn a_state_that_serde_does_not_know_is_compared_by_its_bytes() {
    let check = |whole| {
        let codec = RawCodec { whole };
        conformance::aggregate_with_codec::<Raw>(codec, |_, choices| event(choices)).one_process()
    };
    check(true).check().unwrap().assert().unwrap();
    let finding = only(&check(false).check().unwrap(), Law::Resumes);
    assert!(finding.text.contains("their bytes differ"), "{finding:?}");
}

// The check itself -----------------------------------------------------------------------------

#[test]
fn a_generator_sees_the_state_and_can_end_a_history() {
    let report = conformance::aggregate::<Good>(|state, choices| {
        assert!(state.balance < 100, "nobody asks for more");
        Event::Paid(choices.between(0..=30))
    })
    .ends_when(|state| state.balance >= 100)
    .one_process()
    .check()
    .unwrap();
    report.assert().unwrap();
    assert!(report.events < 30 * report.histories, "{report}");
}

#[test]
fn a_check_that_makes_no_sense_is_an_error() {
    let error = check::<Good>().histories(0).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let foreign = AggregateKey::new("order", "7").unwrap();
    let error = check::<Good>().key(foreign).check().unwrap_err();
    assert!(error.to_string().contains("is not of kind \"account\""), "{error}");
    let generator = conformance::aggregate::<Good>(|_, _| panic!("out of ideas"));
    let error = generator.check().unwrap_err();
    assert!(error.to_string().contains("the event generator panicked"), "{error}");
}

#[test]
fn a_seed_gives_the_same_report_again() {
    let report = |seed| {
        let report = check::<Panics>().seed(seed).check().unwrap();
        (report.to_string(), report.to_json())
    };
    assert_eq!(report(11), report(11));
    assert_ne!(report(11), report(12));
}

#[test]
fn the_report_has_eighty_columns_and_its_json_says_the_same() {
    let report = check::<Skips>().seed(5).one_process().check().unwrap();
    let text = report.to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("seed 5") && text.contains("L-07  BROKEN"), "{text}");
    let debug = format!("{:?}", report.assert().unwrap_err());
    assert_eq!(debug.trim_start(), text);

    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["seed"], &json["kind"]), (&"5".into(), &"account".into()));
    let laws = json["laws"].as_array().unwrap();
    assert_eq!(laws.len(), Law::ALL.len());
    let law = laws.iter().find(|law| law["id"] == "L-07").unwrap();
    assert_eq!(law["outcome"], "broken");
    assert_eq!(law["history"]["versions"].as_array().unwrap().len(), 5);
}
