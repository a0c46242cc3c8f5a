//! Reads of many aggregates, lists of aggregates, and times.

use std::collections::BTreeSet;

use super::context::{ALL, SourceContext};
use super::under_test::Question;
use crate::conformance::case::{cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::events::EventRange;
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest};

cases! { sources Lists:
    "a read of many aggregates pushes the same events as single reads", ["E-30"], many;
    "a read of many aggregates pushes long histories completely", ["E-30"], many_long;
    "a `Break` for one aggregate ends only its own events", ["E-31"], many_stopped;
    "a read of many aggregates accepts duplicate keys, and no keys", ["E-32"], many_odd;
    "every aggregate with events is listed once", ["E-40"], keys_once;
    "pages of aggregates do not exceed their limit", ["E-41"], key_pages;
    "a list of aggregates matches its filters", ["E-42"], key_filters;
    "a foreign cursor gives an error or an empty page", ["E-43"], foreign_cursor;
    "times have the same versions as a read", ["E-50"], time_versions;
    "times are the same as in a read", ["E-51"], time_values;
}

const KEYS: Option<&str> = Some("EventSource::keys");
const TIMES: Option<&str> = Some("EventSource::times");

impl SourceContext {
    async fn many_right(&self, asks: &[Question], id: &'static str) -> Result<(), Stop> {
        let what = format!("read {} aggregates in one call", asks.len());
        let (all, result) = self.bounded(&what, self.subject.read_many(asks)).await?;
        ensure(result.is_ok(), || {
            Failure::new(id, &what).expected("no error").got(format!("{result:?}"))
        })?;
        for (ask, pushed) in asks.iter().zip(&all) {
            let what = format!("{what}: {} in {:?}", ask.key, ask.range);
            ensure(pushed.after_break == 0, || {
                let got = format!("{} pushes", pushed.after_break);
                Failure::new("E-31", &what).expected("no push after `Break`").got(got)
            })?;
            let mut range = ask.range;
            if let Ok(stop_after) = u64::try_from(ask.stop_after) {
                range.until = range.until.min(range.after.saturating_add(stop_after));
            }
            self.is_right(&what, &ask.key, range, pushed).map_err(|stop| match stop {
                Stop::Failed(failure) => Stop::Failed(Failure { broken: vec![id], ..failure }),
                stop @ Stop::Skipped(_) => stop,
            })?;
        }
        Ok(())
    }

    /// Returns all keys that a request returns, across its pages.
    async fn listed(&self, request: KeysRequest<'_>) -> Result<Vec<AggregateKey>, Stop> {
        let mut listed = Vec::new();
        let mut cursor: Option<Cursor> = None;
        let most = self.histories.len() + 8;
        loop {
            let mut request = request;
            request.after = cursor.as_ref();
            let what = format!("list keys with limit {}", request.limit);
            let page = self.call("E-40", KEYS, &what, self.subject.keys(request)).await?;
            let limit = request.limit.max(1);
            ensure(page.items.len() <= limit, || {
                let got = format!("{} items", page.items.len());
                Failure::new("E-41", &what).expected(format!("at most {limit} items")).got(got)
            })?;
            ensure(!page.items.is_empty() || page.next.is_none(), || {
                Failure::new("E-41", &what)
                    .expected("items, or no `next`")
                    .got("no items and a `next`")
            })?;
            listed.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(listed);
            }
            ensure(listed.len() <= most, || {
                Failure::new("E-40", &what).expected("the end").got(format!("over {most} keys"))
            })?;
        }
    }

    async fn lists(&self, request: KeysRequest<'_>, id: &'static str) -> Result<(), Stop> {
        let listed = self.listed(request).await?;
        let expected: BTreeSet<_> =
            self.histories.keys().filter(|key| request.admits(key)).collect();
        let distinct: BTreeSet<_> = listed.iter().collect();
        ensure(distinct == expected && distinct.len() == listed.len(), || {
            Failure::new(id, format!("list keys with {request:?}"))
                .expected(format!("{} keys, each once: {}", expected.len(), shown(&expected)))
                .got(format!("{} keys: {}", listed.len(), shown(&listed)))
        })
    }

    /// Creates several aggregates with histories of different lengths.
    async fn several(&mut self, count: u64) -> Result<Vec<AggregateKey>, Stop> {
        let mut keys = Vec::new();
        for n in 1..=count {
            let key = self.key(n)?;
            self.append(&key, 1 + n * 3 % 7).await?;
            // A fault in single reads is not a fault in a read of many aggregates.
            self.reads(&key, ALL).await?;
            self.reads(&key, EventRange::new(1, 2)).await?;
            keys.push(key);
        }
        Ok(keys)
    }
}

