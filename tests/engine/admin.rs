//! Looking after snapshots without their type: the registry of kinds, and changes on somebody's
//! behalf.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::support::{Account, Op, World, at, key, poll_times};
use async_trait::async_trait;
use snapfold::codec::CodecId;
use snapfold::ledger::{Cadence, Ledger, Schedule, ScheduleKey, StoreLedger};
use snapfold::manager::{
    AdminContext, AggregateStats, CreateOptions, CreateOutcome, CreateRequest, Inspect, Kinds,
    Rebuilt, Retained, StateValue,
};
use snapfold::record::{RecordBuilder, SnapshotMeta};
use snapfold::retention::{Retention, RetentionPlan, keep_last};
use snapfold::store::{Deleted, Mark, MarkChange, MarkKind, Marks, PutOptions, Selection};
use snapfold::{
    Aggregate, AggregateKey, Error, ErrorKind, Loaded, Loader, MemoryEvents, MemoryStore, Point,
    SnapshotAdmin, SnapshotEngine, SnapshotStore, Timestamp,
};

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Visits(u64);

impl Aggregate for Visits {
    type Event = u64;
    const KIND: &'static str = "visits";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(0)
    }

    fn apply(&mut self, more: &u64) {
        self.0 += more;
    }
}

#[tokio::test]
async fn a_registry_finds_the_engine_of_each_kind() {
    let world = World::new();
    let visits = SnapshotEngine::<Visits>::builder(MemoryEvents::new(), MemoryStore::new());
    let kinds = Kinds::new().with(world.engine.clone()).unwrap();
    let kinds = kinds.with(visits.build().unwrap()).unwrap();
    let names: Vec<_> = kinds.iter().map(SnapshotAdmin::kind).collect();
    assert_eq!(names, [Account::KIND, "visits"]);

    let twice = kinds.clone().with(world.engine.clone()).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::InvalidInput);
    let stranger = AggregateKey::new("invoice", "1").unwrap();
    let unknown = kinds.of(&stranger).unwrap_err().to_string();
    assert!(unknown.contains("invoice") && unknown.contains("visits"), "{unknown}");

    world.grow(&key("a"), 9);
    let by = AdminContext::new("sweeper");
    for admin in kinds.iter() {
        let key = AggregateKey::new(admin.kind(), "a").unwrap();
        admin.create(&key, CreateOptions::new(), &by).await.unwrap();
        admin.apply_retention(&key, &keep_last(1), &by).await.unwrap();
    }
    assert_eq!(world.engine.stats(&key("a")).await.unwrap().snapshots, 1);
}

#[tokio::test]
async fn a_change_that_expects_another_version_changes_nothing() {
    let world = World::new();
    let (key, admin) = (key("a"), world.engine.admin());
    world.grow(&key, 20);
    let none = AdminContext::new("ops").expect_version(0);
    admin.create(&key, CreateOptions::new().at_version(10), &none).await.unwrap();
    let before = world.store.calls(Op::Put) + world.store.calls(Op::Delete);
    for wrong in [0, 9, 11, u64::MAX] {
        let by = AdminContext::new("ops").expect_version(wrong);
        for refused in [
            admin.create(&key, CreateOptions::new(), &by).await.map(drop),
            admin.delete(&key, 10, &by).await.map(drop),
            admin.delete_before(&key, 11, &by).await.map(drop),
            admin.rebuild(&key, 10, &by).await.map(drop),
            admin.apply_retention(&key, &keep_last(0), &by).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().contains("at version 10"), "{error}");
        }
    }
    assert_eq!(world.store.calls(Op::Put) + world.store.calls(Op::Delete), before);
    let right = AdminContext::new("ops").expect_version(10);
    admin.rebuild(&key, 10, &right).await.unwrap();
    admin.create(&key, CreateOptions::new(), &right).await.unwrap();
    assert_eq!(world.engine.stats(&key).await.unwrap().snapshots, 2);
}

