//! What snapshots say about themselves: source, predecessor, producer, fields, warnings and a summary
//! of changes. Requests that are repeated, and snapshots that are found and retired by all this.

use std::sync::Arc;
use std::time::Duration;

use snapfold::manager::{
    AdminContext, CreateOptions, CreateOutcome, CreateRequest, SnapshotAdmin, SnapshotFilter,
};
use snapfold::record::{SnapshotDetails, SnapshotMeta, SnapshotSource};
use snapfold::service::Batch;
use snapfold::store::{ListRequest, MarkKind};
use snapfold::trigger::{every_events, manual};
use snapfold::{AggregateKey, ErrorKind, Point};

use crate::support::{Event, World, key};

fn world() -> World {
    World::with(|builder| builder.trigger(manual()).producer("bank 1.4.2"))
}

async fn metas(world: &World, key: &AggregateKey) -> Vec<SnapshotMeta> {
    world.engine.snapshots(key, 0..=u64::MAX).await.unwrap()
}

fn versions(metas: &[SnapshotMeta]) -> Vec<u64> {
    metas.iter().map(|meta| meta.version).collect()
}

async fn create(
    world: &World,
    key: &AggregateKey,
    options: CreateOptions,
    context: &AdminContext,
) -> Result<CreateOutcome, snapfold::Error> {
    world.engine.admin().create(key, options, context).await
}

#[tokio::test]
async fn a_snapshot_says_who_asked_for_it_and_what_it_was_built_on() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    let by = AdminContext::new("ops@example.com");
    let options = CreateOptions::new()
        .source(SnapshotSource::Import)
        .field("provider", "land registry")
        .field("confidence", "0.9")
        .field("provider", "a second one")
        .warning("two parcels overlap");
    create(&world, &key, options, &by).await.unwrap();
    world.grow(&key, 30);
    create(&world, &key, CreateOptions::new(), &AdminContext::default()).await.unwrap();

    let metas = metas(&world, &key).await;
    let [newest, first] = &metas[..] else { panic!("{metas:?}") };
    let details = first.details();
    assert_eq!((details.source, details.predecessor), (SnapshotSource::Import, None));
    assert_eq!(details.created_by.as_deref(), Some("ops@example.com"));
    assert_eq!(details.producer.as_deref(), Some("bank 1.4.2"));
    assert_eq!((details.field("provider"), details.fields.len()), (Some("land registry"), 3));
    assert_eq!(details.warnings, ["two parcels overlap"]);
    assert_eq!(newest.details().predecessor, Some(first.id()));
    assert_eq!((newest.details().source, &newest.details().created_by), {
        (SnapshotSource::Manual, &None)
    });
}

#[tokio::test]
async fn the_chain_of_background_snapshots_can_be_walked() {
    let world = World::with(|builder| builder.trigger(every_events(10)).without_retention());
    let key = key("a");
    for version in [10, 20, 30, 40] {
        let loaded = world.engine.load(&key).await.unwrap();
        world.grow(&key, version);
        world.engine.committed(&loaded, version);
        world.engine.flush(Duration::from_secs(9)).await.unwrap();
    }
    let metas = metas(&world, &key).await;
    let mut walked = vec![metas[0].version];
    let mut at = &metas[0];
    while let Some(predecessor) = at.details().predecessor {
        at = metas.iter().find(|meta| meta.id() == predecessor).unwrap();
        walked.push(at.version);
    }
    assert_eq!(walked, [40, 30, 20, 10]);
    assert!(metas.iter().all(|meta| meta.details().source == SnapshotSource::Trigger));

    // A rebuild folds from the beginning, and keeps what the application said.
    let said = CreateOptions::new().at_version(35).label("l").field("name", "value");
    create(&world, &key, said, &AdminContext::new("ops")).await.unwrap();
    let rebuilt = world.engine.rebuild(&key, 35).await.unwrap().meta;
    assert_eq!((rebuilt.details().source, rebuilt.details().predecessor), {
        (SnapshotSource::Rebuild, None)
    });
    assert_eq!(rebuilt.details().field("name"), Some("value"));
    assert_eq!(rebuilt.labels, ["l"]);
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_anything_is_loaded() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 5);
    let long = |bytes: usize| "x".repeat(bytes);
    let name = SnapshotDetails::MAX_NAME_BYTES;
    let all = SnapshotDetails::MAX_BYTES;
    let by = AdminContext::default();
    for (options, message) in [
        (CreateOptions::new().field("", "v"), "a field has an empty name: name it"),
        (CreateOptions::new().field(long(name + 1), ""), "201 bytes long, but the limit is 200"),
        (CreateOptions::new().field("n", long(all)), "8193 bytes long together, but the limit is"),
        (CreateOptions::new().warning(long(all + 1)), "8193 bytes long together"),
    ] {
        let reads = world.source.reads();
        let refused = create(&world, &key, options.clone(), &by).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
        assert!(refused.to_string().contains(message), "{refused}");
        let request = CreateRequest::new(key.clone(), options);
        let refused = world.engine.admin().create_many(&[request], &by).await.remove(0);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(world.source.reads(), reads);
    }
    let most = CreateOptions::new().field(long(name), long(all - name));
    create(&world, &key, most, &by).await.unwrap();
    assert_eq!(metas(&world, &key).await[0].details().fields[0].1.len(), all - name);
}

