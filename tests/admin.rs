//! Looking after snapshots without their type: the registry of kinds, and changes on somebody's
//! behalf.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]
#![cfg(all(feature = "memory", feature = "postcard", feature = "lz4"))]

mod support;

use async_trait::async_trait;
use snapfold::retention::keep_last;
use snapfold::{
    AdminContext, Aggregate, AggregateKey, CreateOptions, Error, ErrorKind, Kinds, Loaded, Loader,
    MemoryEvents, MemoryStore, Point, SnapshotEngine, StateValue, Timestamp,
};
use support::{Account, Op, World, at, key};

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
    let names: Vec<_> = kinds.iter().map(|admin| admin.kind()).collect();
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
            admin.repair(&key, 10, &by).await.map(drop),
            admin.apply_retention(&key, &keep_last(0), &by).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().contains("at version 10"), "{error}");
        }
    }
    assert_eq!(world.store.calls(Op::Put) + world.store.calls(Op::Delete), before);
    let right = AdminContext::new("ops").expect_version(10);
    admin.repair(&key, 10, &right).await.unwrap();
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
    let long = |bytes| "x".repeat(bytes + 1);
    for by in [
        AdminContext::new(long(AdminContext::MAX_NAME_BYTES)),
        AdminContext::new("ops").reason(long(AdminContext::MAX_REASON_BYTES)),
        AdminContext::new("ops").idempotency_key(long(AdminContext::MAX_NAME_BYTES)),
        AdminContext::new("ops").expect_version(0),
    ] {
        let created = world.engine.admin().create_many(&keys, &by).await;
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
    assert!(world.engine.admin().create_many(&keys, &by).await.iter().all(Result::is_ok));
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