#[tokio::test]
async fn a_context_is_bounded_and_belongs_to_one_aggregate() {
    let world = World::new();
    let keys = [key("a"), key("b")];
    for key in &keys {
        world.grow(key, 3);
    }
    let requests = keys.each_ref().map(CreateRequest::from);
    let long = |bytes| "x".repeat(bytes + 1);
    for by in [
        AdminContext::new(long(AdminContext::MAX_NAME_BYTES)),
        AdminContext::new("ops").reason(long(AdminContext::MAX_REASON_BYTES)),
        AdminContext::new("ops").idempotency_key(long(AdminContext::MAX_NAME_BYTES)),
        AdminContext::new("ops").expect_version(0),
    ] {
        let created = world.engine.admin().create_many(&requests, &by).await;
        assert_eq!(created.len(), 2);
        for refused in created {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        if by.expected_version.is_none() {
            let refused = world.engine.admin().delete(&keys[0], 1, &by).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
    }
    assert_eq!(world.store.calls(Op::Put), 0);
    let by = AdminContext::new("ops").reason("x".repeat(AdminContext::MAX_REASON_BYTES));
    assert!(world.engine.admin().create_many(&requests, &by).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_state_is_seen_without_its_type() {
    let world = World::new();
    world.grow(&key("a"), 4);
    world.engine.create(&key("a")).await.unwrap();
    let admin = world.engine.admin();
    let view = admin.view(&key("a"), Point::Version(3)).await.unwrap();
    assert_eq!((view.version, view.as_of), (3, Some(at(3))));
    let loaded = world.engine.at_version(&key("a"), 3).await.unwrap();
    assert_eq!(view.state, StateValue::of(&*loaded.state).unwrap());
    assert_eq!(view.state.get("balance").unwrap().to_string(), loaded.state.balance.to_string());
    let beyond = admin.view(&key("a"), Point::Version(5)).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::BeyondHead);

    let shy = World::over(world.source, world.store, |builder| {
        builder.viewer(|state| {
            let mut shown = StateValue::of(state)?;
            shown.redact("balance");
            Ok(shown)
        })
    });
    let view = shy.engine.admin().view(&key("a"), Point::Now).await.unwrap();
    assert_eq!(view.state.get("balance").unwrap().to_string(), "\"[redacted]\"");
}

#[tokio::test]
async fn marks_are_set_and_cleared_without_the_type_of_the_states() {
    let world = World::new();
    let kinds = Kinds::new().with(world.engine.clone()).unwrap();
    let (key, by) = (key("a"), AdminContext::new("ops").reason("the audit"));
    let admin = kinds.of(&key).unwrap();
    world.grow(&key, 20);
    world.snapshots_at(&key, &[5, 10, 15]).await;

    let pin = Mark::pin("audit", at(30));
    let set = MarkChange::Set(&pin);
    assert_eq!(admin.mark(&key, Selection::Below(15), set, &by).await.unwrap(), 2);
    assert_eq!(admin.mark(&key, Selection::Below(15), set, &by).await.unwrap(), 0);
    assert_eq!(admin.mark(&key, Selection::Below(u64::MAX), set, &by).await.unwrap(), 1);
    let marks = admin.snapshots(&key, 10..=10).await.unwrap().remove(0).marks;
    assert_eq!(*marks, [pin.clone().actor("ops")]);
    // Whoever made the mark stays its author.
    let other = pin.clone().actor("auditor");
    admin.mark(&key, Selection::All, MarkChange::Set(&other), &by).await.unwrap();
    assert_eq!(*admin.snapshots(&key, 10..=10).await.unwrap().remove(0).marks, [other]);
    assert_eq!(admin.delete_before(&key, 11, &by).await.unwrap().pinned, 2);

    let wrong = by.clone().expect_version(10);
    let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "audit" };
    let conflict = admin.mark(&key, Selection::All, clear, &wrong).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert!(admin.snapshots(&key, 5..=15).await.unwrap().iter().all(SnapshotMeta::is_pinned));
    let right = by.clone().expect_version(15);
    assert_eq!(admin.mark(&key, Selection::All, clear, &right).await.unwrap(), 3);

    let stranger = Visits::key("a").unwrap();
    let refused = admin.mark(&stranger, Selection::All, set, &by).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_refold_stores_replaces_or_leaves_alone_and_says_which() {
    let world = World::new();
    let (key, by) = (key("a"), AdminContext::new("ops"));
    let admin = world.engine.admin();
    assert_eq!(admin.refold(&key, None, &by).await.unwrap(), CreateOutcome::Empty);
    world.grow(&key, 9);
    let refused = admin.refold(&key, Some(0), &by).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let beyond = admin.refold(&key, Some(10), &by).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::BeyondHead);
    for version in [Some(5), None] {
        let stored = admin.refold(&key, version, &by).await.unwrap();
        let CreateOutcome::Stored(meta) = stored else { panic!("{stored}") };
        assert_eq!(meta.version, version.unwrap_or(9));
        let again = admin.refold(&key, version, &by).await.unwrap();
        assert!(matches!(again, CreateOutcome::Existing { identical: true, .. }), "{again}");
    }

    // It folds all events: what a wrong snapshot says is not believed.
    put_wrong(&world, &key, 5, PutOptions::default().replace(true)).await;
    let wrong = Mark::retirement("wrong", at(30));
    let all = Selection::Generation(world.engine.generation());
    admin.mark(&key, all, MarkChange::Set(&wrong), &by).await.unwrap();
    let replaced = admin.refold(&key, Some(5), &by).await.unwrap();
    let CreateOutcome::Replaced(meta) = replaced else { panic!("{replaced}") };
    assert_eq!(*meta.marks, [wrong.clone().actor("ops")]);
    assert_eq!(world.load_checked(&key).await.provenance.snapshot, None);
    let clear = MarkChange::Clear { kind: MarkKind::Retirement, name: "wrong" };
    admin.mark(&key, all, clear, &by).await.unwrap();
    assert!(world.load_checked(&key).await.provenance.snapshot.is_some());
    let again = admin.refold(&key, Some(5), &by).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: true, .. }), "{again}");

    // Of one that is pinned, only a repair.
    let pins = Marks::new([Mark::pin("evidence", at(30))]).unwrap();
    put_wrong(&world, &key, 7, PutOptions::default().marks(pins)).await;
    let before = world.store.record(&key, 7).await;
    let pinned = admin.refold(&key, Some(7), &by).await.unwrap_err();
    assert_eq!(pinned.kind(), ErrorKind::Conflict);
    assert!(pinned.to_string().contains("rebuild()"), "{pinned}");
    assert!(format!("{pinned:#}").contains("a different state"), "{pinned:#}");
    assert_eq!(world.store.record(&key, 7).await, before);
    let repaired = admin.rebuild(&key, 7, &by).await.unwrap();
    assert!(repaired.replaced && repaired.meta.is_pinned());
    let right = admin.refold(&key, Some(7), &by).await.unwrap();
    assert!(matches!(right, CreateOutcome::Existing { identical: true, .. }), "{right}");

    world.source.events.truncate_below(&key, 3);
    let gone = admin.refold(&key, None, &by).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unrecoverable);
}

