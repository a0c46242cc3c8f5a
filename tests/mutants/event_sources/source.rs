//! An event source over a map that tells one lie.

use std::ops::ControlFlow;

use async_trait::async_trait;
use snapfold::conformance::NewEvent;
use snapfold::events::{EventTime, KeyedReplay, Recorded};
use snapfold::store::{Cursor, KeysRequest, Page};
use snapfold::{
    AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, Replay, Timestamp,
};
use tokio::task::yield_now;

use super::Lie;
use super::site::{Numbers, Shared};

pub(crate) struct Source {
    pub(crate) lie: Lie,
    pub(crate) shared: Shared,
}

impl Source {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    /// The events under a key, as the rule of equality of this source has it.
    fn stored(&self, key: &AggregateKey) -> Result<Vec<NewEvent>, BoxError> {
        let mut disk = match self.shared.working() {
            Err(_) if self.tells(Lie::SwallowsErrors) => return Ok(Vec::new()),
            other => other?,
        };
        let id = |key: &AggregateKey| key.id().to_owned();
        let is = |own: &AggregateKey| match self.lie {
            Lie::FoldsCase => {
                let of = |key| id(key).to_lowercase();
                (own.tenant(), own.kind(), of(own)) == (key.tenant(), key.kind(), of(key))
            }
            Lie::TrimsIds => {
                let of = |key| id(key).trim_end_matches(' ').to_owned();
                (own.tenant(), own.kind(), of(own)) == (key.tenant(), key.kind(), of(key))
            }
            Lie::EndsAtNul => {
                let of = |key| id(key).split('\0').next().unwrap().to_owned();
                (own.tenant(), own.kind(), of(own)) == (key.tenant(), key.kind(), of(key))
            }
            Lie::IgnoresTenant | Lie::KnowsNoTenant => {
                (own.kind(), own.id()) == (key.kind(), key.id())
            }
            Lie::JoinsParts => {
                let of = |key: &AggregateKey| format!("{}-{}", key.kind(), key.id());
                own.tenant() == key.tenant() && of(own) == of(key)
            }
            Lie::MatchesPatterns => {
                let prefix = key.id().strip_suffix('%');
                let like = prefix.is_some_and(|prefix| own.id().starts_with(prefix));
                (own.tenant(), own.kind()) == (key.tenant(), key.kind())
                    && (own.id() == key.id() || like)
            }
            _ => own == key,
        };
        let mut all: Vec<_> = disk
            .streams
            .iter()
            .filter(|(own, _)| is(own))
            .flat_map(|(_, events)| events.clone())
            .collect();
        all.sort_by_key(|event| event.version);
        if self.tells(Lie::RemembersFirstRead) {
            return Ok(disk.remembered.entry(key.clone()).or_insert(all).clone());
        }
        Ok(all)
    }

    fn contains(&self, range: EventRange, version: u64) -> bool {
        let EventRange { after, until, .. } = range;
        match self.lie {
            Lie::IgnoresUntil => version > after,
            Lie::UntilIsExclusive => version > after && version < until.max(after + 1),
            Lie::AfterIsInclusive => version >= after && version <= until,
            Lie::AfterSkipsOne => version > after + u64::from(after > 0) && version <= until,
            Lie::CastsToInt => {
                #[expect(clippy::cast_possible_truncation, reason = "the cast is the lie")]
                let until = until as i32;
                version > after && i64::try_from(version).unwrap() <= i64::from(until)
            }
            _ => range.contains(version),
        }
    }

    /// What a read finds, changed as the lie has it.
    fn found(&self, key: &AggregateKey, range: EventRange) -> Result<Vec<NewEvent>, BoxError> {
        let stored = self.stored(key)?;
        let first = stored.first().map_or(1, |event| event.version);
        let mut found: Vec<_> =
            stored.into_iter().filter(|event| self.contains(range, event.version)).collect();
        match self.lie {
            Lie::SwapsTwo if found.len() == 20 => found.swap(18, 19),
            Lie::PushesTwice if found.len() == 20 => found.insert(5, found[5].clone()),
            Lie::CountsFromZero => found.iter_mut().for_each(|event| event.version -= 1),
            Lie::ShiftsContent => {
                let numbers: Vec<_> = found.iter().map(|event| event.number).collect();
                for (event, number) in found.iter_mut().skip(1).zip(numbers) {
                    event.number = number;
                }
            }
            Lie::OtherContent if found.len() >= 4 => found[3].number = 0,
            Lie::OtherAnchors => found.iter_mut().for_each(|event| event.anchor = [0; 16]),
            Lie::LosesPages => found.truncate(1_000),
            Lie::LastOfPageLost if found.len() % 10 == 0 && found.len() > 20 => {
                found.pop();
            }
            Lie::FailsWithoutEvents if found.is_empty() => return Err("no rows".into()),
            Lie::FailsBelowFloor if range.after + 1 < first => return Err("truncated".into()),
            Lie::LeavesOutEarlier => {
                let mut newest = Timestamp::MIN;
                found.retain(|event| {
                    let at = event.recorded_at.unwrap_or(Timestamp::MIN);
                    let is_kept = at >= newest || event.recorded_at.is_none();
                    newest = newest.max(at);
                    is_kept
                });
            }
            Lie::ConstantTimes => {
                let at = Some(Timestamp::from_seconds(1));
                for event in &mut found {
                    event.recorded_at = at;
                }
            }
            Lie::MakesUpTimes => {
                let at = Timestamp::from_seconds(0);
                for event in &mut found {
                    event.recorded_at = event.recorded_at.or(Some(at));
                }
            }
            Lie::AnchorOfTheDay => {
                let mut disk = self.shared.disk();
                disk.reads = disk.reads.wrapping_add(1);
                let reads = disk.reads;
                // Only reads of a part, so that the first one shows the right anchors.
                if range.after == 5 && range.until > 1_000 {
                    for event in &mut found {
                        event.anchor[15] = reads;
                    }
                }
            }
            _ => {}
        }
        Ok(found)
    }
}