fn ask(key: &AggregateKey, after: u64, until: u64, stop_after: usize) -> Question {
    Question { key: key.clone(), range: EventRange::new(after, until), stop_after }
}

async fn many(cx: &mut SourceContext) -> Result<(), Stop> {
    let mut keys = cx.several(9).await?;
    keys.push(cx.key(99)?);
    cx.reads(&cx.key(99)?, ALL).await?;
    let all: Vec<_> = keys.iter().map(|key| ask(key, 0, u64::MAX, usize::MAX)).collect();
    cx.many_right(&all, "E-30").await?;
    let parts: Vec<_> =
        (0..).zip(&keys).map(|(n, key)| ask(key, n % 3, 1 + n % 5, usize::MAX)).collect();
    cx.many_right(&parts, "E-30").await?;
    for one in &all {
        cx.many_right(std::slice::from_ref(one), "E-30").await?;
    }
    Ok(())
}

async fn many_long(cx: &mut SourceContext) -> Result<(), Stop> {
    let keys = [cx.key(1)?, cx.key(2)?, cx.key(3)?];
    for (key, count) in keys.iter().zip([1_500, 3, 1_025]) {
        cx.append(key, count).await?;
        cx.reads(key, ALL).await?;
    }
    let asks: Vec<_> = keys.iter().map(|key| ask(key, 0, u64::MAX, usize::MAX)).collect();
    cx.many_right(&asks, "E-30").await
}

async fn many_stopped(cx: &mut SourceContext) -> Result<(), Stop> {
    let keys = cx.several(6).await?;
    let asks: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| ask(key, 0, u64::MAX, if n % 2 == 0 { 1 } else { usize::MAX }))
        .collect();
    let whole: Vec<_> = keys.iter().map(|key| ask(key, 0, u64::MAX, usize::MAX)).collect();
    cx.many_right(&whole, "E-30").await?;
    cx.many_right(&asks, "E-31").await
}

async fn many_odd(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.many_right(&[], "E-32").await?;
    let keys = cx.several(3).await?;
    let Some(key) = keys.first() else { return Ok(()) };
    let whole: Vec<_> = keys.iter().map(|key| ask(key, 0, u64::MAX, usize::MAX)).collect();
    cx.many_right(&whole, "E-30").await?;
    let same = ask(key, 0, u64::MAX, usize::MAX);
    cx.many_right(&[same.clone(), ask(key, 1, 2, usize::MAX), same], "E-32").await
}

async fn keys_once(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.lists(KeysRequest::new(), "E-40").await?;
    cx.several(13).await?;
    for limit in [1, 2, 5, 12, 13, 14, 1_000] {
        cx.lists(KeysRequest::new().limit(limit), "E-40").await?;
    }
    Ok(())
}

async fn key_pages(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.several(7).await?;
    for limit in [0, 1, 3, 6, 7, 8, usize::MAX] {
        let request = KeysRequest::new().limit(limit);
        let page = cx.call("E-40", KEYS, "list keys", cx.subject.keys(request)).await?;
        let all = cx.listed(request).await?;
        ensure(page.next.is_some() || page.items.len() == all.len().max(7), || {
            Failure::new("E-41", format!("list the first page of keys with limit {limit}"))
                .expected("a `next`, because more keys follow")
                .got(format!("{} items and no `next`", page.items.len()))
        })?;
    }
    Ok(())
}