#[tokio::test]
async fn what_is_pinned_while_a_refold_runs_stays_as_it_is() {
    let by = AdminContext::new("ops");
    let (mut kept, mut replaced) = (0, 0);
    for polls in 1..40 {
        let world = World::new();
        let key = key("a");
        world.grow(&key, 9);
        put_wrong(&world, &key, 5, PutOptions::default()).await;
        world.source.yields.set(1);
        world.store.yields.set(1);
        let admin = world.engine.admin();
        let mut refold = Box::pin(admin.refold(&key, Some(5), &by));
        let mut answer = poll_times(&mut refold, polls);
        let pin = Mark::pin("evidence", at(30));
        let mut marked = Box::pin(world.store.mark(&key, Selection::All, MarkChange::Set(&pin)));
        while poll_times(&mut marked, 1).is_none() {}
        let pinned = world.store.record(&key, 5).await;
        if answer.is_none() {
            answer = Some(refold.await);
        }
        assert_eq!(world.store.record(&key, 5).await, pinned, "after {polls} polls");
        match answer.unwrap() {
            Ok(CreateOutcome::Replaced(_)) => replaced += 1,
            Err(error) if error.kind() == ErrorKind::Conflict => kept += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 5 && replaced > 5, "{kept} kept, {replaced} replaced");
}

/// Stores a well-formed snapshot of a wrong state, as a bug fixed since may have left it.
async fn put_wrong(world: &World, key: &AggregateKey, version: u64, options: PutOptions) {
    let right = world.engine.at_version(key, version).await.unwrap();
    let wrong = Account { balance: 1_000_000, ..Account::clone(&right.state) };
    let raw = postcard::to_stdvec(&wrong).unwrap();
    let record = RecordBuilder::new(key.clone(), world.engine.generation(), version, at(version));
    let record = record.codec(CodecId::POSTCARD).build(&raw).unwrap();
    world.store.put(vec![record], options).await.unwrap();
}

#[tokio::test]
async fn the_times_of_events_come_in_pages() {
    let world = World::new();
    let admin = world.engine.admin();
    world.grow(&key("a"), 5);
    let times = async |versions, limit| {
        let times = admin.times(&key("a"), versions, limit).await.unwrap();
        times.into_iter().map(|time| (time.version, time.recorded_at)).collect::<Vec<_>>()
    };
    let all: Vec<_> = (1..=5).map(|version| (version, Some(at(version)))).collect();
    assert_eq!(times(0..=u64::MAX, 10).await, all);
    assert_eq!(times(2..=4, 10).await, all[1..4]);
    assert_eq!(times(2..=4, 2).await, all[1..3]);
    assert_eq!(times(5..=5, 0).await, all[4..]);
    assert_eq!(times(6..=9, 10).await, []);
    let reads = world.source.reads();
    for nothing in [0..=0, u64::MAX..=u64::MAX, RangeInclusive::new(4, 3)] {
        assert_eq!(times(nothing, 10).await, []);
    }
    assert_eq!(world.source.reads(), reads, "asked for what cannot be");
    let stranger = Visits::key("a").unwrap();
    let refused = admin.times(&stranger, 1..=5, 10).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    world.source.fail_after(2);
    let failed = admin.times(&key("a"), 1..=5, 10).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::EventSource);
}

