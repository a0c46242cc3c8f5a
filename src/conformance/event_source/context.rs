//! [`SourceContext`]: the environment of a case about event sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::judge::{Rightful, judge};
use super::site::NewEvent;
use super::under_test::{Pushed, Question, SourceUnderTest};
use crate::conformance::failure::{Failure, Stop, shown};
use crate::error::{BoxError, Error, ErrorKind};
use crate::events::EventRange;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// The whole history.
pub(super) const ALL: EventRange = EventRange::new(0, u64::MAX);

/// A site, and everything that was appended there.
pub(crate) struct SourceContext {
    pub(super) subject: Arc<dyn SourceUnderTest>,
    pub(super) random: fastrand::Rng,
    pub(super) within: Duration,
    pub(super) notes: Vec<String>,
    pub(super) histories: BTreeMap<AggregateKey, SourceHistory>,
    pub(super) numbers: u64,
}

/// The events appended to one aggregate.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceHistory {
    pub(super) events: Vec<NewEvent>,
    /// Events up to this version are truncated.
    pub(super) floor: u64,
}

impl SourceHistory {
    pub(super) fn head(&self) -> u64 {
        self.events.last().map_or(0, |event| event.version)
    }

    /// Returns the events that a read of `range` pushes.
    pub(super) fn within(&self, range: EventRange) -> Vec<&NewEvent> {
        let wanted =
            |event: &&NewEvent| range.contains(event.version) && event.version > self.floor;
        self.events.iter().filter(wanted).collect()
    }
}

impl SourceContext {
    pub(super) fn key(&self, n: u64) -> Result<AggregateKey, Stop> {
        Ok(self.subject.key(n)?)
    }

    pub(super) fn history(&self, key: &AggregateKey) -> SourceHistory {
        self.histories.get(key).cloned().unwrap_or_default()
    }

    /// Returns the next `count` events of an aggregate, with times, some of which run backwards.
    pub(super) fn events(&mut self, key: &AggregateKey, count: u64) -> Vec<NewEvent> {
        let head = self.history(key).head();
        (1..=count)
            .map(|n| {
                self.numbers += 1;
                let second = i64::try_from(self.numbers * 61 % 4_999).unwrap_or(0);
                let mut anchor = [0xa5; 16];
                anchor[..8].copy_from_slice(&self.numbers.to_be_bytes());
                NewEvent {
                    version: head + n,
                    number: self.numbers,
                    recorded_at: Some(Timestamp::from_seconds(1_700_000_000 + second)),
                    anchor,
                }
            })
            .collect()
    }

    /// Appends `count` events.
    pub(super) async fn append(&mut self, key: &AggregateKey, count: u64) -> Result<(), Stop> {
        let events = self.events(key, count);
        self.append_these(key, events).await
    }

    pub(super) async fn append_these(
        &mut self,
        key: &AggregateKey,
        events: Vec<NewEvent>,
    ) -> Result<(), Stop> {
        self.subject
            .append(key, &events)
            .await
            .map_err(|error| Failure::setup(format!("append to {key}"), &error))?;
        self.histories.entry(key.clone()).or_default().events.extend(events);
        Ok(())
    }

    pub(super) async fn truncate(&mut self, key: &AggregateKey, version: u64) -> Result<(), Stop> {
        if !self.subject.truncate(key, version).await? {
            return Err(Stop::Skipped("EventSite::truncate"));
        }
        self.histories.entry(key.clone()).or_default().floor = version;
        Ok(())
    }

    /// Waits for `call`, up to the time limit of a call.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        tokio::time::timeout(self.within, call).await.map_err(|_| {
            Failure::new("E-11", what)
                .expected(format!("an answer within {:?}", self.within))
                .got("no answer")
                .into()
        })
    }

    /// Waits for `call`. A failure breaks the obligation `id`. If the error is `Unsupported` and
    /// `needs` is given, the case is skipped instead.
    pub(super) async fn call<T>(
        &self,
        id: &'static str,
        needs: Option<&'static str>,
        what: &str,
        call: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, Stop> {
        let error = match self.bounded(what, call).await? {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let unsupported = error
            .downcast_ref::<Error>()
            .is_some_and(|error| error.kind() == ErrorKind::Unsupported);
        match needs {
            Some(needs) if unsupported => Err(Stop::Skipped(needs)),
            _ => Err(Failure::new(id, what).expected("no error").got(shown(&error)).into()),
        }
    }

    pub(super) async fn pushed(&self, ask: &Question) -> Result<Pushed, Stop> {
        let what = format!("read the events of {} in {:?}", ask.key, ask.range);
        let (pushed, result) = self.bounded(&what, self.subject.read(ask)).await?;
        match result {
            Ok(()) => Ok(pushed),
            Err(error) => {
                // An error for a range without events breaks a separate obligation.
                let is_empty = self.history(&ask.key).within(ask.range).is_empty();
                let id = if is_empty && ask.range != ALL { "E-08" } else { "E-03" };
                Err(Failure::new(id, what).expected("no error").got(shown(&error)).into())
            }
        }
    }

    /// Returns the events that `key` may have now.
    pub(super) fn rightful(&self, key: &AggregateKey) -> Rightful {
        let history = self.history(key);
        let own = history.events.iter().map(|event| (event.number, event.version)).collect();
        let keeps = self.subject.keeps();
        Rightful { keeps, own, floor: history.floor, highest: self.numbers }
    }

    /// Reads `range` of `key`, and checks that the result equals the appended events.
    pub(super) async fn reads(&self, key: &AggregateKey, range: EventRange) -> Result<(), Stop> {
        let ask = Question { key: key.clone(), range, stop_after: usize::MAX };
        let pushed = self.pushed(&ask).await?;
        self.is_right(&format!("read the events of {key} in {range:?}"), key, range, &pushed)
    }

    pub(super) fn is_right(
        &self,
        what: &str,
        key: &AggregateKey,
        range: EventRange,
        pushed: &Pushed,
    ) -> Result<(), Stop> {
        let history = self.history(key);
        let expected = history.within(range);
        match judge(&self.rightful(key), range, &expected, &pushed.seen) {
            None => Ok(()),
            Some(wrong) => Err(wrong.failure(what).into()),
        }
    }
}
