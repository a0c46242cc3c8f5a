//! Publications that were not finalised in time.

use std::collections::BTreeSet;

use super::context::{FAILED, PublicationContext, done, ended, next, replaced, same, stored};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::publication::PublicationStatus;
use crate::timestamp::Timestamp;

cases! {
    publications Publications:
    "what has expired and not ended is found, in all projects", ["P-40"], found;
    "what has expired is found in portions until nothing is left", ["P-40"], portions;
}

const TIME: i64 = 1_900_000_000_000_000;

async fn found(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut all = Vec::new();
    for number in 0..30_usize {
        let mut new = case.new_one()?;
        new.project = match number % 3 {
            0 => "p".into(),
            1 => String::new(),
            _ => "q/\u{e9}".into(),
        };
        // Some microseconds apart, then seconds, then at the ends of time.
        let offset = i64::try_from(number).unwrap_or(0);
        new.expires_at = match number % 5 {
            0 => Timestamp::from_micros(TIME + offset),
            1 => Timestamp::from_micros(TIME + offset * 1_000_000),
            2 => Timestamp::from_micros(TIME - offset * 1_000_000_000),
            3 => Timestamp::MIN,
            _ => Timestamp::MAX,
        };
        stored("P-10", &*case.node(number)?, &new).await?;
        if number % 4 == 1 {
            new = next(&new, "changed");
            replaced(&*case.node(number)?, &new).await?;
        } else if number % 4 == 3 {
            let status = if number % 8 == 3 { FAILED } else { PublicationStatus::Completed };
            new = ended(&new, status);
            replaced(&*case.node(number + 1)?, &new).await?;
        }
        all.push(new);
    }
    let times: BTreeSet<_> = all.iter().map(|it| it.expires_at.as_micros()).collect();
    let around = times.iter().flat_map(|at| [at.saturating_sub(1), *at, at.saturating_add(1)]);
    for now in around.map(Timestamp::from_micros) {
        let mut expected = all.clone();
        expected.retain(|it| it.ended_at.is_none() && it.expires_at <= now);
        expected.sort_unstable_by_key(|it| it.id);
        let found = case.node(0)?.expired(now, 100).await;
        let mut found = done("P-40", "find the expired", found)?;
        found.sort_unstable_by_key(|it| it.id);
        same("P-40", &format!("what has expired at {now}"), &found, &expected)?;
        let some = done("P-40", "find the expired", case.node(1)?.expired(now, 3).await)?;
        same("P-40", "at most as many as requested", &some.len(), &expected.len().min(3))?;
        let one = done("P-40", "find the expired", case.node(1)?.expired(now, 0).await)?;
        same("P-40", "a limit of 0 is 1", &one.len(), &expected.len().min(1))?;
    }
    Ok(())
}

async fn portions(case: &mut PublicationContext) -> Result<(), Stop> {
    let mut left = BTreeSet::new();
    for _ in 0..70 {
        let mut new = case.new_one()?;
        new.expires_at = Timestamp::from_micros(TIME - case.random.i64(0..5_000_000));
        stored("P-10", &*case.node(0)?, &new).await?;
        left.insert(new.id);
    }
    let now = Timestamp::from_micros(TIME);
    loop {
        let some = done("P-40", "find the expired", case.node(1)?.expired(now, 9).await)?;
        same("P-40", "the number of the expired", &some.len(), &left.len().min(9))?;
        if some.is_empty() {
            return Ok(());
        }
        for publication in some {
            same("P-40", "each has expired", &left.remove(&publication.id), &true)?;
            if left.len() % 2 == 0 {
                replaced(&*case.node(2)?, &ended(&publication, FAILED)).await?;
            } else {
                let deleted = case.node(2)?.delete("p", publication.id).await;
                done("P-50", "delete a publication", deleted)?;
            }
        }
    }
}
