//! States are served as their viewer shows them.

use std::fs;

use serde::{Deserialize, Serialize, Serializer};
use snapfold::engine::EngineBuilder;
use snapfold::manager::{Kinds, StateValue};
use snapfold::service::http::{Delivery, StaticExport};
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine};

use crate::support::{Answer, at, get, get_with};

#[derive(Clone, Serialize, Deserialize)]
struct Patient {
    visits: u64,
    #[serde(serialize_with = "short")]
    note: String,
}

/// Fails at the third visit, in the middle of the state.
fn short<S: Serializer>(note: &str, to: S) -> Result<S::Ok, S::Error> {
    if note.len() > 20 {
        return Err(serde::ser::Error::custom("the note is too long"));
    }
    to.serialize_str(note)
}

impl Aggregate for Patient {
    type Event = &'static str;
    const KIND: &'static str = "patient";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { visits: 0, note: String::new() }
    }

    fn apply(&mut self, note: &&'static str) {
        self.visits += 1;
        self.note += note;
    }
}

type Builder = EngineBuilder<Patient>;

/// A delivery of a patient with as many visits, and the kinds that it serves.
async fn world(visits: u64, set: impl FnOnce(Builder) -> Builder) -> (Delivery, Kinds) {
    let (events, key) = (MemoryEvents::new(), Patient::key("a").unwrap());
    for n in 1..=visits {
        events.append(&key, at(n), "secret; ");
    }
    let builder = SnapshotEngine::<Patient>::builder(events, MemoryStore::new()).trigger(manual());
    let engine = set(builder).build().unwrap();
    if visits < 3 {
        engine.create(&key).await.unwrap();
    }
    let kinds = Kinds::new().with(engine).unwrap();
    (Delivery::builder(kinds.clone()).open_to_everybody().build().unwrap(), kinds)
}

const ENTITY: &str = "/projects/~/entities/patient/a";

/// All answers and files that contain states.
async fn everything((delivery, kinds): &(Delivery, Kinds)) -> Vec<String> {
    let mut seen = Vec::new();
    let mut add = |answer: Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        seen.push(format!("{:?} {}", answer.headers.get("etag"), answer.text()));
    };
    for path in ["", "/versions/1", "/diff?from=1", "?version=2"] {
        add(get(delivery, &format!("{ENTITY}{path}")).await);
    }
    add(get_with(delivery, ENTITY, &[("accept", "application/vnd.api+json")]).await);
    add(get(delivery, &format!("/projects/~/download?at={}", at(2))).await);
    let folder = tempfile::tempdir().unwrap();
    StaticExport::new(kinds.clone(), folder.path()).project("").run().await.unwrap();
    for file in fs::read_dir(folder.path().join("~/patient")).unwrap() {
        seen.push(fs::read_to_string(file.unwrap().path()).unwrap());
    }
    seen
}

#[tokio::test]
async fn what_a_viewer_leaves_out_is_in_no_answer() {
    let redacted = world(2, |builder| {
        builder.viewer(|state| {
            let mut tree = StateValue::of(state)?;
            assert_eq!(tree.redact("note"), 1);
            Ok(tree)
        })
    });
    let (open, redacted) =
        (everything(&world(2, |builder| builder).await).await, everything(&redacted.await).await);
    let with = |all: &[String], text: &str| all.iter().filter(|it| it.contains(text)).count();
    // The difference does not contain what is equal, and the index of files contains no states.
    assert_eq!((open.len(), redacted.len()), (8, 8));
    assert_eq!((with(&open, "secret"), with(&open, "[redacted]")), (7, 0), "{open:#?}");
    assert_eq!((with(&redacted, "secret"), with(&redacted, "[redacted]")), (0, 6), "{redacted:#?}");
}

#[tokio::test]
async fn a_viewer_that_changes_nothing_changes_no_byte() {
    let own = world(2, |builder| builder.viewer(StateValue::of));
    let (own, default) = (own.await, world(2, |builder| builder).await);
    assert_eq!(everything(&own).await, everything(&default).await);
}

#[tokio::test]
async fn a_state_that_cannot_be_written_leaves_nothing_half_written() {
    let (delivery, _) = world(3, |builder| builder).await;
    let answer = get(&delivery, ENTITY).await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(!answer.text().contains("visits"), "{answer:?}");
    let download = get(&delivery, "/projects/~/download").await;
    let line = download.text().lines().next().unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let expected = serde_json::json!({ "type": "patient", "id": "a", "problem": line["problem"] });
    assert!(line["problem"].is_string() && line == expected, "{line}");
}
