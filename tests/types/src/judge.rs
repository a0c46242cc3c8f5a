//! Saves and loads values of a type with snapfold, and compares: [`Case`].

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use snapfold::trigger::manual;
use snapfold::{
    Aggregate as _, Bincode, Created, Json, MemoryEvents, MemoryStore, MessagePack, Origin,
    Postcard, ReplayLoader, SnapshotEngine, Loader as _, Timestamp,
};

use crate::{
    AnyState, COLUMNS, Erased, Gen, Hand, Held, Known, Opaque, Outcome, Report, SharedCodec,
    Specimen, Value,
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

/// What is needed to judge a type.
struct Subject<K: Known> {
    column: usize,
    codec: SharedCodec<K>,
    hand: Hand,
    make: Make,
}

impl Case {
    /// The cases of a type, one for each column.
    pub fn all<K: Known, T: Specimen>(name: &str) -> Vec<Self> {
        let held: (Hand, Make) = (Hand::of::<Held<T>>(), |g| Arc::new(Held::<T>::make(g)));
        let opaque: (Hand, Make) = (Hand::of::<Opaque<T>>(), |g| Arc::new(Opaque::<T>::make(g)));
        let columns: [(SharedCodec<K>, _); 6] = [
            (SharedCodec::new::<Held<T>>(Postcard), held),
            (SharedCodec::new::<Held<T>>(Bincode), held),
            (SharedCodec::new::<Held<T>>(MessagePack), held),
            (SharedCodec::new::<Held<T>>(Json), held),
            (SharedCodec::new::<Opaque<T>>(MessagePack), opaque),
            (SharedCodec::new::<Opaque<T>>(Json), opaque),
        ];
        let case = |(column, (codec, (hand, make)))| {
            let subject = Subject { column, codec, hand, make };
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

    /// The same by engines that compare states with [`Value::same`] before they store them.
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
fn exact_by_hand<K: Known>(case: &Subject<K>, value: &dyn AnyState) -> bool {
    quietly(|| case.hand.is_exact(case.column, value)).unwrap_or(false)
}

fn judge<K: Known>(case: &Subject<K>, compare: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let values = || (0..rounds()).map(|seed| (case.make)(&mut Gen::new(seed)));
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

async fn run<K: Known>(
    case: &Subject<K>,
    values: impl Iterator<Item = Arc<dyn AnyState>>,
    compare: bool,
) -> (Outcome, Vec<Arc<dyn AnyState>>) {
    let (events, store) = (MemoryEvents::new(), MemoryStore::new());
    // A process writes, another one reads.
    let build = || {
        let (events, codec) = (events.clone(), case.codec.clone());
        let builder = SnapshotEngine::builder_with_codec(events, store.clone(), codec);
        let builder = builder.trigger(manual());
        let same = |a: &Erased<K>, b: &Erased<K>| match (&a.0, &b.0) {
            (Some(a), Some(b)) => a.same_as(&**b),
            _ => false,
        };
        if compare { builder.compare(same).build() } else { builder.build() }
    };
    let (writer, reader) = match (build(), build()) {
        (Ok(writer), Ok(reader)) => (writer, reader),
        (Err(error), _) | (_, Err(error)) => return (Outcome::Build(chain(&error)), Vec::new()),
    };
    let replay = ReplayLoader::<Erased<K>>::new(events.clone());
    let (mut written, mut refused, mut first) = (0, Vec::new(), String::new());
    for (at, value) in values.enumerate() {
        let key = Erased::<K>::key(&at.to_string()).expect("a key");
        events.append(&key, Timestamp::from_seconds(1), Arc::clone(&value));
        let created = writer.create(&key).await;
        let loaded = reader.load(&key).await.expect("memory does not fail");
        let replayed = replay.load(&key).await.expect("memory does not fail");
        let got = |erased: &Erased<K>| erased.0.clone().expect("an event was folded");
        let (got, want) = (got(&loaded.state), got(&replayed.state));
        if !got.same_as(&*want) {
            let text = format!("value {at}: loaded {}, replayed {}", short(&*got), short(&*want));
            return (Outcome::Wrong(text), refused);
        }
        match created {
            Ok(Created::Stored(_)) if loaded.provenance.origin == Origin::Snapshot => written += 1,
            Ok(created) => {
                let text =
                    format!("value {at}, {}: {created:?}, {}", short(&*want), loaded.provenance);
                return (Outcome::Unread(text), refused);
            }
            Err(error) => {
                if refused.is_empty() {
                    first = chain(&error);
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
