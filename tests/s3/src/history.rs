//! What callers of a store did and were told, and whether one order of all calls explains it.

use std::collections::HashSet;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use snapfold::store::{
    DeleteOptions, Lookup, Mark, MarkChange, MarkKind, PutOptions, PutOutcome, Query, Rewrite,
    Selection,
};
use snapfold::{AggregateKey, Error, Retry, SnapshotStore, Timestamp};

use crate::samples::{id, payload, record};

/// A call for one snapshot. Numbers are payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Put(u64),
    Replace(u64),
    Delete,
    Pin,
    Unpin,
    Rewrite(u64, u64),
    Get,
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Stored,
    Replaced,
    Existing,
    /// How many snapshots were deleted, marked or rewritten.
    Changed(u64),
    Found(u64),
    Absent,
    /// It is not known whether the call was made.
    Unknown,
    /// The call was not made.
    Failed,
}

/// One call, between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub version: u64,
    pub start: u64,
    /// `u64::MAX` if it may still be made.
    pub end: u64,
    pub call: Call,
    pub answer: Answer,
}

/// The payload of a snapshot, and whether it is pinned.
pub type State = Option<(u64, bool)>;

impl Call {
    /// What the call makes of a snapshot, and its answer.
    pub fn applied(self, state: State) -> (State, Answer) {
        match (self, state) {
            (Self::Put(new) | Self::Replace(new), None) => (Some((new, false)), Answer::Stored),
            (Self::Put(_), there) => (there, Answer::Existing),
            (Self::Replace(new), Some((_, pinned))) => (Some((new, pinned)), Answer::Replaced),
            (Self::Delete, Some((_, false))) => (None, Answer::Changed(1)),
            (Self::Pin, Some((payload, false))) => (Some((payload, true)), Answer::Changed(1)),
            (Self::Unpin, Some((payload, true))) => (Some((payload, false)), Answer::Changed(1)),
            (Self::Rewrite(from, to), Some((there, pinned))) if from == there => {
                (Some((to, pinned)), Answer::Changed(1))
            }
            (Self::Delete | Self::Pin | Self::Unpin | Self::Rewrite(..), there) => {
                (there, Answer::Changed(0))
            }
            (Self::Get, there) => {
                let answer = there.map_or(Answer::Absent, |(payload, _)| Answer::Found(payload));
                (there, answer)
            }
        }
    }

    /// Makes the call.
    pub async fn make(self, store: &dyn SnapshotStore, key: &AggregateKey, version: u64) -> Event {
        let start = now();
        let answer = match self.try_on(store, key, version).await {
            Ok(answer) => answer,
            Err(error) if error.retry() == Retry::Unknown => Answer::Unknown,
            Err(_) => Answer::Failed,
        };
        let end = if answer == Answer::Unknown { u64::MAX } else { now() };
        Event { version, start, end, call: self, answer }
    }

    /// Makes the call, and says why it failed.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn try_on(
        self,
        store: &dyn SnapshotStore,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Answer, Error> {
        let (ids, pin) = ([id(version)], Mark::pin("test", Timestamp::from_seconds(1)));
        let selection = Selection::Ids(&ids);
        Ok(match self {
            Self::Put(new) | Self::Replace(new) => {
                let options = PutOptions::default().replace(matches!(self, Self::Replace(_)));
                match store.put(vec![record(key, version, new)], options).await?[..] {
                    [PutOutcome::Stored] => Answer::Stored,
                    [PutOutcome::Replaced] => Answer::Replaced,
                    [PutOutcome::Existing { .. }] => Answer::Existing,
                    ref others => panic!("{others:?}"),
                }
            }
            Self::Delete => {
                let deleted = store.delete(key, selection, DeleteOptions::default()).await?;
                Answer::Changed(deleted.snapshots)
            }
            Self::Pin => Answer::Changed(store.mark(key, selection, MarkChange::Set(&pin)).await?),
            Self::Unpin => {
                let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "test" };
                Answer::Changed(store.mark(key, selection, clear).await?)
            }
            Self::Rewrite(from, to) => {
                let (from, to) = (record(key, version, from), record(key, version, to));
                let done = store.rewrite(vec![Rewrite::new(from, to)]).await?;
                Answer::Changed(u64::from(done[0]))
            }
            Self::Get => match store.get(Query::exact(key, id(version))).await? {
                Lookup::Found(found) => Answer::Found(payload(&found.record)),
                _ => Answer::Absent,
            },
        })
    }
}

/// Returns whether there is an order of all calls for one snapshot that gives each the answer that it
/// had, with no call before one that had ended when it began. What is not known may be in it or not.
///
/// # Panics
///
/// If there are more than 128 calls.
pub fn is_linear(events: &[Event]) -> bool {
    assert!(events.len() <= 128, "{} calls", events.len());
    search(events, 0, None, &mut HashSet::new())
}

fn search(events: &[Event], done: u128, state: State, seen: &mut HashSet<(u128, State)>) -> bool {
    let is_open = |at: &usize| done & (1 << at) == 0 && events[*at].answer != Answer::Failed;
    let open = (0..events.len()).filter(is_open);
    let must = open.clone().filter(|at| events[*at].answer != Answer::Unknown);
    let Some(first_end) = must.map(|at| events[at].end).min() else { return true };
    open.filter(|at| events[*at].start <= first_end).any(|at| {
        let (next, answer) = events[at].call.applied(state);
        let fits = answer == events[at].answer || events[at].answer == Answer::Unknown;
        let done = done | (1 << at);
        fits && seen.insert((done, next)) && search(events, done, next, seen)
    })
}

/// The time by a clock that all processes of this machine share, in nanoseconds.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(now.as_nanos()).expect("a time before 2554")
}

/// One line of numbers, which [`Event::parse`] reads.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match self.call {
            Call::Put(new) => [0, new, 0],
            Call::Replace(new) => [1, new, 0],
            Call::Delete => [2, 0, 0],
            Call::Pin => [3, 0, 0],
            Call::Unpin => [4, 0, 0],
            Call::Rewrite(from, to) => [5, from, to],
            Call::Get => [6, 0, 0],
        };
        let answer = match self.answer {
            Answer::Stored => [0, 0],
            Answer::Replaced => [1, 0],
            Answer::Existing => [2, 0],
            Answer::Changed(count) => [3, count],
            Answer::Found(payload) => [4, payload],
            Answer::Absent => [5, 0],
            Answer::Unknown => [6, 0],
            Answer::Failed => [7, 0],
        };
        let ([call, a, b], [answer, c]) = (call, answer);
        let Self { version, start, end, .. } = self;
        write!(f, "{version} {start} {end} {call} {a} {b} {answer} {c}")
    }
}

impl Event {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [version, start, end, call, a, b, answer, c] = numbers[..] else { return None };
        let call = match call {
            0 => Call::Put(a),
            1 => Call::Replace(a),
            2 => Call::Delete,
            3 => Call::Pin,
            4 => Call::Unpin,
            5 => Call::Rewrite(a, b),
            6 => Call::Get,
            _ => return None,
        };
        let answer = match answer {
            0 => Answer::Stored,
            1 => Answer::Replaced,
            2 => Answer::Existing,
            3 => Answer::Changed(c),
            4 => Answer::Found(c),
            5 => Answer::Absent,
            6 => Answer::Unknown,
            7 => Answer::Failed,
            _ => return None,
        };
        Some(Self { version, start, end, call, answer })
    }
}
