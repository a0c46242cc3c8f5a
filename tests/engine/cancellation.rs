//! Every future of the manager may be dropped at any await point (R17): what was stored or
//! deleted by then stays so, nothing is half done, and later calls are not affected.
//!
//! Each method is polled once, twice and so on against a store and a source that are pending at
//! each of their await points, then dropped.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::support::{Account, World, at, key, poll_times};
use snapfold::manager::CreateOptions;
use snapfold::retention::keep_last;
use snapfold::trigger::every_events;
use snapfold::{Point, SnapshotEngine};

type Call = for<'w> fn(&'w SnapshotEngine<Account>) -> Pin<Box<dyn Future<Output = String> + 'w>>;

/// Every async method, with a name and whether it may change the store. The answer is turned into
/// text, to be compared.
fn calls() -> Vec<(&'static str, bool, Call)> {
    macro_rules! call {
        ($name:literal, $changes:literal, $engine:ident => $call:expr) => {
            ($name, $changes, |$engine| Box::pin(async move { format!("{:?}", $call.await) }))
        };
    }
    vec![
        call!("load", false, e => e.load(&key("a"))),
        call!("load without events", false, e => e.load(&key("nobody"))),
        call!("at_version", false, e => e.at_version(&key("a"), 17)),
        call!("at_time", false, e => e.at_time(&key("a"), at(17))),
        call!("latest_known", false, e => e.latest_known(&key("a"), Point::Version(99))),
        call!("create", true, e => e.create(&key("a"))),
        call!("create_with", true, e => e.create_with(&key("a"), CreateOptions::new().at_version(7))),
        call!("create_many", true, e => e.create_many(&[key("a"), key("b"), key("nobody")])),
        call!("snapshot", false, e => e.snapshot(&key("a"), 10)),
        call!("latest_snapshot", false, e => e.latest_snapshot(&key("a"))),
        call!("snapshots", false, e => e.snapshots(&key("a"), 0..=99)),
        call!("delete", true, e => e.delete(&key("a"), 10)),
        call!("delete_before", true, e => e.delete_before(&key("a"), 15)),
        call!("rebuild", true, e => e.rebuild(&key("a"), 12)),
        call!("stats", false, e => e.stats(&key("a"))),
        call!("plan_retention", false, e => e.plan_retention(&key("a"), &keep_last(1))),
        call!("apply_retention", true, e => e.apply_retention(&key("a"), &keep_last(1))),
        call!("apply_plan", true, e => async {
            let plan = e.plan_retention(&key("a"), &keep_last(1)).await.unwrap();
            e.apply_plan(&key("a"), &plan).await
        }),
        call!("flush", false, e => e.flush(Duration::from_secs(3_600))),
    ]
}

async fn world(cached: bool, warm: bool) -> World {
    let world = World::with(|builder| {
        #[cfg(feature = "cache")]
        if cached {
            return builder
                .trigger(every_events(1))
                .cache(snapfold::engine::CacheConfig::default());
        }
        let _ = cached;
        builder.trigger(every_events(1))
    });
    for id in ["a", "b"] {
        world.grow(&key(id), 20);
    }
    world.snapshots_at(&key("a"), &[5, 10, 12, 15]).await;
    if warm {
        world.load_checked(&key("a")).await;
        world.grow(&key("a"), 22);
    }
    world
}

fn pending(world: &World, times: usize) {
    world.source.yields.set(times);
    world.store.yields.set(times);
}

async fn stored(world: &World) -> Vec<Vec<u8>> {
    world.store.dump(&[key("a"), key("b"), key("nobody")]).await
}

