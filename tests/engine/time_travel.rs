//! Histories, comparisons of states, bisection and explanations of loads.

use snapfold::engine::ReplayLoader;
use snapfold::manager::{AdminContext, Origin, SnapshotRole, View};
use snapfold::record::{Record, RejectReason};
use snapfold::store::{Mark, MarkChange, Selection};
use snapfold::trigger::manual;
use snapfold::{ErrorKind, Loader as _, Point, SnapshotAdmin, SnapshotEngine};

use crate::support::{Account, Op, World, at, key};

fn world() -> World {
    World::with(|builder| builder.trigger(manual()))
}

#[tokio::test]
async fn a_history_equals_a_replay_at_each_version() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 5_000);
    world.snapshots_at(&key, &[700, 1_900, 4_000]).await;
    let replay = ReplayLoader::<Account>::new(world.source.events.clone());
    for versions in [
        vec![],
        vec![0],
        vec![0, 1, 2, 3],
        vec![699, 700, 701],
        vec![10, 20, 2_000, 2_001, 4_100, 5_000],
        (0..=5_000).step_by(250).collect(),
    ] {
        let history = world.engine.history(&key, &versions).await.unwrap();
        assert_eq!(history.len(), versions.len());
        for (loaded, version) in history.iter().zip(&versions) {
            let truth = replay.at_version(&key, *version).await.unwrap();
            assert_eq!((loaded.version, &loaded.state), (*version, &truth.state));
            assert_eq!(loaded.as_of, truth.as_of);
        }
    }
}

#[tokio::test]
async fn a_history_reads_each_event_once_and_skips_with_snapshots() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 5_000);
    world.snapshots_at(&key, &[4_000]).await;
    let folded = |history: &[snapfold::Loaded<Account>]| -> Vec<u64> {
        history.iter().map(|loaded| loaded.provenance.events_replayed).collect()
    };
    let near = world.engine.history(&key, &[10, 20, 500]).await.unwrap();
    assert_eq!(folded(&near), [10, 10, 480]);
    // 3,980 events are skipped.
    let distant = world.engine.history(&key, &[20, 4_010, 5_000]).await.unwrap();
    assert_eq!(folded(&distant), [20, 10, 990]);
    assert_eq!(distant[1].provenance.origin, Origin::Snapshot);
    let calls = world.store.calls(Op::Get);
    let few = world.engine.history(&key, &[3_990, 4_010]).await.unwrap();
    assert_eq!((folded(&few), world.store.calls(Op::Get)), (vec![3_990, 20], calls + 1));
}

#[tokio::test]
async fn a_history_beyond_the_head_or_out_of_order_is_an_error() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 10);
    let failed =
        async |versions: &[u64]| world.engine.history(&key, versions).await.unwrap_err().kind();
    assert_eq!(failed(&[5, 11]).await, ErrorKind::BeyondHead);
    assert_eq!(failed(&[11]).await, ErrorKind::BeyondHead);
    assert_eq!(failed(&[u64::MAX]).await, ErrorKind::BeyondHead);
    assert_eq!(failed(&[5, 5]).await, ErrorKind::InvalidInput);
    assert_eq!(failed(&[6, 5]).await, ErrorKind::InvalidInput);
    let views = world.engine.admin().history(&key, &[3, 7]).await.unwrap();
    let balances: Vec<_> =
        views.iter().map(|v| v.state.get("balance").unwrap().to_string()).collect();
    assert_eq!(balances, ["6", "28"]);
}

#[tokio::test]
async fn a_history_notices_that_the_events_were_replaced_meanwhile() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 100);
    // Each load of a version beyond the head fails, and so does a walk whose events are gone.
    world.source.events.truncate_below(&key, 50);
    let gone = world.engine.history(&key, &[10, 60]).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unrecoverable);
}

#[tokio::test]
async fn a_diff_names_what_changed_between_two_points() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 3);
    world.source.append(&key, 4, crate::support::Event::Noted("hi".to_owned()));
    let diff = world.engine.diff(&key, Point::Version(2), Point::Now).await.unwrap();
    let paths: Vec<_> = diff.changes.iter().map(|change| change.path().to_string()).collect();
    assert_eq!(paths, ["balance", "digest", "note"]);
    assert!(diff.to_string().contains("~ note: \"\" -> \"hi\""), "{diff}");
    let none = world.engine.diff(&key, Point::Time(at(3)), Point::Version(3)).await.unwrap();
    assert!(none.is_empty());
    let beyond = world.engine.diff(&key, Point::Version(1), Point::Version(9)).await;
    assert_eq!(beyond.unwrap_err().kind(), ErrorKind::BeyondHead);
}

#[tokio::test]
async fn a_bisection_finds_the_first_version_with_few_reconstructions() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 1_000);
    world.snapshots_at(&key, &(100..=1_000).step_by(100).collect::<Vec<_>>()).await;
    for sought in [1_i64, 2, 499, 500, 501, 1_000] {
        let balance = sought * (sought + 1) / 2;
        let found =
            world.engine.bisect(&key, 1..=1_000, |account| account.balance >= balance).await;
        let found = found.unwrap();
        assert_eq!(found.first, Some(sought.cast_unsigned()));
        assert!(found.reconstructions <= 10, "{found}");
        let mut is_rich = |view: &View| {
            let shown = view.state.get("balance").unwrap().to_string();
            Ok(shown.parse::<i64>()? >= balance)
        };
        let untyped = world.engine.admin().bisect(&key, 1..=1_000, &mut is_rich).await.unwrap();
        assert_eq!(untyped, found);
    }
    let never = world.engine.bisect(&key, 1..=1_000, |_| false).await.unwrap();
    assert_eq!(never.first, None);
    let beyond = world.engine.bisect(&key, 1..=5_000, |_| false).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::BeyondHead);
    let mut failing = |_: &View| Err("no answer".into());
    let failed = world.engine.admin().bisect(&key, 1..=10, &mut failing).await.unwrap_err();
    assert!(format!("{failed:#}").ends_with("no answer"), "{failed:#}");
}

