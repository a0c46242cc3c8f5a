//! Saves and loads values of a type with snapfold, and compares: [`Case`].

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use snapfold::engine::ReplayLoader;
use snapfold::manager::{CreateOutcome, Origin};
use snapfold::trigger::manual;
use snapfold::{Aggregate as _, Loader as _, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

use crate::advice::{Carrier, is_misled, refused_by_build};
use crate::{
    AnyState, COLUMNS, Erased, Gen, Hand, Held, Opaque, Outcome, Report, SharedCodec, Specimen,
};

/// A state type under one codec.
pub struct Case {
    /// The type.
    pub name: String,
    /// Which of [`COLUMNS`].
    pub column: usize,
    judge: Box<dyn Fn(bool) -> Report + Send>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title())
    }
}

type Make = fn(&mut Gen) -> Arc<dyn AnyState>;

/// A type, by what the judge does with it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// By the names that a refusal gives.
    pub(crate) codecs: [(&'static str, SharedCodec); 4],
    hand: Hand,
    make: Make,
}

impl Kind {
    fn of<T: Specimen>() -> Self {
        let make: Make = |g| Arc::new(T::make(g));
        Self { codecs: SharedCodec::all::<T>(), hand: Hand::of::<T>(), make }
    }
}

/// What is needed to judge a type under a codec.
pub(crate) struct Subject {
    column: usize,
    pub(crate) codec: SharedCodec,
    pub(crate) kind: Kind,
}

impl Case {
    /// The cases of a type, one for each column.
    pub fn all<T: Specimen>(name: &str) -> Vec<Self> {
        Self::columns(name, &Kind::of::<Held<T>>(), &Kind::of::<Opaque<T>>())
    }

    fn columns(name: &str, held: &Kind, opaque: &Kind) -> Vec<Self> {
        let columns = [(0, held), (1, held), (2, held), (3, held), (2, opaque), (3, opaque)];
        let case = |(column, (codec, kind)): (usize, (usize, &Kind))| {
            let codec = kind.codecs[codec].1;
            let subject = Subject { column, codec, kind: *kind };
            Self {
                name: name.to_owned(),
                column,
                judge: Box::new(move |compare| judge(&subject, compare)),
            }
        };
        columns.into_iter().enumerate().map(case).collect()
    }

    /// `Vec<u32> postcard`
    pub fn title(&self) -> String {
        format!("{} {}", self.name, COLUMNS[self.column])
    }

    /// Writes and loads values of the type; stops at the first fault.
    pub fn judge(&self) -> Report {
        (self.judge)(false)
    }

    /// The same by engines that compare states with [`Value::same`](crate::Value::same) before they
    /// store them.
    pub fn judge_with_compare(&self) -> Report {
        (self.judge)(true)
    }
}

/// Values for each type: enough for each edge of a type with one field to come up.
fn rounds() -> u64 {
    std::env::var("SNAPFOLD_TYPES_VALUES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// An error with its causes, as a log would show it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| panic_text(&*panic))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "a panic without text".to_owned())
}

pub(crate) fn short(state: &dyn AnyState) -> String {
    let text = format!("{state:?}");
    let end = text.char_indices().nth(300).map_or(text.len(), |(at, _)| at);
    text[..end].to_owned()
}

/// Whether the format's own crate gives the value back.
fn exact_by_hand(case: &Subject, value: &dyn AnyState) -> bool {
    quietly(|| case.kind.hand.is_exact(case.column, value)).unwrap_or(false)
}

fn judge(case: &Subject, compare: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let values = || (0..rounds()).map(|seed| (case.kind.make)(&mut Gen::new(seed)));
    let judged = quietly(|| runtime.block_on(run(case, values(), compare)));
    let (outcome, works_by_hand) = match judged {
        Err(panic) => (Outcome::Panic(panic), false),
        Ok((outcome @ Outcome::Build(_), _)) => {
            let works = values().all(|value| exact_by_hand(case, &*value));
            (outcome, works)
        }
        Ok((outcome, refused)) => {
            let works = refused.iter().any(|value| exact_by_hand(case, &**value));
            (outcome, works)
        }
    };
    Report { outcome, works_by_hand }
}

async fn run(
    case: &Subject,
    values: impl Iterator<Item = Arc<dyn AnyState>>,
    compare: bool,
) -> (Outcome, Vec<Arc<dyn AnyState>>) {
    let (events, store) = (MemoryEvents::new(), MemoryStore::new());
    // A process writes, another one reads.
    let build = || {
        let (events, codec) = (events.clone(), case.codec);
        let builder = SnapshotEngine::builder_with_codec(events, store.clone(), codec);
        let builder = builder.trigger(manual());
        let same = |a: &Erased, b: &Erased| match (&a.0, &b.0) {
            (Some(a), Some(b)) => a.same_as(&**b),
            _ => false,
        };
        if compare { builder.compare(same).build() } else { builder.build() }
    };
    let (writer, reader) = match (build(), build()) {
        (Ok(writer), Ok(reader)) => (writer, reader),
        (Err(error), _) | (_, Err(error)) => {
            let text = chain(&error);
            let outcome = if compare {
                Outcome::Build(text)
            } else {
                refused_by_build(case, values, text).await
            };
            return (outcome, Vec::new());
        }
    };
    let replay = ReplayLoader::<Erased>::new(events.clone());
    let (mut written, mut refused, mut first) = (0, Vec::new(), String::new());
    // Built for the first refusal.
    let mut others = None;
    for (at, value) in values.enumerate() {
        let key = Erased::key(&at.to_string()).expect("a key");
        events.append(&key, Timestamp::from_seconds(1), Arc::clone(&value));
        let created = writer.create(&key).await;
        let loaded = reader.load(&key).await.expect("memory does not fail");
        let replayed = replay.load(&key).await.expect("memory does not fail");
        let got = |erased: &Erased| erased.0.clone().expect("an event was folded");
        let (got, want) = (got(&loaded.state), got(&replayed.state));
        if !got.same_as(&*want) {
            let text = format!("value {at}: loaded {}, replayed {}", short(&*got), short(&*want));
            return (Outcome::Wrong(text), refused);
        }
        match created {
            Ok(CreateOutcome::Stored(_)) if loaded.provenance.origin == Origin::Snapshot => {
                written += 1
            }
            Ok(created) => {
                let text =
                    format!("value {at}, {}: {created:?}, {}", short(&*want), loaded.provenance);
                return (Outcome::Unread(text), refused);
            }
            Err(error) => {
                let text = chain(&error);
                if !compare {
                    let others = others.get_or_insert_with(|| Carrier::others(case));
                    if let Some(text) = is_misled(others, at, &value, &text).await {
                        return (Outcome::Misled(text), refused);
                    }
                }
                if refused.is_empty() {
                    first = text;
                }
                refused.push(value);
            }
        }
    }
    match (written, refused.len()) {
        (_, 0) => (Outcome::Exact, refused),
        (0, _) => (Outcome::Write(first), refused),
        _ => (Outcome::Some(first), refused),
    }
}