#[tokio::test]
async fn each_method_can_be_dropped_at_each_await_point() {
    let mut dropped = 0;
    for (cached, warm) in [(false, false), (true, false), (true, true)] {
        for (name, changes, call) in calls() {
            // What it comes to if nobody drops it.
            let undisturbed = world(cached, warm).await;
            let before = stored(&undisturbed).await;
            let answer = call(&undisturbed.engine).await;
            let after = stored(&undisturbed).await;
            assert_eq!(before != after, changes, "{name}");
            for pending_times in [1, 2] {
                for polls in 1.. {
                    assert!(polls < 1_000, "{name} never ends");
                    let world = world(cached, warm).await;
                    pending(&world, pending_times);
                    if poll_times(call(&world.engine), polls).is_some() {
                        break;
                    }
                    dropped += 1;
                    pending(&world, 0);
                    let now = stored(&world).await;
                    assert!(now == before || now == after, "{name} dropped after {polls} polls");
                    // The same call now does what it would have done, and loads are right.
                    let again = call(&world.engine).await;
                    if now == before && !warm && !cached {
                        assert_eq!(again, answer, "{name} after {polls} polls");
                    }
                    assert_eq!(stored(&world).await, after, "{name} after {polls} polls");
                    for id in ["a", "b", "nobody"] {
                        world.load_checked(&key(id)).await;
                    }
                    world.engine.flush(Duration::from_secs(3_600)).await.unwrap();
                }
            }
        }
    }
    assert!(dropped > 300, "{dropped} drops: are the await points still pending?");
}

#[tokio::test]
async fn a_dropped_command_does_not_take_its_background_save_with_it() {
    let world = world(false, false).await;
    world.store.put_gate.close();
    let loaded = world.engine.load(&key("b")).await.unwrap();
    let command = async {
        let decision = world.engine.committed(&loaded, 20);
        std::future::pending::<()>().await;
        decision
    };
    assert!(poll_times(command, 1).is_none());
    // Nor does a flush that is given up.
    assert!(poll_times(world.engine.flush(Duration::from_secs(3_600)), 3).is_none());
    world.store.put_gate.open();
    world.engine.flush(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(world.store.versions(&key("b")).await, [20]);
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn a_repair_that_is_dropped_after_it_was_stored_leaves_no_old_state_in_the_cache() {
    for polls in 1..50 {
        let world = world(true, false).await;
        let wrong =
            snapfold::record::RecordBuilder::new(key("b"), world.engine.generation(), 9, at(9));
        let state = Account { balance: 1_000_000, ..Account::default() };
        let wrong = wrong.codec(snapfold::codec::CodecId::POSTCARD);
        let wrong = wrong.build(&postcard::to_stdvec(&state).unwrap()).unwrap();
        let options = snapfold::store::PutOptions::default();
        snapfold::SnapshotStore::put(&world.store, vec![wrong], options).await.unwrap();
        let b = key("b");
        assert!(world.engine.load(&b).await.unwrap().state.balance > 999_999);
        let before = stored(&world).await;
        pending(&world, 1);
        let ended = poll_times(world.engine.rebuild(&b, 9), polls).is_some();
        pending(&world, 0);
        if stored(&world).await != before {
            world.load_checked(&b).await;
        }
        if ended {
            assert!(polls > 3);
            return;
        }
    }
    panic!("the repair never ended");
}

/// The distance to the next snapshot is counted from the newest one that is stored.
#[tokio::test]
async fn a_delete_that_is_dropped_after_it_was_done_is_taken_into_account() {
    let mut dropped = 0;
    for polls in 1..50 {
        let world = World::with(|builder| builder.trigger(every_events(100)));
        let a = key("a");
        world.grow(&a, 20);
        world.engine.create(&a).await.unwrap();
        pending(&world, 1);
        let ended = poll_times(world.engine.delete_before(&a, 1_000), polls).is_some();
        pending(&world, 0);
        if ended {
            assert!(dropped > 0, "never dropped after it was done");
            return;
        }
        if world.store.versions(&a).await.is_empty() {
            dropped += 1;
            world.grow(&a, 105);
            let loaded = world.engine.load(&a).await.unwrap();
            let decision = world.engine.committed(&loaded, 105);
            assert!(decision.is_queued(), "{decision}");
        }
    }
    panic!("the delete never ended");
}
