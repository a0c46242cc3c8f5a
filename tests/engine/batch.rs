//! Batches: one task for many aggregates.
//!
//! Guards against: an aggregate that is left out, or done twice; one that fails and stops the
//! others; a checkpoint behind which something is undone; a rate that is not kept; an outage that
//! each of a million aggregates waits for.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Account, Op, World, at, key};
use snapfold::ledger::Task;
use snapfold::manager::CreateOptions;
use snapfold::record::SnapshotMeta;
use snapfold::retention::keep_last;
use snapfold::service::Batch;
use snapfold::store::Cursor;
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotAdmin};

/// So many aggregates with five events and a snapshot at three.
async fn aggregates(world: &World, many: usize) -> Vec<AggregateKey> {
    let keys: Vec<_> = (0..many).map(|n| key(&format!("a{n:04}"))).collect();
    for key in &keys {
        world.grow(key, 5);
        world.engine.create_with(key, CreateOptions::new().at_version(3)).await.unwrap();
    }
    keys
}

fn batch(world: &World) -> Batch {
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(world.engine.clone());
    Batch::new(admin)
}

#[tokio::test]
async fn each_aggregate_is_done_once_whatever_the_parallelism() {
    for parallel in [0, 1, 7, usize::MAX] {
        let world = World::new();
        let keys = aggregates(&world, 600).await;
        let report = batch(&world).parallel(parallel).run(Task::Snapshot).await;
        assert!(report.error.is_none() && report.next.is_none(), "{report}");
        assert_eq!((report.counts.aggregates, report.counts.changed), (600, 600));
        for key in &keys {
            assert_eq!(world.store.versions(key).await, [5, 3]);
        }
        let again = batch(&world).run(Task::Snapshot).await;
        assert_eq!((again.counts.aggregates, again.counts.changed), (600, 0), "{again}");
        let pruned = batch(&world).apply_retention(keep_last(1)).await;
        assert_eq!((pruned.counts.aggregates, pruned.counts.deleted), (600, 600));
        assert!(
            pruned.to_string().ends_with("changed 600, failed 0, snapshots deleted 600"),
            "{pruned}"
        );
    }
}

#[tokio::test]
async fn failures_and_rejected_snapshots_are_listed_and_stop_nothing() {
    let world = World::new();
    let keys = aggregates(&world, 50).await;
    for key in [&keys[3], &keys[44]] {
        world
            .store
            .tamper_with(key, 3, |mut bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                bytes
            })
            .await;
    }
    let report = batch(&world).run(Task::Verify).await;
    assert_eq!((report.counts.aggregates, report.counts.rejected), (50, 2), "{report}");
    let mut rejected: Vec<_> = report.rejected.iter().map(|(key, _)| key.clone()).collect();
    rejected.sort();
    assert_eq!(rejected, [keys[3].clone(), keys[44].clone()]);
    world.store.fail(Op::Put, 3);
    let report = batch(&world).parallel(1).run(Task::Snapshot).await;
    assert_eq!(
        (report.counts.aggregates, report.counts.failed, report.counts.changed),
        (50, 3, 47)
    );
    assert_eq!(report.failures.len(), 3);
    assert!(report.failures.iter().all(|(_, error)| error.kind() == ErrorKind::Store));
    assert!(report.error.is_none(), "{report}");
}

#[tokio::test]
async fn an_outage_ends_the_batch_and_it_resumes_at_its_checkpoint() {
    let world = World::new();
    aggregates(&world, 700).await;
    let checkpoints = Arc::new(Mutex::new(Vec::new()));
    let (log, store) = (Arc::clone(&checkpoints), world.store.clone());
    let report = batch(&world)
        .on_progress(move |progress| {
            log.lock().unwrap().push((progress.counts.aggregates, progress.next.cloned()));
            // From the second page on.
            store.fail(Op::Put, usize::MAX);
        })
        .run(Task::Snapshot)
        .await;
    let error = report.error.as_ref().unwrap();
    assert!(error.to_string().contains("100 aggregates failed in a row"), "{error}");
    assert!(report.counts.aggregates < 400, "{report}");
    let last: Option<(u64, Option<Cursor>)> = checkpoints.lock().unwrap().pop();
    assert_eq!(last, Some((256, report.next.clone())));
    world.store.fail(Op::Put, 0);
    let resumed = batch(&world).resume(report.next).run(Task::Snapshot).await;
    assert_eq!((resumed.counts.aggregates, resumed.counts.changed), (444, 444), "{resumed}");
}