#[tokio::test]
async fn an_explanation_says_what_became_of_each_snapshot() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 100);
    world.snapshots_at(&key, &[10, 20, 30, 40, 50, 60]).await;
    let retirement = Mark::retirement("wrong", at(1));
    let ids = [world.engine.snapshot(&key, 50).await.unwrap().usable().unwrap().meta.id()];
    let set = MarkChange::Set(&retirement);
    let admin: &dyn SnapshotAdmin = world.engine.admin();
    admin.mark(&key, Selection::Ids(&ids), set, &AdminContext::default()).await.unwrap();
    world.store.tamper(&key, 40, Record::from_bytes(b"SNPF garbage".to_vec()));
    let explained = world.engine.explain(&key, Point::Version(55)).await.unwrap();
    let roles: Vec<_> = explained.snapshots.iter().map(|s| (s.meta.version, &s.role)).collect();
    let (new, not_needed) = (SnapshotRole::TooNew, SnapshotRole::NotNeeded);
    // The store lists no record whose header is damaged, but the load tried it.
    assert_eq!(
        roles,
        [
            (60, &new),
            (50, &SnapshotRole::Retired),
            (30, &SnapshotRole::Used),
            (20, &not_needed),
            (10, &not_needed),
        ]
    );
    assert_eq!(explained.provenance.rejected[0].version, Some(40));
    assert_eq!((explained.version, explained.provenance.events_replayed), (55, 25));
    let text = explained.to_string();
    assert_eq!(text.lines().count(), 7, "{text}");
    let by_time = world.engine.explain(&key, Point::Time(at(5))).await.unwrap();
    assert!(by_time.snapshots.iter().filter(|s| s.role == new).count() == 4, "{by_time}");
    let beyond = world.engine.explain(&key, Point::Version(1_000)).await.unwrap();
    assert_eq!((beyond.version, &beyond.snapshots[0].role), (100, &SnapshotRole::Used));
}

#[tokio::test]
async fn a_replay_is_explained_and_tries_no_snapshot() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 100);
    world.snapshots_at(&key, &[10, 60]).await;
    for (point, version) in [
        (Point::Now, 100),
        (Point::Version(55), 55),
        (Point::Version(1_000), 100),
        (Point::Version(0), 0),
    ] {
        let explained = world.engine.explain_replay(&key, point).await.unwrap();
        let provenance = &explained.provenance;
        assert_eq!(provenance.origin, Origin::Replay, "{explained}");
        assert_eq!((explained.version, provenance.events_replayed), (version, version));
        assert_eq!(explained.snapshots.len(), 2);
        assert!(explained.snapshots.iter().all(|of| of.role != SnapshotRole::Used), "{explained}");
    }
    world.source.events.truncate_below(&key, 5);
    let gone = world.engine.explain_replay(&key, Point::Now).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unrecoverable);
    let foreign = snapfold::AggregateKey::new("basket", "a").unwrap();
    let refused = world.engine.explain_replay(&foreign, Point::Now).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_explanation_tells_generations_apart() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 30);
    let old = SnapshotEngine::<crate::support::OldAccount>::builder(
        world.source.events.clone(),
        world.store.clone(),
    );
    let old = old.trigger(manual()).build().unwrap();
    old.create(&key).await.unwrap();
    world.snapshots_at(&key, &[30]).await;
    let explained = world.engine.explain(&key, Point::Now).await.unwrap();
    let own = |s: &snapfold::manager::ExplainedSnapshot| {
        (s.meta.generation == world.engine.generation(), s.role.clone())
    };
    let mut roles: Vec<_> = explained.snapshots.iter().map(own).collect();
    roles.sort_by_key(|(is_own, _)| *is_own);
    assert_eq!(roles, [(false, SnapshotRole::NotNeeded), (true, SnapshotRole::Used)]);
    world.engine.admin().delete(&key, 30, &AdminContext::default()).await.unwrap();
    old.create(&key).await.unwrap();
    let explained = world.engine.explain(&key, Point::Now).await.unwrap();
    let stale = SnapshotRole::Rejected(RejectReason::Stale(old.generation()));
    assert_eq!(explained.snapshots[0].role, stale, "{explained}");
}

#[tokio::test]
async fn an_explanation_gives_the_reason_of_a_rejected_snapshot() {
    let (world, key) = (world(), key("a"));
    world.grow(&key, 40);
    world.snapshots_at(&key, &[10, 20, 30]).await;
    world.source.events.rewind(&key, 25);
    let explained = world.engine.explain(&key, Point::Now).await.unwrap();
    let role = |at: usize| explained.snapshots[at].role.clone();
    assert_eq!(role(0), SnapshotRole::Rejected(RejectReason::Ahead), "{explained}");
    assert_eq!((role(1), role(2)), (SnapshotRole::Used, SnapshotRole::NotNeeded));
}