async fn key_filters(cx: &mut SourceContext) -> Result<(), Stop> {
    let kind = cx.subject.kind();
    for tenant in ["", "n", "north", "N"] {
        for kind in [kind, "other", "others", ""] {
            for n in 1..=2 {
                let key = cx.key(n)?;
                let key = AggregateKey::from_parts(tenant, kind, key.id())?;
                if cx.subject.takes(&key) {
                    cx.append(&key, n).await?;
                }
            }
        }
    }
    cx.lists(KeysRequest::new().kind(kind), "E-42").await?;
    // A filter is checked only if the event store can hold keys with its tenant or kind.
    let id = cx.key(1)?;
    for tenant in ["", "north", "nort"] {
        let request = KeysRequest::new().tenant(tenant);
        if cx.subject.takes(&AggregateKey::from_parts(tenant, kind, id.id())?) {
            cx.lists(request, "E-42").await?;
            cx.lists(request.kind(kind), "E-42").await?;
        }
    }
    for kind in ["other", ""] {
        if cx.subject.takes(&AggregateKey::from_parts("", kind, id.id())?) {
            cx.lists(KeysRequest::new().kind(kind), "E-42").await?;
        }
    }
    Ok(())
}

async fn foreign_cursor(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.several(3).await?;
    // Skips the case if lists are not supported.
    cx.call("E-40", KEYS, "list keys", cx.subject.keys(KeysRequest::new())).await?;
    for bytes in [b"\xff\xfe\xfd".to_vec(), vec![0xff; 24], vec![0xff; 40], vec![0xfe; 70_000]] {
        let cursor = Cursor::new(bytes.clone());
        let request = KeysRequest::new().after(&cursor);
        let answer = cx.bounded("list keys", cx.subject.keys(request)).await?;
        let fine =
            answer.as_ref().map_or(true, |page| page.items.is_empty() && page.next.is_none());
        ensure(fine, || {
            let what = format!("list keys after a {}-byte cursor that was made up", bytes.len());
            Failure::new("E-43", what).expected("an error or an empty page").got(shown(&answer))
        })?;
    }
    Ok(())
}

async fn time_versions(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 60).await?;
    let nobody = cx.key(2)?;
    for (key, range, limit) in [
        (&nobody, ALL, 10),
        (&key, ALL, 0),
        (&key, ALL, 1),
        (&key, ALL, 59),
        (&key, ALL, 60),
        (&key, ALL, 1_000),
        (&key, ALL, usize::MAX),
        (&key, EventRange::new(10, 20), 10),
        (&key, EventRange::new(10, 20), 3),
        (&key, EventRange::new(59, u64::MAX), 9),
        (&key, EventRange::new(60, u64::MAX), 9),
        (&key, EventRange::new(20, 20), 9),
    ] {
        let what = format!("list the event times of {key} in {range:?} with limit {limit}");
        let times = cx.call("E-50", TIMES, &what, cx.subject.times(key, range, limit)).await?;
        let history = cx.history(key);
        let expected: Vec<_> = history.within(range).iter().map(|event| event.version).collect();
        let versions: Vec<_> = times.iter().map(|time| time.version).collect();
        let fine = expected.starts_with(&versions)
            && versions.len() <= limit.max(1)
            && versions.is_empty() == expected.is_empty();
        ensure(fine, || {
            Failure::new("E-50", &what)
                .expected(format!("the first versions of {}", shown(&expected)))
                .got(shown(&versions))
        })?;
    }
    Ok(())
}

async fn time_values(cx: &mut SourceContext) -> Result<(), Stop> {
    needs(cx.subject.keeps().times, "Kept::times")?;
    let key = cx.key(1)?;
    let mut events = cx.events(&key, 12);
    if cx.subject.keeps().untimed {
        for event in events.iter_mut().step_by(5) {
            event.recorded_at = None;
        }
    }
    cx.append_these(&key, events).await?;
    let history = cx.history(&key);
    for after in [0, 5] {
        let range = EventRange::new(after, u64::MAX);
        let times =
            cx.call("E-50", TIMES, "list event times", cx.subject.times(&key, range, 100)).await?;
        let expected = history.within(range);
        let wrong =
            times.iter().zip(expected).find(|(time, own)| time.recorded_at != own.recorded_at);
        ensure(wrong.is_none(), || {
            Failure::new("E-51", format!("list the event times of {key} in {range:?}"))
                .expected("the time at which the event was recorded")
                .got(shown(&wrong))
        })?;
    }
    Ok(())
}
