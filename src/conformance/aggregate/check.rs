//! [`AggregateCheck`]: the settings of a check.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::choices::Choices;
use super::golden::{EventText, Golden};
use super::history::HistoryPlan;
use super::law::Law;
use super::law_case::Show;
use super::laws::LiveState;
use super::panics::catch;
use super::under_test::{Equal, Lens, SharedSubject};
use crate::codec::{Codec, CodecId, TypeInfo};
use crate::engine::EngineBuilder;
use crate::error::{BoxError, Error};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// Checks the [laws](Law) of one type of aggregate. Created by [`aggregate`](super::aggregate()).
///
/// | setting | default |
/// |---|---|
/// | [`histories`](Self::histories) | 100 |
/// | [`events_per_history`](Self::events_per_history) | 60 |
/// | [`seed`](Self::seed) | 1 |
/// | [`key`](Self::key) | the aggregate `conformance` of its kind |
/// | [`codec`](Self::codec) | [`Postcard`](crate::codec::Postcard) |
/// | golden samples | none |
/// | second process | the same test, run again |
pub struct AggregateCheck<A: Aggregate> {
    pub(super) plan: HistoryPlan<A>,
    /// Distinguishes the generators of several checks.
    pub(super) generator: &'static str,
    pub(super) key: Option<AggregateKey>,
    pub(super) codec: SharedSubject<A>,
    pub(super) lens: Option<Lens<A>>,
    pub(super) equal: Option<Box<Equal<A>>>,
    pub(super) show: Option<Box<Show<A::Event>>>,
    pub(super) pause: Duration,
    pub(super) golden: Option<Golden<A::Event>>,
    pub(super) record: bool,
    pub(super) readers: Vec<Box<Configure<A>>>,
    pub(super) by_name: bool,
    pub(super) upcasters: Vec<Upcaster<A>>,
    pub(super) accepted: BTreeMap<Law, String>,
    pub(super) second_process: bool,
    pub(super) test: Option<String>,
}

/// Sets up an engine to read what the application reads.
pub(super) type Configure<A> = dyn FnOnce(EngineBuilder<A>) -> EngineBuilder<A> + Send + Sync;

pub(super) struct Upcaster<A: Aggregate> {
    pub(super) schema_version: u32,
    pub(super) codec: CodecId,
    pub(super) info: Result<TypeInfo, Error>,
    pub(super) live: Option<Box<LiveState<A>>>,
}

impl<A: Aggregate> Upcaster<A> {
    pub(super) fn reads(&self) -> Result<(Generation, CodecId), Error> {
        let info = self.info.clone()?;
        let Self { schema_version, codec, .. } = *self;
        Ok((Generation { schema_version, fingerprint: info.fingerprint }, codec))
    }
}

impl<A: Aggregate> AggregateCheck<A> {
    pub(super) fn new(
        codec: SharedSubject<A>,
        generate: impl Fn(&A, &mut Choices) -> A::Event + Send + Sync + 'static,
    ) -> Self {
        Self {
            generator: std::any::type_name_of_val(&generate),
            plan: HistoryPlan {
                seed: 1,
                histories: 100,
                longest: 60,
                next: Box::new(generate),
                is_over: None,
            },
            key: None,
            codec,
            lens: None,
            equal: None,
            show: None,
            pause: Duration::ZERO,
            golden: None,
            record: false,
            readers: Vec::new(),
            by_name: false,
            upcasters: Vec::new(),
            accepted: BTreeMap::new(),
            second_process: true,
            test: None,
        }
    }

    /// Sets the number of histories, at least 1.
    pub fn histories(mut self, histories: u32) -> Self {
        self.plan.histories = histories;
        self
    }

    /// Sets the length of the longest history, in events (inclusive). The first history has this
    /// length, the second one is empty, and the others have a random length. The running time of a
    /// check grows with the square of this length, because the remaining events are folded onto a
    /// snapshot at every version.
    pub fn events_per_history(mut self, events: u32) -> Self {
        self.plan.longest = events;
        self
    }

