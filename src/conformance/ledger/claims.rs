//! Exactly one node executes a due run.

use std::sync::Arc;

use super::case::{Nodes, at, done, key, refused, same, schedule};
use crate::conformance::failure::Stop;
use crate::ledger::{Claim, Lease, Ledger, Schedule, ScheduleKey};
use crate::timestamp::Timestamp;

super::case::cases! {
    "only due runs can be claimed", ["L-14"], claimable;
    "exactly one of many nodes claims a run", ["L-14"], raced;
    "a run whose lease has expired can be claimed by another node", ["L-14", "L-16"], lapsed;
    "tokens increase, even after a schedule is removed", ["L-15"], tokens;
    "a lost lease cannot change anything", ["L-16"], lost;
    "completing or releasing a run ends its lease", ["L-16", "L-17"], completed;
    "a claim with an invalid holder or end is refused", ["L-03"], refusals;
}

async fn put(ledger: &dyn Ledger, next: i64) -> Result<Schedule, Stop> {
    let schedule = schedule(key("", "a")?, next)?;
    done("L-11", "put a schedule", ledger.put_schedule(&schedule).await)?;
    Ok(schedule)
}

async fn claim(
    ledger: &dyn Ledger,
    key: &ScheduleKey,
    due: i64,
    (now, until): (i64, i64),
) -> Result<Option<Claim>, Stop> {
    done("L-14", "claim a run", ledger.claim(key, at(due), "node", at(now), at(until)).await)
}

/// Claims a run, which must be granted.
async fn granted(
    ledger: &dyn Ledger,
    key: &ScheduleKey,
    due: i64,
    times: (i64, i64),
) -> Result<Claim, Stop> {
    let claim = claim(ledger, key, due, times).await?;
    same("L-14", "claim a due run", &claim.is_some(), &true)?;
    Ok(claim.unwrap_or_else(|| Claim::new(key.clone(), at(due), 0)))
}

async fn claimable(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let schedule = put(ledger, 10).await?;
    let refused = |what, claim: Option<Claim>| same("L-14", what, &claim, &None);
    refused(
        "claim a run that is not the next one",
        claim(ledger, &schedule.key, 11, (99, 100)).await?,
    )?;
    refused("claim a run that is not due yet", claim(ledger, &schedule.key, 10, (9, 100)).await?)?;
    refused(
        "claim a run without a schedule",
        claim(ledger, &key("", "b")?.into(), 10, (10, 100)).await?,
    )?;
    let wide = ScheduleKey::kind_wide("", "account")?;
    refused(
        "claim a run of a kind without a schedule",
        claim(ledger, &wide, 10, (10, 100)).await?,
    )?;
    done("L-11", "put a schedule", ledger.put_schedule(&schedule.clone().enabled(false)).await)?;
    refused(
        "claim a run of a disabled schedule",
        claim(ledger, &schedule.key, 10, (10, 100)).await?,
    )?;
    done("L-11", "put a schedule", ledger.put_schedule(&schedule).await)?;
    let claim_of = granted(ledger, &schedule.key, 10, (10, 20)).await?;
    same(
        "L-14",
        "the key and the due time of a claim",
        &(&claim_of.key, claim_of.due),
        &(&schedule.key, at(10)),
    )?;
    refused(
        "claim a run that is already claimed",
        claim(ledger, &schedule.key, 10, (19, 30)).await?,
    )
}

async fn raced(nodes: Nodes) -> Result<(), Stop> {
    for round in 0..8 {
        let schedule = put(&**nodes.node(0)?, round).await?;
        let claims = nodes
            .at_once(16, |_, ledger: Arc<dyn Ledger>| {
                let key = schedule.key.clone();
                async move { claim(&*ledger, &key, round, (round, round + 9)).await }
            })
            .await?;
        let won: Vec<_> = claims.into_iter().flatten().collect();
        same("L-14", "count the nodes that claimed the run", &won.len(), &1)?;
        for claim in &won {
            done("L-16", "complete a run", nodes.node(1)?.complete(claim, None).await)?;
        }
    }
    Ok(())
}

async fn lapsed(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let schedule = put(ledger, 10).await?;
    let dead = granted(ledger, &schedule.key, 10, (10, 20)).await?;
    // The lease can be renewed as long as no other node has claimed the run.
    let renewed = done("L-16", "renew a lease", ledger.renew(&dead, at(25)).await)?;
    same("L-16", "renew a lease", &renewed, &true)?;
    let early = claim(&**nodes.node(1)?, &schedule.key, 10, (24, 40)).await?;
    same("L-14", "claim a run before its renewed lease ends", &early, &None)?;
    let next = granted(&**nodes.node(1)?, &schedule.key, 10, (25, 40)).await?;
    same("L-15", "the next claim has a higher token", &(next.token > dead.token), &true)?;
    let late = done(
        "L-16",
        "complete a run with a lost lease",
        ledger.complete(&dead, Some(at(70))).await,
    )?;
    same("L-16", "complete a run with a lost lease", &late, &false)?;
    let found = done("L-11", "read a schedule", ledger.schedule(&schedule.key).await)?;
    let lease = Lease::new("node", at(40), next.token);
    let state = found.map(|schedule| (schedule.next_run, schedule.lease));
    same(
        "L-16",
        "the schedule after a call with a lost lease",
        &state,
        &Some((Some(at(10)), Some(lease))),
    )
}

