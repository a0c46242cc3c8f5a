//! Is the advice good that a refusal gives? [`is_misled`], [`refused_by_build`].

use std::sync::Arc;

use snapfold::codec::Codec as _;
use snapfold::manager::Origin;
use snapfold::trigger::manual;
use snapfold::{Aggregate as _, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

use crate::judge::{Subject, short};
use crate::{AnyState, Erased, Outcome, SharedCodec};

/// A codec that a refusal may name.
pub(crate) struct Carrier {
    name: &'static str,
    events: MemoryEvents<Arc<dyn AnyState>>,
    /// `None` if the codec refuses the type.
    engine: Option<SnapshotEngine<Erased>>,
}

impl Carrier {
    fn new((name, codec): (&'static str, SharedCodec)) -> Self {
        let events = MemoryEvents::new();
        let (source, store) = (events.clone(), MemoryStore::new());
        let builder = SnapshotEngine::builder_with_codec(source, store, codec);
        Self { name, events, engine: builder.trigger(manual()).build().ok() }
    }

    /// The codecs of the type, but for the one that is judged.
    pub(crate) fn others(case: &Subject) -> Vec<Self> {
        let is_other = |(_, codec): &&(_, SharedCodec)| codec.id() != case.codec.id();
        case.kind.codecs.iter().filter(is_other).copied().map(Self::new).collect()
    }

    /// Whether value number `at` is stored and loaded.
    async fn carries(&self, at: usize, value: &Arc<dyn AnyState>) -> bool {
        let Some(engine) = &self.engine else { return false };
        let key = Erased::key(&at.to_string()).expect("a key");
        self.events.append(&key, Timestamp::from_seconds(1), Arc::clone(value));
        if engine.create(&key).await.is_err() {
            return false;
        }
        let loaded = engine.load(&key).await.expect("memory does not fail");
        loaded.provenance.origin == Origin::Snapshot
            && loaded.state.0.as_ref().is_some_and(|state| state.same_as(&**value))
    }
}

/// A refusal names a codec that carries the value, if any does. What is wrong with it otherwise.
/// `others` are [`Carrier::others`].
pub(crate) async fn is_misled(
    others: &[Carrier],
    at: usize,
    value: &Arc<dyn AnyState>,
    text: &str,
) -> Option<String> {
    let named = text.split_once(" codec, which can represent this state");
    let named = named.and_then(|(text, _)| text.rsplit_once("use the ")).map(|(_, name)| name);
    let mut carried = Vec::new();
    for other in others {
        if other.carries(at, value).await {
            carried.push(other.name);
        }
    }
    match (named, carried.first()) {
        (Some(name), _) if !carried.contains(&name) => {
            Some(format!("{name} does not carry {}: {text}", short(&**value)))
        }
        (None, Some(name)) => Some(format!("{name} carries {}: {text}", short(&**value))),
        _ => None,
    }
}

/// The refusal of a type names another codec, which carries some values of it at least.
pub(crate) async fn refused_by_build(
    case: &Subject,
    values: impl Iterator<Item = Arc<dyn AnyState>>,
    text: String,
) -> Outcome {
    let named = |(name, _): &&(&str, _)| text.contains(&format!("use {name}"));
    let Some(named) = case.kind.codecs.iter().find(named) else { return Outcome::Misled(text) };
    let named = Carrier::new(*named);
    for (at, value) in values.enumerate() {
        if named.carries(at, &value).await {
            return Outcome::Build(text);
        }
    }
    Outcome::Misled(text)
}
