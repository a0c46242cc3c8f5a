//! Turns: each contestant takes one after the other, in an order that changes, so that what else
//! the machine does meets all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::account::{Account, Subject};
use crate::peer::{Peer, Way};

/// One row of a table. Times are in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub table: &'static str,
    /// What is loaded, and over which link.
    pub case: String,
    pub library: &'static str,
    pub median: f64,
    /// The quartiles of the turns.
    pub low: f64,
    pub high: f64,
    pub p95: f64,
    pub p99: f64,
    /// How many times the first contestant's time this one's is, in the same turn: the median and
    /// the quartiles.
    pub ratio: f64,
    pub ratio_low: f64,
    pub ratio_high: f64,
    /// Whether any state differed from the fold of the events.
    pub is_wrong: bool,
}

/// The times of one contestant, by turn.
#[derive(Default)]
pub struct Times {
    turns: Vec<f64>,
    each: Vec<f64>,
    is_wrong: bool,
}

impl Times {
    pub fn turn(&mut self, took: &[Duration], is_right: bool) {
        let us: Vec<_> = took.iter().map(|it| it.as_secs_f64() * 1e6).collect();
        self.turns.push(us.iter().sum::<f64>() / us.len() as f64);
        self.each.extend(us);
        self.is_wrong |= !is_right;
    }
}

/// The value below which a share of the sorted values are.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// The rows of one case, compared with the first contestant.
pub fn rows(table: &'static str, case: &str, times: &[(&'static str, Times)]) -> Vec<Row> {
    let first = &times[0].1.turns;
    let row = |(library, own): &(&'static str, Times)| {
        let ratios: Vec<_> = own.turns.iter().zip(first).map(|(own, first)| own / first).collect();
        Row {
            table,
            case: case.to_owned(),
            library,
            median: quantile(&own.turns, 0.5),
            low: quantile(&own.turns, 0.25),
            high: quantile(&own.turns, 0.75),
            p95: quantile(&own.each, 0.95),
            p99: quantile(&own.each, 0.99),
            ratio: quantile(&ratios, 0.5),
            ratio_low: quantile(&ratios, 0.25),
            ratio_high: quantile(&ratios, 0.75),
            is_wrong: own.is_wrong,
        }
    };
    times.iter().map(row).collect()
}

pub type Contestants = Vec<(&'static str, Box<dyn Peer>)>;

fn nothing_yet(contestants: &Contestants) -> Vec<(&'static str, Times)> {
    contestants.iter().map(|(name, _)| (*name, Times::default())).collect()
}

/// Loads of one aggregate.
pub async fn loads(
    contestants: &mut Contestants,
    way: Way,
    subject: &Subject,
    turns: usize,
    loads: usize,
) -> Vec<(&'static str, Times)> {
    let expected = subject.folded(subject.len());
    let mut times = nothing_yet(contestants);
    for turn in 0..turns + 1 {
        for step in 0..contestants.len() {
            let at = (turn + step) % contestants.len();
            let (state, took) = contestants[at].1.timed(way, &subject.id, loads).await;
            // The first turn prepares statements and fills caches.
            if turn > 0 {
                times[at].1.turn(&took, state == expected);
            }
        }
    }
    times
}

/// Loads of several aggregates.
pub async fn loads_of_many(
    contestants: &mut Contestants,
    subjects: &[Subject],
    turns: usize,
) -> Vec<(&'static str, Times)> {
    let ids: Vec<_> = subjects.iter().map(|subject| subject.id.clone()).collect();
    let expected: BTreeMap<_, _> =
        subjects.iter().map(|it| (it.id.clone(), it.folded(it.len()))).collect();
    let is_right = |accounts: &[Account]| {
        accounts.len() == expected.len()
            && accounts.iter().all(|it| expected.get(&it.account_id) == Some(it))
    };
    let mut times = nothing_yet(contestants);
    for turn in 0..turns + 1 {
        for step in 0..contestants.len() {
            let at = (turn + step) % contestants.len();
            let (accounts, took) = contestants[at].1.timed_many(&ids).await;
            if turn > 0 {
                times[at].1.turn(&[took], is_right(&accounts));
            }
        }
    }
    times
}

/// Commands: ten a turn, and with one of them a snapshot is due. Returns the times of those without
/// and of those with one.
pub async fn commands(
    contestants: &mut Contestants,
    subject: &Subject,
    turns: usize,
) -> [Vec<(&'static str, Times)>; 2] {
    let mut times = [(); 2].map(|()| nothing_yet(contestants));
    let mut versions = vec![subject.len(); contestants.len()];
    for turn in 0..turns + 1 {
        for step in 0..contestants.len() {
            let at = (turn + step) % contestants.len();
            let mut took = [Vec::new(), Vec::new()];
            // One takes its snapshots eleven events apart.
            while took[0].len() < 9 || took[1].is_empty() {
                versions[at] += 1;
                let event = subject.event(versions[at]);
                let (time, is_due) = contestants[at].1.command(&subject.id, event).await;
                took[usize::from(is_due)].push(time);
            }
            if turn > 0 {
                for (times, took) in times.iter_mut().zip(took) {
                    times[at].1.turn(&took, true);
                }
            }
        }
    }
    for (at, (_, peer)) in contestants.iter_mut().enumerate() {
        let is_right = peer.load(&subject.id).await == subject.folded(versions[at]);
        for times in &mut times {
            times[at].1.is_wrong |= !is_right;
        }
    }
    times
}