async fn tokens(nodes: Nodes) -> Result<(), Stop> {
    let mut last = None;
    for round in 0..6 {
        let ledger = &**nodes.node(usize::try_from(round).unwrap_or(0))?;
        let schedule = put(ledger, round).await?;
        let claim = granted(ledger, &schedule.key, round, (round, 50)).await?;
        let rises = last.is_none_or(|last| claim.token > last);
        same("L-15", "each token is higher than the last", &rises, &true)?;
        last = Some(claim.token);
        if round % 2 == 0 {
            done("L-16", "complete a run", ledger.complete(&claim, None).await)?;
        } else {
            done("L-11", "remove a schedule", ledger.remove_schedule(&schedule.key).await)?;
        }
    }
    Ok(())
}

/// Tries every operation of a lease with a claim that has lost its lease.
async fn powerless(nodes: &Nodes, lost: &Claim, why: &str) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    let before = done("L-11", "read a schedule", ledger.schedule(&lost.key).await)?;
    let answers = [
        done("L-16", why, ledger.renew(lost, Timestamp::MAX).await)?,
        done("L-16", why, ledger.release(lost).await)?,
        done("L-16", why, ledger.complete(lost, Some(at(1_000))).await)?,
    ];
    same("L-16", why, &answers, &[false; 3])?;
    let after = done("L-11", "read a schedule", ledger.schedule(&lost.key).await)?;
    same("L-16", why, &after, &before)
}

async fn lost(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(1)?;
    let schedule = put(ledger, 10).await?;
    let first = granted(ledger, &schedule.key, 10, (10, 20)).await?;
    let second = granted(ledger, &schedule.key, 10, (20, 30)).await?;
    powerless(&nodes, &first, "use a lease after another claim").await?;
    done("L-16", "release a lease", ledger.release(&second).await)?;
    powerless(&nodes, &second, "use a lease after a release").await?;
    let third = granted(ledger, &schedule.key, 10, (20, 30)).await?;
    done("L-16", "complete a run", ledger.complete(&third, Some(at(60))).await)?;
    powerless(&nodes, &third, "use a lease after its run was completed").await?;
    let fourth = granted(ledger, &schedule.key, 60, (60, 70)).await?;
    done("L-11", "remove a schedule", ledger.remove_schedule(&schedule.key).await)?;
    powerless(&nodes, &fourth, "use a lease after its schedule was removed").await?;
    put(ledger, 60).await?;
    powerless(&nodes, &fourth, "use a lease after its schedule was stored again").await
}

async fn completed(nodes: Nodes) -> Result<(), Stop> {
    let ledger = &**nodes.node(0)?;
    let schedule = put(ledger, 10).await?;
    let state = async || {
        let found = done("L-11", "read a schedule", ledger.schedule(&schedule.key).await)?;
        Ok::<_, Stop>(found.map(|found| (found.next_run, found.lease)))
    };
    let released = granted(ledger, &schedule.key, 10, (10, 20)).await?;
    let answer = done("L-16", "release a lease", nodes.node(1)?.release(&released).await)?;
    same("L-16", "release a lease", &answer, &true)?;
    same("L-16", "the schedule after a release", &state().await?, &Some((Some(at(10)), None)))?;
    let run = granted(ledger, &schedule.key, 10, (11, 20)).await?;
    let answer = done("L-16", "complete a run", nodes.node(1)?.complete(&run, Some(at(70))).await)?;
    same("L-16", "complete a run", &answer, &true)?;
    same(
        "L-17",
        "the schedule after a completed run",
        &state().await?,
        &Some((Some(at(70)), None)),
    )?;
    let last = granted(ledger, &schedule.key, 70, (70, 80)).await?;
    // The schedule is changed during the run.
    let changed = schedule.clone().next_run(Some(at(500)));
    done("L-10", "put a schedule", ledger.put_schedule(&changed).await)?;
    done("L-16", "complete a run", ledger.complete(&last, Some(at(130))).await)?;
    same(
        "L-17",
        "the schedule after a change during a run",
        &state().await?,
        &Some((Some(at(500)), None)),
    )?;
    let never = granted(ledger, &schedule.key, 500, (500, 510)).await?;
    done("L-16", "complete a run", ledger.complete(&never, None).await)?;
    same("L-17", "the schedule after its last run", &state().await?, &Some((None, None)))
}

async fn refusals(nodes: Nodes) -> Result<(), Stop> {
    let ledger = nodes.node(0)?;
    let schedule = put(&**ledger, 10).await?;
    let long = "x".repeat(Lease::MAX_HOLDER_BYTES + 1);
    for (holder, until) in [("", 20), (&*long, 20), ("node", 10), ("node", 9)] {
        let claim = ledger.claim(&schedule.key, at(10), holder, at(10), at(until)).await;
        refused("claim", claim)?;
    }
    let found = done("L-11", "read a schedule", ledger.schedule(&schedule.key).await)?;
    same("L-03", "the schedule after a refused claim", &found, &Some(schedule.clone()))?;
    let longest = "x".repeat(Lease::MAX_HOLDER_BYTES);
    let claim = ledger.claim(&schedule.key, at(10), &longest, at(10), Timestamp::MAX).await;
    same(
        "L-14",
        "claim a run with a holder name of the maximum length",
        &done("L-14", "claim a run", claim)?.is_some(),
        &true,
    )
}
