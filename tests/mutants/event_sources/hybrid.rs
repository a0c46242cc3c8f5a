//! A hybrid source over a map and a store that tells one lie.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::NewEvent;
use snapfold::events::{Hybrid, HybridSource, Recorded, Tail};
use snapfold::store::{Lookup, Query};
use snapfold::{BoxError, Error, ErrorKind, MemoryStore, Replay, SnapshotStore};
use tokio::task::yield_now;

use super::Lie;
use super::site::{Numbers, Shared};

pub(crate) struct Hybrids {
    pub(crate) lie: Lie,
    pub(crate) shared: Shared,
    pub(crate) store: Arc<MemoryStore>,
}

struct Events {
    events: Vec<NewEvent>,
    until: u64,
}

impl Tail<Numbers> for Events {
    fn until(&self) -> u64 {
        self.until
    }

    fn replay(self: Box<Self>, replay: &mut Replay<'_, Numbers>) -> Result<(), BoxError> {
        for event in &self.events {
            let at = event.recorded_at.unwrap();
            let recorded = Recorded::new(event.version, at, &event.number);
            if replay.push(recorded.anchor(&event.anchor)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl fmt::Debug for Hybrids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hybrids")
    }
}

struct AtWork(Shared, bool);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.disk().is_lost |= !self.1;
    }
}

impl Hybrids {
    /// The tail, its end, and whether a call was lost.
    fn events(
        &self,
        query: Query<'_>,
        lookup: &Lookup,
    ) -> Result<(Vec<NewEvent>, u64, bool), Error> {
        let disk = self.shared.working();
        let disk =
            disk.map_err(|e| Error::new(ErrorKind::Store, "fetch", "down").with_source(e))?;
        let found = match lookup {
            Lookup::Found(found) => found.version,
            _ => 0,
        };
        let start = match self.lie {
            Lie::TailAfterSnapshot if found > 0 => found + 1,
            Lie::TailFromTheStart => 1,
            _ => found.max(1),
        };
        let bound = if self.lie == Lie::TailBeyondBound { u64::MAX } else { query.at_most };
        let other = disk.streams.keys().find(|key| *key != query.key);
        let key = match other {
            Some(other) if self.lie == Lie::TailOfAnother => other,
            _ => query.key,
        };
        let mut events = disk.streams.get(key).cloned().unwrap_or_default();
        events.retain(|event| (start..=bound).contains(&event.version));
        let most = match self.lie {
            Lie::TailWithoutEnd => usize::MAX,
            Lie::TailOfThree | Lie::TailSaysWhole => 3,
            _ => 1_000,
        };
        let mut until = u64::MAX;
        if events.len() > most {
            events.truncate(most);
            if self.lie != Lie::TailSaysWhole {
                until = events.last().map_or(0, |event| event.version);
            }
        }
        match (self.lie, query.as_of) {
            (Lie::TailWithGap, _) if events.len() > 4 => drop(events.remove(2)),
            (Lie::TailByTime, Some(time)) => {
                events.retain(|event| event.recorded_at.is_some_and(|at| at <= time));
            }
            _ => {}
        }
        Ok((events, until, disk.is_lost))
    }
}

#[async_trait]
impl HybridSource<Numbers> for Hybrids {
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<Numbers>, Error> {
        let mut at_work = AtWork(self.shared.clone(), false);
        yield_now().await;
        let mut asked = query;
        if self.lie == Lie::LookupIgnoresBounds {
            asked = Query::latest(query.key, query.generation);
        }
        if self.lie == Lie::LookupOfRetired {
            asked = asked.include_retired(true);
        }
        let mut lookup = self.store.get(asked).await?;
        if self.lie == Lie::LookupIsAbsent && lookup == Lookup::OtherGeneration {
            lookup = Lookup::Absent;
        }
        if let (Lie::LookupWithoutBases, Lookup::Found(found)) = (self.lie, &mut lookup) {
            found.bases.clear();
        }
        let (events, until, is_lost) = match self.events(query, &lookup) {
            Err(_) if self.lie == Lie::FetchSwallowsErrors => {
                at_work.1 = true;
                return Ok(Hybrid::new(Lookup::Absent));
            }
            other => {
                at_work.1 |= other.is_err();
                other?
            }
        };
        yield_now().await;
        at_work.1 = true;
        if self.lie == Lie::FetchLosesWhatWasCutOff && is_lost {
            return Ok(Hybrid::new(Lookup::Absent));
        }
        if self.lie == Lie::NoTail {
            return Ok(Hybrid::new(lookup));
        }
        Ok(Hybrid::new(lookup).with_tail(Box::new(Events { events, until })))
    }

    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Hybrid<Numbers>>, Error> {
        let mut answers = Vec::new();
        for query in queries {
            let include = query.include_retired || self.lie == Lie::LookupOfRetiredInMany;
            answers.push(self.fetch(query.include_retired(include)).await?);
        }
        match self.lie {
            Lie::FetchesInReverse => answers.reverse(),
            Lie::FetchesWithoutTheLast => drop(answers.pop()),
            _ => {}
        }
        Ok(answers)
    }
}
