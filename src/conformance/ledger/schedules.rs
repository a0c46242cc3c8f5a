//! Schedules are stored, listed, and returned when they are due.

use super::case::{NAMES, Nodes, at, done, key, same, schedule};
use crate::conformance::failure::Stop;
use crate::key::AggregateKey;
use crate::ledger::{Cadence, KeepRule, Ledger, Schedule, ScheduleKey, Task};

super::case::cases! {
    "every node returns a schedule as it was put", ["L-01", "L-02", "L-04", "L-11"], kept;
    "a put replaces everything except the creation time and the lease", ["L-10"], replaced;
    "removing a schedule removes no other schedule", ["L-01", "L-02", "L-11"], removed;
    "the pages of schedules are in order and complete", ["L-12"], paged;
    "due schedules are ordered by time, then by key", ["L-13"], due;
}

async fn kept(nodes: Nodes) -> Result<(), Stop> {
    let (ledger, other) = (nodes.node(0)?, nodes.node(1)?);
    let missing = done(
        "L-02",
        "read a schedule that does not exist",
        ledger.schedule(&key("", "a")?.into()).await,
    )?;
    same("L-02", "read a schedule that does not exist", &missing, &None)?;
    let mut all = Vec::new();
    for (tenant, id) in NAMES.iter().flat_map(|t| NAMES.iter().map(move |i| (t, i))) {
        let place = i64::try_from(all.len()).unwrap_or(0);
        let (text, next) = match place % 4 {
            0 => ("every 1000001us", None),
            1 => ("0 3 * * *", Some(at(-place))),
            2 => ("@daily", Some(at(place))),
            _ => ("\u{1}\0'", Some(at(0))),
        };
        let cadence = Cadence::from_stored(text)?;
        let task = match place % 3 {
            0 => Task::Snapshot,
            1 => Task::Retention(KeepRule::last(3)),
            _ => Task::from_stored("of a newer release \u{1}\0'")?,
        };
        let schedule = Schedule::from_stored(key(tenant, id)?.into(), cadence, at(place))
            .updated_at(at(place + 7))
            .task(task)
            .enabled(place % 5 > 0)
            .next_run(next);
        all.push(schedule);
    }
    // An empty id is not the same as no id.
    for tenant in NAMES {
        all.push(schedule(ScheduleKey::kind_wide(tenant, "account")?, 5)?);
    }
    // Of one subject, each name has its own.
    for name in NAMES {
        for subject in [ScheduleKey::kind_wide("n", "account")?, key("n", "")?.into()] {
            all.push(schedule(subject.named(name)?, 6)?.task(Task::Verify));
        }
    }
    for schedule in &all {
        done("L-11", "put a schedule", ledger.put_schedule(schedule).await)?;
        let found =
            done("L-04", "read a schedule on another node", other.schedule(&schedule.key).await)?;
        same("L-04", "read a schedule on another node", &found.is_some(), &true)?;
    }
    for schedule in &all {
        let found = done("L-11", "read a schedule", ledger.schedule(&schedule.key).await)?;
        let key_of =
            |found: &Option<Schedule>| found.as_ref().map(|it| (it.key.clone(), it.created_at));
        let expected = Some(schedule.clone());
        same("L-01", "read a schedule by its key", &key_of(&found), &key_of(&expected))?;
        same("L-11", "read a schedule", &found, &expected)?;
    }
    Ok(())
}

async fn replaced(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    let old = schedule(key("", "a")?, 10)?;
    done("L-10", "put a schedule", ledger.put_schedule(&old).await)?;
    let claim =
        done("L-10", "claim a run", ledger.claim(&old.key, at(10), "node", at(10), at(20)).await)?;
    let Some(claim) = claim else {
        return same("L-14", "claim a run", &None, &Some(old.key.clone()));
    };
    let claimed = done("L-10", "read a schedule", ledger.schedule(&old.key).await)?;
    let lease = claimed.and_then(|schedule| schedule.lease);
    same(
        "L-11",
        "read the lease of a claim",
        &lease.as_ref().map(|l| (l.token, l.until)),
        &Some((claim.token, at(20))),
    )?;
    let new = Schedule::new(old.key.clone(), "every 9s".parse()?, at(99))?
        .task(Task::Refold)
        .enabled(false)
        .next_run(Some(at(40)));
    // A ledger ignores the lease of a put.
    let mut put = new.clone();
    put.lease = lease.clone().map(|mut lease| {
        lease.token = 0;
        lease
    });
    done("L-10", "put a schedule again", ledger.put_schedule(&put).await)?;
    let mut expected = new;
    (expected.created_at, expected.lease) = (old.created_at, lease);
    let found = done("L-10", "read a schedule", nodes.node(1)?.schedule(&old.key).await)?;
    same("L-10", "the schedule after a second put", &found, &Some(expected))
}

