//! Statistics are summed per aggregate and day.

use std::sync::Arc;
use std::time::Duration;

use super::case::{NAMES, Nodes, at, done, key, same};
use crate::conformance::failure::Stop;
use crate::key::AggregateKey;
use crate::ledger::{DailyStatistics, Day, Ledger};

super::case::cases! {
    "statistics are summed separately for each aggregate and day", ["L-01", "L-02", "L-20"], added;
    "a batch may contain an aggregate and day several times", ["L-20"], repeated;
    "concurrent additions are all counted and never partly visible", ["L-20", "L-21"], raced;
    "days are returned in order and within the bounds", ["L-04", "L-22"], ranged;
}

fn all_days() -> std::ops::RangeInclusive<Day> {
    Day::new(i32::MIN)..=Day::new(i32::MAX)
}

fn created(bytes: u64, micros: u64) -> DailyStatistics {
    DailyStatistics::created(bytes, Duration::from_micros(micros))
}

async fn daily(
    ledger: &dyn Ledger,
    key: &AggregateKey,
) -> Result<Vec<(Day, DailyStatistics)>, Stop> {
    done("L-22", "read statistics", ledger.daily(key, all_days()).await)
}

async fn added(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let nothing = done("L-02", "read statistics", ledger.daily(&key("", "a")?, all_days()).await)?;
    same("L-02", "read statistics that do not exist", &nothing, &Vec::new())?;
    done("L-02", "add no statistics", ledger.add_statistics(&[]).await)?;
    let mut batch = Vec::new();
    for (tenant, id) in NAMES.iter().flat_map(|t| NAMES.iter().map(move |i| (t, i))) {
        for day in [-1, 0, 19_000] {
            let mut sum = created(batch.len() as u64, 7);
            sum.deleted = 3;
            batch.push((key(tenant, id)?, Day::new(day), sum));
        }
    }
    let twice: Vec<_> = batch.iter().map(|(key, day, sum)| (key, (*day, sum.plus(*sum)))).collect();
    let of = |key: &AggregateKey| -> Vec<_> {
        twice.iter().filter(|(of, _)| *of == key).map(|(_, item)| *item).collect()
    };
    // One aggregate is added alone first, so that later faults must be caused by the others.
    let (alone, others) = batch.split_at_checked(3).unwrap_or_default();
    for part in [alone, others] {
        for _ in 0..2 {
            done("L-20", "add statistics", ledger.add_statistics(part).await)?;
        }
        for (key, ..) in part {
            let id = if part.len() == alone.len() { "L-20" } else { "L-01" };
            same(id, "read the statistics of an aggregate", &daily(ledger, key).await?, &of(key))?;
        }
    }
    for (key, ..) in alone {
        same(
            "L-01",
            "read the statistics of an aggregate after others were added",
            &daily(ledger, key).await?,
            &of(key),
        )?;
    }
    Ok(())
}

async fn repeated(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let (a, b, day) = (key("", "a")?, key("", "b")?, Day::of(at(86_400)));
    let item = |key: &AggregateKey, sum| (key.clone(), day, sum);
    let batch = [
        item(&a, created(100, 5)),
        item(&b, DailyStatistics::deleted(1)),
        item(&a, created(200, 6)),
        item(&a, DailyStatistics::deleted(4)),
    ];
    done("L-20", "add statistics", ledger.add_statistics(&batch).await)?;
    let mut sum = created(300, 11);
    (sum.created, sum.deleted) = (2, 4);
    same("L-20", "the sum of a batch", &daily(ledger, &a).await?, &vec![(day, sum)])?;
    // Sums saturate and do not wrap around.
    let most =
        [item(&b, created(u64::MAX, u64::MAX)), item(&b, DailyStatistics::deleted(u64::MAX))];
    for _ in 0..2 {
        done("L-20", "add statistics", ledger.add_statistics(&most).await)?;
    }
    let found = daily(ledger, &b).await?;
    let least = found.iter().map(|(_, sum)| sum.bytes.min(sum.deleted).min(sum.creation_micros));
    let saturated = least.min().is_some_and(|least| least >= i64::MAX.cast_unsigned());
    same("L-20", "sums saturate", &saturated, &true)
}

async fn raced(nodes: Nodes) -> Result<(), Stop> {
    const TASKS: usize = 8;
    const ROUNDS: usize = 25;
    let keys = [key("", "a")?, key("", "b")?, key("t", "a")?];
    let (watched, day) = (key("", "b")?, Day::new(5));
    let adding = nodes.at_once(TASKS, |_, ledger: Arc<dyn Ledger>| {
        let batch: Vec<_> = keys.iter().map(|key| (key.clone(), day, created(100, 3))).collect();
        let watched = watched.clone();
        async move {
            for _ in 0..ROUNDS {
                done("L-20", "add statistics", ledger.add_statistics(&batch).await)?;
                for (_, sum) in daily(&*ledger, &watched).await? {
                    let whole =
                        (sum.bytes, sum.creation_micros) == (100 * sum.created, 3 * sum.created);
                    same("L-21", "each item is added as a whole", &whole, &true)?;
                }
            }
            Ok(())
        }
    });
    adding.await?;
    let mut sum = created(0, 0);
    sum.created = (TASKS * ROUNDS) as u64;
    (sum.bytes, sum.creation_micros) = (100 * sum.created, 3 * sum.created);
    for key in &keys {
        let found = daily(&**nodes.node(0)?, key).await?;
        same("L-20", "the sum of the additions of all nodes", &found, &vec![(day, sum)])?;
    }
    Ok(())
}

async fn ranged(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let key = key("", "a")?;
    let days = [i32::MIN, -2, -1, 0, 1, 2, i32::MAX];
    for day in [0, i32::MAX, -2, 2, i32::MIN, 1, -1] {
        let batch = [(key.clone(), Day::new(day), DailyStatistics::deleted(1))];
        done("L-20", "add statistics", ledger.add_statistics(&batch).await)?;
        let found = nodes.node(1)?.daily(&key, Day::new(day)..=Day::new(day)).await;
        same(
            "L-04",
            "read statistics on another node",
            &done("L-22", "read statistics", found)?.len(),
            &1,
        )?;
    }
    for (first, last) in
        [(i32::MIN, i32::MAX), (-1, 1), (0, 0), (3, 9), (9, -9), (-2, -2), (2, i32::MAX)]
    {
        let found = ledger.daily(&key, Day::new(first)..=Day::new(last)).await;
        let found: Vec<_> =
            done("L-22", "read statistics", found)?.iter().map(|(day, _)| day.number()).collect();
        let expected: Vec<_> =
            days.into_iter().filter(|day| (first..=last).contains(day)).collect();
        same("L-22", "read a range of days", &found, &expected)?;
    }
    Ok(())
}
