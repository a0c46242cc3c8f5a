//! What `bench` prints.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::failure::CliFailure;
use crate::cli::output::{Grid, GridColumn, count, key_json, shown, shown_id, size};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::manager::SnapshotUsed;

/// The times of one aggregate.
pub(super) struct BenchRow {
    pub(super) key: AggregateKey,
    pub(super) events: u64,
    /// The events after the snapshot.
    pub(super) tail: u64,
    /// The snapshot that loads start from, if there is a usable one.
    pub(super) snapshot: Option<SnapshotUsed>,
    pub(super) replay: Option<BenchSample>,
    pub(super) load: Option<BenchSample>,
    /// Loads of the snapshot alone.
    pub(super) bare: Option<BenchSample>,
    pub(super) save: Option<BenchSample>,
}

/// The times of several equal measurements, in picoseconds, as all times here: an event may take
/// less than a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BenchSample {
    count: u64,
    lowest: u64,
    median: u64,
    highest: u64,
}

/// What one aggregate, or the median of several, says about the costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BenchCosts {
    per_event: Option<u64>,
    load: Option<u64>,
    save: Option<u64>,
}

const NANO: u64 = 1_000;

impl BenchSample {
    /// Returns `None` without measurements.
    pub(super) fn of(times: &[Duration]) -> Option<Self> {
        let picos = |time: &Duration| {
            u64::try_from(time.as_nanos().saturating_mul(NANO.into())).unwrap_or(u64::MAX)
        };
        let times: Vec<_> = times.iter().map(picos).collect();
        let (lowest, highest) = (*times.iter().min()?, *times.iter().max()?);
        Some(Self { count: times.len() as u64, lowest, median: median(times)?, highest })
    }

    fn json(self) -> Value {
        json!({
            "count": self.count,
            "lowest_ns": self.lowest / NANO,
            "median_ns": self.median / NANO,
            "highest_ns": self.highest / NANO,
        })
    }

    /// `1.2ms (1.1-1.3)`: all in the unit of the median.
    fn shown(self) -> String {
        let (divisor, unit) = unit(self.median);
        let [lowest, median, highest] =
            [self.lowest, self.median, self.highest].map(|of| ratio(of, divisor));
        format!("{median}{unit} ({lowest}-{highest})")
    }
}

impl BenchRow {
    fn costs(&self) -> BenchCosts {
        let median = |sample: Option<BenchSample>| sample.map(|of| of.median);
        BenchCosts {
            per_event: median(self.replay).map(|all| all / self.events.max(1)),
            load: median(self.bare),
            save: median(self.save),
        }
    }

    /// How many times faster the load from the snapshot is.
    fn faster(&self) -> Option<String> {
        let (replay, load) = (self.replay?.median, self.load?.median);
        (load > 0).then(|| format!("{}x", ratio(replay, load)))
    }
}

impl BenchCosts {
    /// Returns the number of events whose fold takes as long as this, rounded up.
    fn events(&self, time: Option<u64>) -> Option<u64> {
        let per_event = self.per_event.filter(|time| *time > 0)?;
        Some(time?.div_ceil(per_event))
    }

    /// From how many events a load from a snapshot is faster than a replay.
    fn faster_from(&self) -> Option<u64> {
        self.events(self.load)
    }

    /// From how many events saving a snapshot and loading it once is faster than a replay.
    fn pays_from(&self) -> Option<u64> {
        self.events(self.load.zip(self.save).map(|(load, save)| load.saturating_add(save)))
    }

    fn json(&self) -> Value {
        json!({
            "per_event_ps": self.per_event,
            "snapshot_load_ns": self.load.map(|time| time / NANO),
            "snapshot_save_ns": self.save.map(|time| time / NANO),
            "faster_from_events": self.faster_from(),
            "pays_from_events": self.pays_from(),
        })
    }
}

pub(super) fn report(
    session: &mut CliSession,
    kind: &str,
    repeat: u16,
    rows: &[BenchRow],
) -> Result<(), CliFailure> {
    let each: Vec<_> = rows.iter().map(BenchRow::costs).collect();
    let of = |part: fn(&BenchCosts) -> Option<u64>| median(each.iter().filter_map(part).collect());
    let costs =
        BenchCosts { per_event: of(|c| c.per_event), load: of(|c| c.load), save: of(|c| c.save) };
    if session.json {
        let aggregates = rows.iter().zip(&each).map(|(row, costs)| row_json(row, costs));
        let aggregates: Vec<_> = aggregates.collect();
        let document = json!({
            "kind": kind,
            "repeat": repeat,
            "aggregates": aggregates,
            "median": costs.json(),
        });
        return Ok(session.screen.json(&document)?);
    }
    let what = count(rows.len() as u64, "aggregate", "aggregates");
    let times = count(repeat.into(), "time", "times");
    session.screen.heading(&format!("{}: {what}, each measured {times}", shown(kind)))?;
    let mut grid = Grid::new(&[
        GridColumn::Text("ID"),
        GridColumn::Number("EVENTS"),
        GridColumn::Number("REPLAY"),
        GridColumn::Number("LOAD"),
        GridColumn::Number("TAIL"),
        GridColumn::Number("STORED"),
        GridColumn::Number("FASTER"),
    ]);
    for row in rows {
        let shown_sample =
            |sample: Option<BenchSample>| sample.map_or_else(String::new, BenchSample::shown);
        let used = row.snapshot;
        grid.row([
            shown_id(row.key.id()),
            row.events.to_string(),
            shown_sample(row.replay),
            if used.is_some() { shown_sample(row.load) } else { "no snapshot".to_owned() },
            used.map_or_else(String::new, |_| row.tail.to_string()),
            used.map_or_else(String::new, |used| size(used.stored_bytes)),
            row.faster().unwrap_or_default(),
        ]);
    }
    grid.write(&mut session.screen)?;
    session.screen.line("")?;
    for sentence in sentences(&costs) {
        session.screen.paragraph(&sentence)?;
    }
    Ok(())
}

