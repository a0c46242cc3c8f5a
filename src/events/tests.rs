//! Folding a run of events equals folding the same events one by one.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Done, Ended, Limits, Position, Progress, Recorded, Replay};
use crate::clock::ManualClock;
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq)]
struct Sum(u64);

impl Aggregate for Sum {
    type Event = u64;
    const KIND: &'static str = "sum";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(0)
    }

    fn apply(&mut self, event: &u64) {
        assert_ne!(*event, PANIC);
        self.0 = self.0 * 31 + event;
    }
}

const PANIC: u64 = 98;
const TORN: u64 = 99;

/// Stands for the second of an event without a time.
const UNTIMED: i64 = i64::MAX;

/// What a source pushes: version, recorded second, anchor, event.
type Row = (u64, i64, Option<&'static [u8]>, u64);

fn recorded(row: &Row) -> Recorded<'_, u64> {
    let mut recorded = match row.1 {
        UNTIMED => Recorded::untimed(row.0, &row.3),
        seconds => Recorded::new(row.0, Timestamp::from_seconds(seconds), &row.3),
    };
    recorded.anchor = row.2;
    recorded
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of all decoders")]
fn decode(event: &u64) -> Result<u64, &'static str> {
    if *event == TORN { Err("torn") } else { Ok(*event) }
}

type Outcome = (Option<Result<ControlFlow<()>, &'static str>>, Ended, u64, Sum, Position);

/// Folds `rows` after version `start` by `push`. A panic is caught, as by a source that continues.
fn fold(
    start: u64,
    limits: Limits,
    rows: &[Row],
    push: impl Fn(&mut Replay<'_, Sum>, &[Row]) -> Result<ControlFlow<()>, &'static str>,
) -> Outcome {
    let mut progress = Progress::<Sum>::start(&Sum::key("a").unwrap());
    progress.position.version = start;
    progress.position.last_recorded_at = Timestamp::from_seconds(start.try_into().unwrap());
    let shared = Arc::clone(&progress.state);
    let clock = ManualClock::at(Timestamp::from_seconds(0));
    let mut replay = Replay::new(&mut progress, limits, &clock);
    let answer = catch_unwind(AssertUnwindSafe(|| push(&mut replay, rows))).ok();
    let Done { ended, applied, first_applied_at, .. } = replay.finish();
    assert_eq!(first_applied_at.is_some(), applied > 0 || answer.is_none());
    assert_eq!(*shared, Sum(0));
    (answer, ended, applied, Sum::clone(&progress.state), progress.position)
}

#[test]
fn a_run_of_events_folds_to_what_they_fold_to_one_by_one() {
    let plain = |version: u64| (version, i64::try_from(version).unwrap(), None, version);
    // Each change makes one event of the history special.
    let changes: [fn(&mut Row); 10] = [
        |_| {},
        |row| row.0 += 1,
        |row| row.0 -= 1,
        |row| row.0 = 0,
        |row| row.1 = 1_000,
        |row| row.1 = -1_000,
        |row| row.1 = UNTIMED,
        |row| row.2 = Some(b"anchor"),
        |row| row.3 = TORN,
        |row| row.3 = PANIC,
    ];
    let times = [None, Some(Timestamp::from_seconds(6))];
    let mut seen = Vec::new();
    for start in [0, 3] {
        for (until, until_time) in
            [3, 4, 7, u64::MAX].into_iter().flat_map(|until| times.map(|t| (until, t)))
        {
            for (changed, change) in
                (0..9).flat_map(|changed| changes.map(|change| (changed, change)))
            {
                let mut rows: Vec<Row> = (start.max(1)..=9).map(plain).collect();
                if let Some(row) = rows.get_mut(changed) {
                    change(row);
                }
                let limits = Limits { until, until_time };
                let one_by_one = fold(start, limits, &rows, |replay, rows| {
                    for row in rows {
                        if replay.push_encoded(recorded(row), decode)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    Ok(ControlFlow::Continue(()))
                });
                let as_a_run = fold(start, limits, &rows, |replay, rows| {
                    replay.push_all_encoded(rows.iter().map(recorded), decode)
                });
                assert_eq!(as_a_run, one_by_one, "{start} {limits:?} {rows:?}");
                seen.push(one_by_one.1);
            }
        }
    }
    for ended in [Ended::Whole, Ended::Diverged, Ended::Untimed] {
        assert!(seen.contains(&ended), "{ended:?}");
    }
    assert!(seen.iter().any(|ended| matches!(ended, Ended::Broken { .. })));
}