#[tokio::test]
async fn a_repeated_request_returns_the_first_snapshot() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    let by = AdminContext::new("ops").idempotency_key("ticket-1").expect_version(0);
    let options = CreateOptions::new().label("month-end").field("month", "may");
    let first = create(&world, &key, options.clone(), &by).await.unwrap();
    assert!(matches!(first, CreateOutcome::Stored(_)), "{first}");
    world.grow(&key, 25);
    // The expected version is that before the first attempt.
    let again = create(&world, &key, options.clone(), &by).await.unwrap();
    let CreateOutcome::Existing { meta, identical: true } = &again else { panic!("{again}") };
    assert_eq!((meta.version, Some(meta)), (10, first.meta()));

    let requests = [CreateRequest::new(key.clone(), options.clone())];
    let unexpecting = AdminContext::new("ops").idempotency_key("ticket-1");
    let many = world.engine.admin().create_many(&requests, &unexpecting).await.remove(0).unwrap();
    assert_eq!(many.meta().unwrap().version, 10);
    assert_eq!(versions(&metas(&world, &key).await), [10]);

    // The same key for something else.
    for other in [
        CreateOptions::new(),
        options.clone().at_version(20),
        options.clone().label("another"),
        options.clone().field("another", ""),
        options.clone().warning("!"),
        options.clone().source(SnapshotSource::Migration),
    ] {
        for context in [&by, &unexpecting] {
            let refused = create(&world, &key, other.clone(), context).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            let message = refused.to_string();
            assert!(message.contains("\"ticket-1\" was used for the snapshot of"), "{message}");
        }
    }
    // Another key, another aggregate: a new request.
    let other = AdminContext::new("ops").idempotency_key("ticket-2");
    create(&world, &key, options.clone(), &other).await.unwrap();
    let b = crate::support::key("b");
    world.grow(&b, 3);
    create(&world, &b, options, &unexpecting).await.unwrap();
    assert_eq!(versions(&metas(&world, &key).await), [25, 10]);
    assert_eq!(versions(&metas(&world, &b).await), [3]);
}

#[tokio::test]
async fn a_summary_says_what_changed_since_the_predecessor() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    let summarized = || CreateOptions::new().summarize_changes();
    let by = AdminContext::default();
    create(&world, &key, summarized(), &by).await.unwrap();
    world.grow(&key, 12);
    create(&world, &key, summarized(), &by).await.unwrap();
    let found = metas(&world, &key).await;
    assert_eq!(found[1].details().changes, None, "nothing came before it");
    let changes = found[0].details().changes.as_ref().unwrap();
    let before = world.engine.at_version(&key, 10).await.unwrap();
    let after = world.engine.at_version(&key, 12).await.unwrap();
    let diff = world.engine.diff(&key, Point::Version(10), Point::Version(12)).await.unwrap();
    assert_ne!(before.state, after.state);
    assert_eq!((changes.added, changes.changed, changes.removed), {
        (diff.added, diff.changed, diff.removed)
    });
    let paths: Vec<_> = diff.changes.iter().map(|change| change.path().to_string()).collect();
    assert_eq!(changes.paths, paths);
    assert!(changes.paths.iter().any(|path| path == "balance"), "{changes:?}");
}