fn sentences(costs: &BenchCosts) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(per_event) = costs.per_event {
        sentences.push(format!("An event takes {} to read and fold.", shown_time(per_event)));
    }
    let from = |events: Option<u64>| match events {
        Some(events) => count(events.max(1), "event", "events"),
        None => "no number of events".to_owned(),
    };
    match costs.load {
        Some(load) => sentences.push(format!(
            "A snapshot takes {} to load: loads from it are faster than a replay from {} on.",
            shown_time(load),
            from(costs.faster_from())
        )),
        None => sentences.push(
            "No snapshot was used: `explain` says why, and `savepoint take` takes some.".to_owned(),
        ),
    }
    match (costs.load, costs.save) {
        (Some(_), Some(save)) => sentences.push(format!(
            "A snapshot takes {} to save: it pays with its first load from {} on.",
            shown_time(save),
            from(costs.pays_from())
        )),
        (Some(_), None) => sentences
            .push("What it takes to save one was not measured: add --save for that.".to_owned()),
        (None, _) => {}
    }
    sentences
}

fn row_json(row: &BenchRow, costs: &BenchCosts) -> Value {
    let sample = |sample: Option<BenchSample>| sample.map(BenchSample::json);
    json!({
        "key": key_json(&row.key),
        "events": row.events,
        "tail": row.snapshot.map(|_| row.tail),
        "snapshot_version": row.snapshot.map(|used| used.id.version),
        "stored_bytes": row.snapshot.map(|used| used.stored_bytes),
        "raw_bytes": row.snapshot.map(|used| used.raw_bytes),
        "replay": sample(row.replay),
        "load": sample(row.load),
        "snapshot_load": sample(row.bare),
        "snapshot_save": sample(row.save),
        "costs": costs.json(),
    })
}

/// Returns the median: the mean of the middle two if their number is even.
fn median(mut times: Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    let high = times.get(times.len() / 2)?;
    let low = times.get(times.len().saturating_sub(1) / 2)?;
    Some(u64::midpoint(*low, *high))
}

/// Returns the largest unit that is not larger than a time, and its name.
fn unit(time: u64) -> (u64, &'static str) {
    match time / NANO {
        0..1_000 => (NANO, "ns"),
        1_000..1_000_000 => (NANO * 1_000, "us"),
        1_000_000..1_000_000_000 => (NANO * 1_000_000, "ms"),
        _ => (NANO * 1_000_000_000, "s"),
    }
}

fn shown_time(time: u64) -> String {
    let (divisor, unit) = unit(time);
    format!("{}{unit}", ratio(time, divisor))
}

/// Returns a quotient, with one digit after the point if it is below 10.
fn ratio(dividend: u64, divisor: u64) -> String {
    let divisor = u128::from(divisor.max(1));
    let tenths = (u128::from(dividend) * 10 + divisor / 2) / divisor;
    if tenths < 100 {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        ((u128::from(dividend) + divisor / 2) / divisor).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(times: &[u64]) -> Option<BenchSample> {
        let times: Vec<_> = times.iter().map(|time| Duration::from_millis(*time)).collect();
        BenchSample::of(&times)
    }

    #[test]
    fn samples_have_a_median_and_a_spread() {
        assert_eq!(millis(&[]), None);
        assert_eq!(millis(&[5]).unwrap().shown(), "5.0ms (5.0-5.0)");
        assert_eq!(millis(&[30, 1, 7]).unwrap().shown(), "7.0ms (1.0-30)");
        assert_eq!(millis(&[30, 1, 7, 8]).unwrap().shown(), "7.5ms (1.0-30)");
        assert_eq!(median(vec![3, 1]), Some(2));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn the_break_even_is_where_a_fold_takes_as_long() {
        let costs = BenchCosts { per_event: Some(10), load: Some(995), save: Some(9_000) };
        assert_eq!((costs.faster_from(), costs.pays_from()), (Some(100), Some(1_000)));
        let text = sentences(&costs).join(" ");
        assert!(text.contains("from 100 events on"), "{text}");
        assert!(text.contains("from 1,000 events on"), "{text}");
        // Without one of the costs nothing is claimed, and a clock that stands still is no cost.
        let unsaved = BenchCosts { save: None, ..costs };
        assert_eq!((unsaved.faster_from(), unsaved.pays_from()), (Some(100), None));
        assert!(sentences(&unsaved).join(" ").contains("--save"));
        assert_eq!(BenchCosts { per_event: Some(0), ..costs }.faster_from(), None);
        assert_eq!(BenchCosts { load: None, ..costs }.faster_from(), None);
        assert!(sentences(&BenchCosts { load: None, ..costs }).join(" ").contains("explain"));
    }

    #[test]
    fn times_have_a_fitting_unit_at_every_magnitude() {
        let shown = [0, 450, 999_000, 1_500_000, 25_000_000_000, 3_210_000_000_000, u64::MAX]
            .map(shown_time);
        assert_eq!(shown, ["0.0ns", "0.5ns", "999ns", "1.5us", "25ms", "3.2s", "18446744s"]);
    }
}