    /// Sets the seed of all random choices. The same seed gives the same histories.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// Sets the key of all histories, for states that depend on the key.
    pub fn key(mut self, key: AggregateKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the codec of the application's engine.
    pub fn codec(mut self, codec: impl Codec<A>) -> Self {
        self.codec = SharedSubject::new(codec);
        self
    }

    /// Ends a history as soon as `is_over` returns `true` for its state.
    pub fn ends_when(mut self, is_over: impl Fn(&A) -> bool + Send + Sync + 'static) -> Self {
        self.plan.is_over = Some(Box::new(is_over));
        self
    }

    /// Compares states with `equal`, such as `|a, b| a == b`, in addition to their stored form.
    /// This detects a field that is not stored as soon as its value is lost, not only when a later
    /// event depends on it.
    pub fn compare(mut self, equal: impl Fn(&A, &A) -> bool + Send + Sync + 'static) -> Self {
        self.equal = Some(Box::new(equal));
        self
    }

    /// Shows events in reports with `{:?}`. By default, reports contain only the versions of
    /// events.
    pub fn debug_events(self) -> Self
    where
        A::Event: fmt::Debug,
    {
        self.show_events(|event| format!("{event:?}"))
    }

    /// Shows events in reports with `show`. The returned string must be the same in every process.
    pub fn show_events(
        mut self,
        show: impl Fn(&A::Event) -> String + Send + Sync + 'static,
    ) -> Self {
        self.show = Some(Box::new(show));
        self
    }

    /// Sets a pause between the first and the second fold of the same events. A pause of more than
    /// a second detects a fold that reads a clock in whole seconds. The default is no pause.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Does not start a second process, so [`Law::AnyProcess`] is not judged.
    pub fn one_process(mut self) -> Self {
        self.second_process = false;
        self
    }

    /// Sets the name of the test that contains this check, as `cargo test` prints it, for the
    /// second process. Required only if the name cannot be determined: with `--test-threads=1`, on
    /// a thread started by the test, or in a program that cargo did not build as a test.
    pub fn second_process_runs(mut self, test: impl Into<String>) -> Self {
        self.test = Some(test.into());
        self
    }

    /// Accepts that `law` is broken, and reports the reason.
    pub fn accept(mut self, law: Law, reason: impl Into<String>) -> Self {
        self.accepted.insert(law, reason.into());
        self
    }

    /// Sets the folder of golden samples, with events as JSON. A relative path is relative to the
    /// working directory of the test: with cargo, the root of the package.
    pub fn golden(self, folder: impl Into<PathBuf>) -> Self
    where
        A::Event: Serialize + DeserializeOwned,
    {
        self.golden_with(
            folder,
            |event| Ok(serde_json::to_string(event)?),
            |text| Ok(serde_json::from_str(text)?),
        )
    }

    /// Sets the folder of golden samples as [`golden`](Self::golden) does. `write` converts each
    /// event to a string without line breaks, and `read` converts the string back.
    pub fn golden_with(
        mut self,
        folder: impl Into<PathBuf>,
        write: impl Fn(&A::Event) -> Result<String, BoxError> + Send + Sync + 'static,
        read: impl Fn(&str) -> Result<A::Event, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let text = EventText { write: Box::new(write), read: Box::new(read) };
        self.golden = Some(Golden { folder: folder.into(), text });
        self
    }

    /// Writes golden samples of the current generation to the folder if it has none yet and no law
    /// is broken. Never overwrites or removes samples. Keep them under version control.
    pub fn record_golden(mut self) -> Self {
        self.record = true;
        self
    }

    /// Also reads golden samples written with another codec: see
    /// [`EngineBuilder::also_reads`](crate::engine::EngineBuilder::also_reads).
    pub fn also_reads(mut self, codec: impl Codec<A>) -> Self {
        self.readers.push(Box::new(|builder| builder.also_reads(codec)));
        self
    }

    /// Also reads golden samples of a type with a different shape, by field name: see
    /// [`EngineBuilder::tolerate_shape_changes`](crate::engine::EngineBuilder::tolerate_shape_changes).
    /// [`Law::Upcasts`] checks that the result equals a replay.
    pub fn tolerate_shape_changes(mut self) -> Self {
        self.by_name = true;
        self.readers.push(Box::new(EngineBuilder::tolerate_shape_changes));
        self
    }

    /// Registers an upcaster as the application does with
    /// [`EngineBuilder::upcasts`](crate::engine::EngineBuilder::upcasts). The upcaster is checked
    /// against the golden samples of the old generation.
    pub fn upcasts<Old: 'static>(
        mut self,
        schema_version: u32,
        codec: impl Codec<Old>,
        upcast: impl Fn(Old) -> Result<A, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let (id, info) = (codec.id(), codec.inspect(&[]));
        self.upcasters.push(Upcaster { schema_version, codec: id, info, live: None });
        self.readers.push(Box::new(move |builder| builder.upcasts(schema_version, codec, upcast)));
        self
    }

    /// Registers an upcaster as [`upcasts`](Self::upcasts) does, for an old type that is still an
    /// [`Aggregate`] over the same events. The upcaster is also checked against the generated
    /// histories, at each version.
    pub fn upcasts_from<Old: Aggregate<Event = A::Event>>(
        mut self,
        codec: impl Codec<Old>,
        upcast: impl Fn(Old) -> Result<A, BoxError> + Clone + Send + Sync + 'static,
    ) -> Self {
        let codec = SharedSubject::new(codec);
        let (for_engine, upcast_live) = (codec.clone(), upcast.clone());
        self = self.upcasts(Old::SCHEMA_VERSION, for_engine, upcast);
        if let Some(upcaster) = self.upcasters.last_mut()
            && let Ok(info) = upcaster.info
        {
            upcaster.live = Some(Box::new(move |key, events| {
                let mut old = match catch(|| Old::initial(key)) {
                    Ok(old) => old,
                    Err(panicked) => {
                        return vec![Err(format!(
                            "cannot be created: the old initial panics with {panicked}"
                        ))];
                    }
                };
                let lift = |event: &&A::Event| {
                    let mut bytes = Vec::new();
                    catch(|| old.apply(event)).map_err(|panicked| {
                        format!("cannot be folded: the old apply panics with {panicked}")
                    })?;
                    let written = codec.encode(&old, &mut bytes);
                    let decoded = written.and_then(|()| codec.decode(&bytes, info.limits));
                    let old =
                        decoded.map_err(|error| format!("is refused by its codec: {error}"))?;
                    Ok(upcast_live(old).ok())
                };
                events.iter().map(lift).collect()
            }));
        }
        self
    }
}

impl<A: Aggregate> fmt::Debug for AggregateCheck<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateCheck")
            .field("kind", &A::KIND)
            .field("codec", &self.codec)
            .field("seed", &self.plan.seed)
            .field("histories", &self.plan.histories)
            .field("events_per_history", &self.plan.longest)
            .finish_non_exhaustive()
    }
}