#[tokio::test]
async fn another_state_is_replaced_if_asked_for() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    world.snapshots_at(&key, &[10]).await;
    let pinned = crate::support::key("b");
    world.grow(&pinned, 10);
    create(&world, &pinned, CreateOptions::new().pin("p"), &AdminContext::default()).await.unwrap();
    // Another history with as many events.
    for key in [&key, &pinned] {
        world.source.events.rewind(key, 0);
        for version in 1..=10 {
            world.source.append(key, 100 + version, Event::Deposited(7));
        }
    }
    let by = AdminContext::new("ops");
    let options = CreateOptions::new().at_version(10);
    let refused = create(&world, &key, options.clone(), &by).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    let replaced = create(&world, &key, options.clone().or_replace().pin("q"), &by).await.unwrap();
    let CreateOutcome::Replaced(meta) = &replaced else { panic!("{replaced}") };
    assert_eq!(meta.details().source, SnapshotSource::Rebuild);
    assert!(metas(&world, &key).await[0].is_pinned());
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 10);
    let again = create(&world, &key, options.clone().or_replace(), &by).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: true, .. }), "{again}");

    // A pinned one is kept, also if several are created together.
    let requests = [CreateRequest::new(pinned.clone(), CreateOptions::new().or_replace())];
    let many = world.engine.admin().create_many(&requests, &by).await.remove(0);
    assert_eq!(many.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn snapshots_of_one_build_are_retired_and_can_be_restored() {
    let bad = world();
    let keys: Vec<_> = (0..5).map(|n| key(&format!("k{n}"))).collect();
    for key in &keys {
        bad.grow(key, 20);
        bad.snapshots_at(key, &[10, 20]).await;
    }
    let good = World::over(bad.source.clone(), bad.store.clone(), |builder| {
        builder.trigger(manual()).producer("bank 1.4.3")
    });
    for key in &keys {
        good.grow(key, 30);
        good.snapshots_at(key, &[30]).await;
    }
    let filter = SnapshotFilter::new().producer("bank 1.4.2");
    let by = AdminContext::new("ops").reason("it rounded");
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(good.engine.clone());
    let batch = Batch::new(Arc::clone(&admin)).context(by.clone());
    let report = batch.retire(filter.clone(), "build 1.4.2").await;
    assert_eq!((report.counts.aggregates, report.counts.changed, report.counts.failed), (5, 5, 0));
    for key in &keys {
        let metas = metas(&good, key).await;
        let retired: Vec<_> = metas.iter().map(SnapshotMeta::is_retired).collect();
        assert_eq!(retired, [false, true, true]);
        let mark = metas[1].marks.find(MarkKind::Retirement, "build 1.4.2").unwrap();
        assert_eq!((mark.actor.as_str(), mark.note.as_str()), ("ops", "it rounded"));
    }
    let again = batch.retire(filter, "build 1.4.2").await;
    assert_eq!((again.counts.aggregates, again.counts.changed), (5, 0));
    let nothing = batch.retire(SnapshotFilter::new().label("none has it"), "n").await;
    assert_eq!(nothing.counts.changed, 0);
    let unnamed = batch.retire(SnapshotFilter::new(), "").await;
    assert_eq!(unnamed.counts.failed, 5, "{unnamed}");
}

#[tokio::test]
async fn a_filter_admits_what_every_condition_admits() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    let by = AdminContext::new("ops");
    create(&world, &key, CreateOptions::new().label("l"), &by).await.unwrap();
    let meta = metas(&world, &key).await.remove(0);
    let (at, later) = (meta.created_at, snapfold::Timestamp::MAX);
    let all = SnapshotFilter::new()
        .producer("bank 1.4.2")
        .created_by("ops")
        .source(SnapshotSource::Manual)
        .label("l")
        .generation(meta.generation)
        .created_from(at)
        .created_before(later);
    assert!(all.admits(&meta) && SnapshotFilter::new().admits(&meta));
    for other in [
        all.clone().producer("bank 1.4"),
        all.clone().created_by("op"),
        all.clone().source(SnapshotSource::Trigger),
        all.clone().label("other"),
        all.clone().origin("node"),
        all.clone().created_from(later),
        all.clone().created_before(at),
    ] {
        assert!(!other.admits(&meta), "{other}");
    }
}

#[tokio::test]
async fn pages_of_the_history_and_their_total() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 120);
    let all: Vec<u64> = (1..=120).collect();
    world.snapshots_at(&key, &all).await;
    let admin = world.engine.admin();
    let mut request = ListRequest::new(&key).limit(50);
    let mut pages = Vec::new();
    loop {
        let page = admin.snapshot_page(request).await.unwrap();
        pages.push(versions(&page.items));
        let Some(next) = page.next else { break };
        request = request.after(next);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(pages.concat(), all.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(admin.count(&key, 0..=u64::MAX).await.unwrap(), 120);
    assert_eq!(admin.count(&key, 11..=20).await.unwrap(), 10);
    assert_eq!(admin.count(&key, std::ops::RangeInclusive::new(20, 11)).await.unwrap(), 0);
    let other = AggregateKey::new("other", "a").unwrap();
    let refused = admin.snapshot_page(ListRequest::new(&other)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(admin.count(&other, 0..=9).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}