#[tokio::test]
async fn schedules_are_those_of_the_kind_whatever_else_the_ledger_keeps() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let accounts = World::with(|builder| builder.ledger(ledger.clone()));
    let visits = SnapshotEngine::<Visits>::builder(MemoryEvents::new(), MemoryStore::new());
    let visits = visits.ledger(ledger.clone()).build().unwrap();
    let kinds = Kinds::new().with(accounts.engine).unwrap().with(visits).unwrap();
    let by = AdminContext::new("ops");
    let cadence = Cadence::every(Duration::from_secs(60)).unwrap();
    let mut keys = Vec::new();
    for admin in kinds.iter() {
        for tenant in ["", "acme", "zeta"] {
            keys.push(ScheduleKey::kind_wide(tenant, admin.kind()).unwrap());
            for n in 0..100 {
                let id = format!("{n:03}");
                let one = AggregateKey::from_parts(tenant, admin.kind(), &id).unwrap();
                keys.push(ScheduleKey::from(one));
            }
        }
    }
    for key in &keys {
        let schedule = Schedule::new(key.clone(), cadence.clone(), at(1)).unwrap();
        kinds.get(key.kind()).unwrap().put_schedule(&schedule, &by).await.unwrap();
    }
    keys.sort();
    for admin in kinds.iter() {
        let own: Vec<_> = keys.iter().filter(|key| key.kind() == admin.kind()).collect();
        for limit in [0, 1, 7, 303, 1_000] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = admin.schedules(after.as_ref(), limit).await.unwrap();
                assert!(page.items.len() <= limit.max(1));
                assert!(page.next.is_none() || page.items.len() == limit.max(1));
                seen.extend(page.items.into_iter().map(|schedule| schedule.key));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.iter().collect::<Vec<_>>(), own, "by {limit}");
        }
    }

    // Another kind's are not this one's to change, and the ledger holds them as they were.
    let foreign = ScheduleKey::kind_wide("acme", "visits").unwrap();
    let accounts = kinds.get(Account::KIND).unwrap();
    let schedule = Schedule::new(foreign.clone(), cadence, at(9)).unwrap();
    for refused in [
        accounts.put_schedule(&schedule, &by).await.unwrap_err(),
        accounts.remove_schedule(&foreign, &by).await.unwrap_err(),
        accounts.schedules(Some(&foreign), 1).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(ledger.schedule(&foreign).await.unwrap().unwrap().updated_at, at(1));
    let visits = kinds.get("visits").unwrap();
    assert!(visits.remove_schedule(&foreign, &by).await.unwrap());
    assert!(!visits.remove_schedule(&foreign, &by).await.unwrap());
    // Every aggregate has the version that its snapshots have: none.
    let one = ScheduleKey::from(key("007"));
    let wrong = by.clone().expect_version(4);
    let conflict = accounts.remove_schedule(&one, &wrong).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert!(accounts.remove_schedule(&one, &by.expect_version(0)).await.unwrap());
}