fn recorded(event: &NewEvent) -> Recorded<'_, u64> {
    let recorded = match event.recorded_at {
        Some(at) => Recorded::new(event.version, at, &event.number),
        None => Recorded::untimed(event.version, &event.number),
    };
    recorded.anchor(&event.anchor)
}

/// Marks that a call is at work; one that is dropped leaves the mark.
struct AtWork(Shared, bool);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.disk().is_lost = !self.1;
    }
}

#[async_trait]
impl EventSource<Numbers> for Source {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Numbers>,
    ) -> Result<(), BoxError> {
        match self.lie {
            Lie::PanicsOnQuotes => assert!(!key.id().contains('\'')),
            Lie::HangsOnLongIds if key.id().len() > 1_000 => std::future::pending().await,
            Lie::OverflowsBehindTheEnd => {
                let next = i64::try_from(range.after).unwrap().checked_add(1);
                next.expect("a version behind the end");
            }
            _ => {}
        }
        let mut key = key.clone();
        let mut at_work = None;
        match self.lie {
            Lie::LosesWhatWasCutOff => {
                if self.shared.disk().is_lost {
                    return Ok(());
                }
                at_work = Some(AtWork(self.shared.clone(), false));
            }
            Lie::MixesReaders => self.shared.disk().key = Some(key.clone()),
            _ => {}
        }
        yield_now().await;
        if self.tells(Lie::MixesReaders) {
            key = self.shared.disk().key.clone().unwrap();
        }
        let found = self.found(&key, range);
        if let (Some(at_work), Err(_)) = (&mut at_work, &found) {
            at_work.1 = true;
        }
        let found = found?;
        for event in &found {
            let pushed = replay.push(recorded(event));
            if pushed.is_break() && self.tells(Lie::FailsAfterBreak) {
                return Err("stopped".into());
            }
            if pushed.is_break() && !self.tells(Lie::GoesOnAfterBreak) {
                break;
            }
        }
        yield_now().await;
        if let Some(at_work) = &mut at_work {
            at_work.1 = true;
        }
        Ok(())
    }

    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, Numbers>]) -> Result<(), BoxError> {
        let count = reads.len();
        let first = reads.first().map(|read| read.range);
        let mut seen = Vec::new();
        if self.tells(Lie::ManyNeedsKeys) && reads.is_empty() {
            return Err("no keys".into());
        }
        for (n, read) in reads.iter_mut().enumerate() {
            let mut range = read.range;
            match self.lie {
                Lie::ManyWithoutTheLast if count > 1 && n == count - 1 => break,
                Lie::ManyWithOneRange => range = first.unwrap(),
                Lie::ManyOfDistinctKeys if seen.contains(&read.key) => continue,
                _ => {}
            }
            seen.push(read.key);
            if self.tells(Lie::BreakEndsAll) || self.tells(Lie::ManyCutAtPages) {
                let most = if self.tells(Lie::ManyCutAtPages) { 1_024 } else { usize::MAX };
                let found = self.found(read.key, range)?;
                let mut pushes = found.iter().take(most).map(recorded);
                let end = pushes.try_for_each(|event| read.replay.push(event));
                if end == ControlFlow::Break(()) && self.tells(Lie::BreakEndsAll) {
                    return Ok(());
                }
                continue;
            }
            self.read(read.key, range, &mut read.replay).await?;
        }
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        yield_now().await;
        let disk = match self.shared.working() {
            Err(_) if self.tells(Lie::SwallowsErrorsOfHead) => return Ok(Some(0)),
            other => other?,
        };
        let events = disk.streams.get(key).cloned().unwrap_or_default();
        let head = events.last().map_or(0, |event| event.version);
        Ok(Some(match self.lie {
            Lie::TellsNoHead => return Ok(None),
            Lie::HeadTooLow => head.saturating_sub(1),
            Lie::HeadTooHigh if head > 0 => head + 1,
            Lie::HeadOfAll => disk.streams.values().flatten().map(|e| e.version).max().unwrap_or(0),
            Lie::HeadCountsRows => events.len() as u64,
            _ => head,
        }))
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        yield_now().await;
        let disk = self.shared.working()?;
        let events = disk.streams.get(key).cloned().unwrap_or_default();
        let first = events.first().map_or(0, |event| event.version);
        let floor = first.saturating_sub(1);
        Ok(match self.lie {
            Lie::FloorTooLow => floor.saturating_sub(1),
            Lie::FloorTooHigh if floor > 0 => floor + 1,
            Lie::FloorIsHead => events.last().map_or(0, |event| event.version),
            Lie::FloorIsFirst => first,
            _ => floor,
        })
    }

    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError> {
        let mut floors = Vec::new();
        for key in keys {
            floors.push(EventSource::<Numbers>::floor(self, key).await?);
        }
        match self.lie {
            Lie::FloorsInReverse => floors.reverse(),
            Lie::FloorsOfDistinctKeys => floors.dedup(),
            Lie::FloorsNeedKeys if keys.is_empty() => return Err("no keys".into()),
            _ => {}
        }
        Ok(floors)
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        yield_now().await;
        if self.tells(Lie::ListsNoKeys) {
            return Err(Error::new(ErrorKind::Unsupported, "list", "not here").into());
        }
        let disk = match self.shared.working() {
            Err(_) if self.tells(Lie::SwallowsErrorsOfKeys) => {
                return Ok(Page::new(Vec::new(), None));
            }
            other => other?,
        };
        let after = match request.after.map(Cursor::to_key).transpose() {
            Err(_) if self.tells(Lie::ForeignCursorIsStart) => None,
            other => other?,
        };
        let admits = |key: &AggregateKey| match self.lie {
            Lie::KeysOfAnyKind => request.tenant.is_none_or(|tenant| tenant == key.tenant()),
            Lie::KeysByPrefix => {
                request.tenant.is_none_or(|tenant| key.tenant().starts_with(tenant))
                    && request.kind.is_none_or(|kind| kind == key.kind())
            }
            _ => request.admits(key),
        };
        let mut keys: Vec<_> = disk.streams.keys().filter(|key| admits(key)).cloned().collect();
        keys.retain(|key| after.as_ref().is_none_or(|after| key > after));
        let mut limit = request.limit.max(1);
        match self.lie {
            Lie::SmallKeyPages => limit = limit.min(2),
            Lie::KeysBeyondLimit if limit == 3 => limit = 4,
            Lie::KeysWithoutTheLast => drop(keys.pop()),
            _ => {}
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more).map(Cursor::of_key);
        if self.tells(Lie::KeysTwice) && !keys.is_empty() && keys.len() < limit {
            keys.push(keys[0].clone());
        }
        let next = if self.tells(Lie::KeysOfFirstPage) { None } else { next };
        if self.tells(Lie::KeysOfFirstPage) {
            keys.truncate(1);
        }
        Ok(Page::new(keys, next))
    }

    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        let mut range = range;
        if self.tells(Lie::TimesIgnoreAfter) {
            range.after = 0;
        }
        let mut limit = limit.max(1);
        if self.tells(Lie::ShortTimes) {
            limit = limit.min(4);
        }
        if self.tells(Lie::TimesByReading) {
            // What the trait does by default, with a replay of its own.
            return Derived(Self { lie: self.lie, shared: self.shared.clone() })
                .times(key, range, limit)
                .await;
        }
        let found = self.stored_truly(key, range)?;
        let mut times: Vec<_> =
            found.iter().map(|event| EventTime::new(event.version, event.recorded_at)).collect();
        match self.lie {
            Lie::TimesWithGaps if times.len() > 30 => drop(times.remove(4)),
            Lie::TimesBeyondLimit if limit == 59 => limit += 1,
            Lie::OtherTimes => {
                let at = Some(Timestamp::from_seconds(7));
                for time in &mut times {
                    time.recorded_at = at;
                }
            }
            _ => {}
        }
        times.truncate(limit);
        Ok(times)
    }
}

impl Source {
    fn stored_truly(
        &self,
        key: &AggregateKey,
        range: EventRange,
    ) -> Result<Vec<NewEvent>, BoxError> {
        let disk = self.shared.working()?;
        let events = disk.streams.get(key).cloned().unwrap_or_default();
        Ok(events.into_iter().filter(|event| range.contains(event.version)).collect())
    }
}

/// A source that has `read` only.
struct Derived(Source);

#[async_trait]
impl EventSource<Numbers> for Derived {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Numbers>,
    ) -> Result<(), BoxError> {
        self.0.read(key, range, replay).await
    }
}