async fn removed(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    let wide = ScheduleKey::kind_wide("", "account")?;
    let mut keys = vec![wide.clone().named("b")?, wide.clone().named("a")?, wide];
    for id in NAMES {
        keys.push(key("", id)?.into());
        keys.push(key("t", id)?.into());
    }
    for key in &keys {
        done("L-11", "put a schedule", ledger.put_schedule(&schedule(key.clone(), 10)?).await)?;
    }
    while let Some(gone) = keys.pop() {
        let was = done("L-02", "remove a schedule", ledger.remove_schedule(&gone).await)?;
        same("L-11", "remove a schedule", &was, &true)?;
        let again =
            done("L-02", "remove a schedule again", nodes.node(1)?.remove_schedule(&gone).await)?;
        same("L-02", "remove a schedule that was removed before", &again, &false)?;
        let found = done("L-11", "read a schedule", ledger.schedule(&gone).await)?;
        same("L-11", "read a removed schedule", &found, &None)?;
        let rest = all(&**ledger, 100).await?;
        same("L-01", "list the remaining schedules", &rest.len(), &keys.len())?;
        let due = done("L-13", "list the due schedules", ledger.due(at(10), 100).await)?;
        same("L-01", "list the remaining schedules that are due", &due.len(), &keys.len())?;
    }
    Ok(())
}

/// Returns all schedules, in pages of `limit`.
async fn all(ledger: &dyn Ledger, limit: usize) -> Result<Vec<ScheduleKey>, Stop> {
    let mut keys: Vec<ScheduleKey> = Vec::new();
    let mut after = None;
    loop {
        let page = done("L-12", "read a page", ledger.schedules(after.as_ref(), limit).await)?;
        same(
            "L-12",
            "a page has at most as many schedules as requested",
            &(page.items.len() <= limit.max(1)),
            &true,
        )?;
        keys.extend(page.items.into_iter().map(|schedule| schedule.key));
        if page.next.is_none() || keys.len() > 1_000 {
            return Ok(keys);
        }
        same("L-12", "`next` is the last key of its page", &page.next.as_ref(), &keys.last())?;
        after = page.next;
    }
}

async fn paged(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    same("L-12", "read the pages of an empty ledger", &all(&**ledger, 3).await?, &Vec::new())?;
    let mut expected = Vec::new();
    for tenant in ["", "b", "a"] {
        for kind in ["kind", "", "k"] {
            expected.push(ScheduleKey::kind_wide(tenant, kind)?);
            for name in ["b", "a\0", "a"] {
                expected.push(ScheduleKey::kind_wide(tenant, kind)?.named(name)?);
            }
            for id in NAMES {
                expected.push(AggregateKey::from_parts(tenant, kind, id)?.into());
            }
        }
    }
    for key in expected.iter().rev() {
        done("L-11", "put a schedule", ledger.put_schedule(&schedule(key.clone(), 10)?).await)?;
    }
    expected.sort();
    let all_keys = expected.len();
    for limit in [0, 1, 7, all_keys - 1, all_keys, all_keys + 1, 10_000] {
        same("L-12", "read all pages", &all(&**ledger, limit).await?, &expected)?;
    }
    Ok(())
}

async fn due(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    // Id, next run, enabled.
    let rows =
        [("c", 30, true), ("b", 10, true), ("a", 30, true), ("d", 5, false), ("e", 31, true)];
    for (id, next, enabled) in rows {
        let schedule = schedule(key("", id)?, next)?.enabled(enabled);
        done("L-11", "put a schedule", ledger.put_schedule(&schedule).await)?;
    }
    let never = schedule(key("", "n")?, 0)?.next_run(None);
    done("L-11", "put a schedule", ledger.put_schedule(&never).await)?;
    let wide = schedule(ScheduleKey::kind_wide("t", "account")?, 20)?;
    done("L-11", "put a schedule", ledger.put_schedule(&wide).await)?;
    let b = key("", "b")?.into();
    let claim = ledger.claim(&b, at(10), "node", at(10), at(12)).await;
    done("L-14", "claim a run", claim)?;
    for (now, limit, expected) in [
        (9, 10, &[][..]),
        // The run of b is claimed until 12.
        (11, 10, &[]),
        (12, 10, &["b"]),
        (30, 10, &["b", "", "a", "c"]),
        (30, 3, &["b", "", "a"]),
        (30, 0, &["b"]),
        (31, 9, &["b", "", "a", "c", "e"]),
    ] {
        let found =
            done("L-13", "list the due schedules", nodes.node(1)?.due(at(now), limit).await)?;
        let ids: Vec<_> =
            found.iter().map(|it| it.key.as_aggregate().map_or("", AggregateKey::id)).collect();
        same("L-13", "list the due schedules", &ids, &expected.to_vec())?;
    }
    Ok(())
}