#[tokio::test]
async fn without_a_ledger_schedules_are_unsupported_and_the_error_says_what_to_do() {
    let (world, by) = (World::new(), AdminContext::new("ops"));
    let admin = world.engine.admin();
    let schedule =
        Schedule::new(key("a"), Cadence::every(Duration::from_secs(60)).unwrap(), at(1)).unwrap();
    for error in [
        admin.put_schedule(&schedule, &by).await.unwrap_err(),
        admin.remove_schedule(&schedule.key, &by).await.unwrap_err(),
        admin.schedules(None, 1).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("EngineBuilder::ledger"), "{error}");
    }
}

/// What a simple implementation leaves out is unsupported, and nothing else.
#[tokio::test]
async fn an_implementation_may_leave_out_what_is_provided() {
    let (bare, by) = (Bare, AdminContext::default());
    let admin: &dyn SnapshotAdmin = &bare;
    let key = key("a");
    let schedule =
        Schedule::new(key.clone(), Cadence::every(Duration::from_secs(60)).unwrap(), at(1))
            .unwrap();
    let pin = Mark::pin("audit", at(1));
    for missing in [
        admin.view(&key, Point::Now).await.map(drop),
        admin.refold(&key, None, &by).await.map(drop),
        admin.mark(&key, Selection::All, MarkChange::Set(&pin), &by).await.map(drop),
        admin.times(&key, 1..=2, 9).await.map(drop),
        admin.put_schedule(&schedule, &by).await,
        admin.remove_schedule(&schedule.key, &by).await.map(drop),
        admin.schedules(None, 9).await.map(drop),
        admin.keys("", None, 9).await.map(drop),
        admin.event_keys("", None, 9).await.map(drop),
        admin.verify(&key).await.map(drop),
    ] {
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

/// As an application may have written it before more methods were provided.
#[derive(Debug)]
struct Bare;

fn nothing_here<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Store, "ask a fake", "nothing is here"))
}

impl Inspect for Bare {}

#[async_trait]
impl SnapshotAdmin for Bare {
    fn kind(&self) -> &str {
        Account::KIND
    }

    async fn create(
        &self,
        _: &AggregateKey,
        _: CreateOptions,
        _: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        nothing_here()
    }

    async fn create_many(
        &self,
        _: &[CreateRequest],
        _: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>> {
        Vec::new()
    }

    async fn snapshots(
        &self,
        _: &AggregateKey,
        _: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        nothing_here()
    }

    async fn delete(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Deleted, Error> {
        nothing_here()
    }

    async fn delete_before(
        &self,
        _: &AggregateKey,
        _: u64,
        _: &AdminContext,
    ) -> Result<Deleted, Error> {
        nothing_here()
    }

    async fn rebuild(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Rebuilt, Error> {
        nothing_here()
    }

    async fn stats(&self, _: &AggregateKey) -> Result<AggregateStats, Error> {
        nothing_here()
    }

    async fn plan_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        nothing_here()
    }

    async fn apply_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
        _: &AdminContext,
    ) -> Result<Retained, Error> {
        nothing_here()
    }
}

/// What reads states can be tested with a fake that gives any state.
#[tokio::test]
async fn a_loader_can_be_faked() {
    struct Fake;

    #[async_trait]
    impl Loader<Visits> for Fake {
        async fn load(&self, key: &AggregateKey) -> Result<Loaded<Visits>, Error> {
            Ok(Loaded::new(key.clone(), Visits(7), 3, Some(at(5))))
        }

        async fn at_version(&self, key: &AggregateKey, _: u64) -> Result<Loaded<Visits>, Error> {
            self.load(key).await
        }

        async fn at_time(&self, key: &AggregateKey, _: Timestamp) -> Result<Loaded<Visits>, Error> {
            self.load(key).await
        }

        async fn latest_known(
            &self,
            key: &AggregateKey,
            _: Point,
        ) -> Result<Loaded<Visits>, Error> {
            self.load(key).await
        }
    }

    let fake: &dyn Loader<Visits> = &Fake;
    let loaded = fake.load_many(&[Visits::key("a").unwrap()]).await.remove(0).unwrap();
    assert_eq!((loaded.state.0, loaded.version, loaded.as_of), (7, 3, Some(at(5))));
    assert_eq!(loaded.provenance.events_replayed, 3);
}
