//! L-09, L-10 and L-11: checks golden samples against the current code, with the real engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::sample::{EventText, Golden, Sample, anchor, read_all};
use super::source::{GoldenEvents, OneHistory, now};
use crate::backend::memory::MemoryStore;
use crate::codec::{Codec, CodecId};
use crate::compress::Compression;
use crate::conformance::aggregate::law_case::finding;
use crate::conformance::aggregate::panics::catch;
use crate::conformance::aggregate::report::LawFinding;
use crate::conformance::aggregate::under_test::{AggregateUnderTest, resume};
use crate::engine::{EngineBuilder, SnapshotEngine};
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::manager::{Fetched, Loaded};
use crate::record::{Header, RejectReason};
use crate::state::Aggregate;
use crate::store::{DeleteOptions, PutOptions, Selection, SnapshotStore};

/// The result of judging the samples.
#[derive(Default)]
pub(crate) struct Reading {
    /// L-09.
    pub(crate) meaning: Option<LawFinding>,
    /// L-10.
    pub(crate) upcasts: Option<LawFinding>,
    /// L-11.
    pub(crate) golden: Option<LawFinding>,
    /// The number of samples of the current generation and codec that load.
    pub(crate) current: usize,
    /// The number of samples.
    pub(crate) samples: usize,
    /// The number of samples that load.
    pub(crate) loaded: usize,
    /// The numbers of samples that are replayed instead, by reason.
    pub(crate) replayed: BTreeMap<String, usize>,
    /// The generations and codecs of the samples that the current code reads.
    pub(crate) read: BTreeSet<(Generation, CodecId)>,
}

/// The law that a sample breaks, and how.
enum Breaks {
    Meaning(String),
    Upcasts(String),
    Golden(String),
}

/// Judges all samples in the folder. `configure` sets up the engine to read what the application
/// reads.
pub(crate) fn judge<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    golden: &Golden<A::Event>,
    configure: impl FnOnce(EngineBuilder<A>) -> EngineBuilder<A>,
) -> Result<Reading, Error> {
    let (source, store) = (OneHistory::new(), MemoryStore::new());
    let codec = subject.codec.clone();
    let builder = SnapshotEngine::builder_with_codec(source.clone(), store.clone(), codec);
    let engine = configure(builder.compression(Compression::none())).build()?;
    let runner = GoldenRunner { subject, text: &golden.text, engine, source, store };
    let mut reading = Reading::default();
    for sample in read_all(&golden.folder)? {
        reading.samples += 1;
        let judged = catch(|| runner.sample(&sample, &mut reading));
        let breaks = match judged {
            Ok(Ok(())) => continue,
            Ok(Err(breaks)) => breaks,
            Err(panicked) => Breaks::Golden(format!("causes a panic: {panicked}")),
        };
        let (law, text) = match breaks {
            Breaks::Meaning(text) => (&mut reading.meaning, text),
            Breaks::Upcasts(text) => (&mut reading.upcasts, text),
            Breaks::Golden(text) => (&mut reading.golden, text),
        };
        law.get_or_insert_with(|| finding(format!("the sample {} {text}", path(golden, &sample))));
    }
    Ok(reading)
}

fn path<E>(golden: &Golden<E>, sample: &Sample) -> String {
    Path::new(&golden.folder).join(&sample.name).display().to_string()
}

struct GoldenRunner<'c, A: Aggregate> {
    subject: &'c AggregateUnderTest<A>,
    text: &'c EventText<A::Event>,
    engine: SnapshotEngine<A>,
    source: OneHistory<A::Event>,
    store: MemoryStore,
}