#[tokio::test]
async fn named_aggregates_are_those_of_the_caller() {
    let world = World::new();
    let keys = aggregates(&world, 5).await;
    world.grow(&key("new"), 2);
    let named = [keys[1].clone(), key("new"), AggregateKey::new("order", "x").unwrap()];
    let report = batch(&world).run_for(Task::Snapshot, &named).await;
    assert_eq!((report.counts.aggregates, report.counts.changed, report.counts.failed), (3, 2, 1));
    assert_eq!(world.store.versions(&key("new")).await, [2]);
    assert_eq!(world.store.versions(&keys[0]).await, [3]);
    let none = batch(&world).run_for(Task::Verify, &[]).await;
    assert_eq!(none.counts.aggregates, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let world = World::new();
    aggregates(&world, 100).await;
    let started = tokio::time::Instant::now();
    let rate = NonZeroU32::new(10).unwrap();
    let report = batch(&world).per_second(rate).run(Task::Verify).await;
    assert_eq!(report.counts.aggregates, 100);
    assert!(started.elapsed() >= Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_dropped_batch_leaves_what_was_done_and_starts_nothing_more() {
    let world = World::new();
    let keys = aggregates(&world, 300).await;
    world.store.put_gate.close();
    let running = batch(&world).parallel(4);
    let task = tokio::spawn(async move { running.run(Task::Snapshot).await });
    crate::support::until("four wait", || world.store.put_gate.waiting() == 4).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    crate::support::until("none waits", || world.store.put_gate.waiting() == 0).await;
    world.store.put_gate.open();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for key in &keys {
        assert_eq!(world.store.versions(key).await, [3]);
    }
}

/// Before a deploy: old code runs and has snapshots, new code warms its own.
#[tokio::test]
async fn a_new_generation_is_warmed_and_its_coverage_reported() {
    use crate::support::OldAccount;
    use snapfold::manager::Origin;
    use snapfold::service::Coverage;
    use snapfold::{Aggregate, SnapshotEngine};

    let world = World::new();
    let keys: Vec<_> = (0..600).map(|n| key(&format!("a{n:04}"))).collect();
    for key in &keys {
        world.grow(key, 5);
    }
    let source = world.source.events.clone();
    let old = SnapshotEngine::<OldAccount>::builder(source, world.store.clone()).build().unwrap();
    assert!(old.create_many(&keys).await.iter().all(Result::is_ok));
    let of = |coverage: &Coverage| (coverage.covered, coverage.uncovered, coverage.failed);

    let before = batch(&world).coverage_of(&keys).await;
    assert_eq!(of(&before), (0, 600, 0));
    assert_eq!(before.uncovered_keys.len(), Coverage::MAX_DETAILS);
    assert!(!before.is_complete());
    assert_eq!(before.to_string(), "covered 0, not covered 600, failed 0");
    let as_old = Batch::new(Arc::new(old.clone())).coverage_of(&keys).await;
    assert_eq!(of(&as_old), (600, 0, 0));

    // One cannot be loaded, one cannot be listed, and one is retired afterwards.
    world.source.append(&keys[7], 9, crate::support::Event::Fused(Arc::new(true.into())));
    let report = batch(&world).run_for(Task::SnapshotAll, &keys).await;
    assert_eq!((report.counts.changed, report.counts.failed), (599, 1), "{report}");
    let own = |versions| world.engine.snapshots(&keys[9], versions);
    let id = own(5..=5)
        .await
        .unwrap()
        .iter()
        .map(SnapshotMeta::id)
        .find(|id| id.generation == world.engine.generation());
    let retired = snapfold::store::Mark::retirement("wrong", at(9));
    let ids = [id.unwrap()];
    let selection = snapfold::store::Selection::Ids(&ids);
    let change = snapfold::store::MarkChange::Set(&retired);
    assert_eq!(world.engine.mark(&keys[9], selection, change).await.unwrap(), 1);
    world.store.fail(Op::List, 1);
    let warm = batch(&world).parallel(1).coverage_of(&keys).await;
    assert_eq!(of(&warm), (597, 2, 1));
    assert_eq!(warm.uncovered_keys, [keys[7].clone(), keys[9].clone()]);
    assert_eq!(warm.failures.len(), 1);
    let unlisted = batch(&world).coverage().await;
    assert_eq!(unlisted.error.as_ref().map(Error::kind), Some(ErrorKind::Unsupported));
    assert!(!unlisted.is_complete());
    let source = world.source.events.clone();
    let lists = SnapshotEngine::<Account>::builder(source, world.store.clone()).build().unwrap();
    let listed = Batch::new(Arc::new(lists)).coverage().await;
    assert_eq!((of(&listed), listed.is_complete()), ((598, 2, 0), false), "{listed}");

    let loaded = world.load_checked(&keys[11]).await;
    assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    assert_eq!(Account::SCHEMA_VERSION, world.engine.generation().schema_version);
}

/// A release that changes only the codec keeps the generation.
#[cfg(feature = "json")]
#[tokio::test]
async fn snapshots_in_a_codec_that_loads_do_not_read_cover_nothing() {
    use snapfold::SnapshotEngine;
    use snapfold::codec::Json;
    use snapfold::manager::CreateOutcome;

    let world = World::new();
    let keys = aggregates(&world, 3).await;
    let source = world.source.events.clone();
    let builder = SnapshotEngine::<Account>::builder_with_codec(source, world.store.clone(), Json);
    let json = builder.build().unwrap();
    assert_eq!(json.generation(), world.engine.generation());
    assert!(!json.is_covered(&keys[0]).await.unwrap());
    let both = SnapshotEngine::<Account>::builder_with_codec(
        world.source.events.clone(),
        world.store.clone(),
        Json,
    );
    let both = both.also_reads(snapfold::codec::Postcard).build().unwrap();
    assert!(both.is_covered(&keys[0]).await.unwrap());

    let coverage = Batch::new(Arc::new(json.clone())).coverage().await;
    assert_eq!((coverage.covered, coverage.uncovered), (0, 3));
    // The snapshot of the head exists, but is not reported as one that spares the work.
    world.engine.create(&keys[0]).await.unwrap();
    let if_changed = || CreateOptions::new().if_changed();
    let created = json.create_with(&keys[0], if_changed()).await.unwrap();
    assert!(matches!(created, CreateOutcome::Existing { .. }), "{created}");
    let created = both.create_with(&keys[0], if_changed()).await.unwrap();
    assert!(matches!(created, CreateOutcome::Unchanged { .. }), "{created}");
}

#[cfg(feature = "progress")]
#[tokio::test]
async fn a_progress_bar_shows_what_is_done_and_what_failed() {
    use indicatif::{ProgressDrawTarget, TermLike};
    use snapfold::service::progress_bar;

    /// A terminal that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);
    impl TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let world = World::new();
    let keys = aggregates(&world, 300).await;
    world.source.append(&keys[3], 9, crate::support::Event::Fused(Arc::new(true.into())));
    for (total, length) in [(None, 300), (Some(1_000), 1_000)] {
        let paper = Paper::default();
        let bar = progress_bar(total);
        assert_eq!(bar.length(), total);
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        let shown = batch(&world).show_progress(bar.clone());
        let report = shown.run_for(Task::SnapshotAll, &keys).await;
        assert_eq!(report.counts.failed, 1);
        assert!(bar.is_finished());
        assert_eq!(bar.length(), Some(length));
        assert_eq!(bar.message(), ", 1 failed");
        let text = paper.0.lock().unwrap().clone();
        assert!(text.contains("/300") || text.contains("/1,000"), "{text}");
        assert!(text.contains("1 failed"), "{text}");
    }
    // Of a list whose length is not known; and a batch that ends early leaves the bar where it is.
    let bar = progress_bar(None);
    bar.set_draw_target(ProgressDrawTarget::hidden());
    assert!(batch(&world).show_progress(bar.clone()).run(Task::Verify).await.error.is_none());
    assert_eq!((bar.position(), bar.length()), (300, None));
    world.store.fail(Op::List, usize::MAX);
    let bar = progress_bar(300);
    bar.set_draw_target(ProgressDrawTarget::hidden());
    assert!(batch(&world).show_progress(bar.clone()).run(Task::Verify).await.error.is_some());
    assert_eq!(bar.position(), 100, "100 failures in a row end it");
    // Where there is no terminal, nothing is drawn.
    assert!(std::io::IsTerminal::is_terminal(&std::io::stderr()) || progress_bar(None).is_hidden());
}