impl<A: Aggregate> GoldenRunner<'_, A> {
    fn sample(&self, sample: &Sample, reading: &mut Reading) -> Result<(), Breaks> {
        let golden = |text: String| Breaks::Golden(text);
        let header = sample.record.verify().map_err(|r| golden(format!("was changed: {r}")))?;
        let events = self.events(&header, sample).map_err(golden)?;
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id);
        let key = key.map_err(|error| golden(format!("has an invalid key: {error}")))?;
        let is_current = header.generation == self.engine.generation();
        let own = is_current && header.codec == self.subject.codec.id();
        let breaks = if is_current { Breaks::Meaning } else { Breaks::Upcasts };

        let folded = replayed(&key, &events, &header).map_err(golden)?;
        self.source.set(Arc::new(events));
        let (fetched, loaded) = self.ask(&key, sample).map_err(golden)?;
        match fetched {
            Fetched::Absent => return Err(golden("is not found after it is stored".to_owned())),
            Fetched::Usable(snapshot) => {
                reading.loaded += 1;
                reading.current += usize::from(own);
                reading.read.insert((header.generation, header.codec));
                if let Some(difference) = self.subject.difference(&snapshot.state, &folded.then) {
                    return Err(breaks(disagrees(&header, is_current, &difference)));
                }
            }
            Fetched::Rejected(rejected) => match rejected.reason {
                reject if own => return Err(golden(format!("cannot be used: {reject}"))),
                reject @ RejectReason::Decode(_) => {
                    return Err(breaks(format!("is rejected: {reject}")));
                }
                reject => {
                    if matches!(reject, RejectReason::Upcast(_)) {
                        reading.read.insert((header.generation, header.codec));
                    }
                    *reading.replayed.entry(reject.to_string()).or_default() += 1;
                }
            },
        }
        match self.subject.difference(&loaded.state, &folded.now) {
            Some(difference) => Err(breaks(format!(
                "loads as a state that differs from a replay of its events: {difference}"
            ))),
            None => Ok(()),
        }
    }

    /// Returns the events of the sample, if its files are unchanged.
    fn events(
        &self,
        header: &Header<'_>,
        sample: &Sample,
    ) -> Result<GoldenEvents<A::Event>, String> {
        if header.kind != A::KIND {
            return Err(format!("is for a different kind of aggregate: \"{}\"", header.kind));
        }
        let text = sample.events.as_ref().ok_or("has no readable events file")?;
        let recorded = anchor(text);
        if header.anchor != Some(recorded.as_slice()) {
            return Err("was changed: its events are not the recorded ones".to_owned());
        }
        let events: Result<Vec<_>, String> = (1..)
            .zip(text.lines())
            .map(|(version, line)| {
                (self.text.read)(line).map_err(|error| {
                    format!("has an unreadable event at version {version}: {error}")
                })
            })
            .collect();
        let events = events?;
        if header.version > events.len() as u64 {
            return Err("has a higher version than its last event".to_owned());
        }
        Ok(GoldenEvents { events, anchor: (header.version, recorded.to_vec()) })
    }

    /// Asks the engine for the snapshot and for the loaded state.
    fn ask(&self, key: &AggregateKey, sample: &Sample) -> Result<(Fetched<A>, Loaded<A>), String> {
        let all = async {
            self.store.put(vec![sample.record.clone()], PutOptions::default()).await?;
            let fetched = self.engine.latest_snapshot(key).await;
            let loaded = self.engine.load(key).await;
            self.store.delete(key, Selection::All, DeleteOptions::default()).await?;
            Ok::<_, Error>((fetched?, loaded?))
        };
        match now(all) {
            Some(asked) => asked.map_err(|error| format!("cannot be loaded: {error}")),
            None => Err("cannot be loaded: a call did not complete immediately".to_owned()),
        }
    }
}

fn replayed<A: Aggregate>(
    key: &AggregateKey,
    events: &GoldenEvents<A::Event>,
    header: &Header<'_>,
) -> Result<Folded<A>, String> {
    let at = usize::try_from(header.version).unwrap_or(usize::MAX).min(events.events.len());
    let (before, after) = events.events.split_at(at);
    let start = catch(|| A::initial(key));
    let then = start.and_then(|state| resume(state, before));
    let both = then.and_then(|then| {
        let copy = catch(|| A::initial(key)).and_then(|state| resume(state, before))?;
        Ok(Folded { then, now: resume(copy, after)? })
    });
    both.map_err(|panicked| format!("has events that make apply panic with {panicked}"))
}

/// The replayed states at the version of the snapshot, and at the end.
struct Folded<A> {
    then: A,
    now: A,
}

fn disagrees(header: &Header<'_>, is_current: bool, difference: &str) -> String {
    let Header { version, generation, .. } = header;
    if is_current {
        format!(
            "({generation}) at version {version} holds a state that differs from a replay today: \
             {difference}. The meaning of the fold has changed: raise SCHEMA_VERSION"
        )
    } else {
        format!(
            "({generation}) at version {version} decodes to a state that differs from a replay of \
             its events: {difference}"
        )
    }
}
