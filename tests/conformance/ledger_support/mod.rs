//! Random calls on a ledger, each answered as a model of a few maps answers it.

mod model;

use std::time::Duration;

use model::Model;
use snapfold::ledger::{
    AuditEntry, AuditOutcome, AuditRecord, AuditRequest, Cadence, Claim, DailyStatistics, Day,
    Ledger, Schedule, ScheduleKey, Task,
};
use snapfold::{AggregateKey, Timestamp};

pub fn key(tenant: &str, id: &str) -> AggregateKey {
    AggregateKey::from_parts(tenant, "account", id).unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A schedule that is due at `next`.
pub fn schedule(key: impl Into<ScheduleKey>, next: i64) -> Schedule {
    let cadence = Cadence::every(Duration::from_secs(60)).unwrap();
    Schedule::new(key, cadence, at(0)).unwrap().next_run(Some(at(next)))
}

/// All entries of a tenant, in pages of `limit`.
pub async fn all_entries(ledger: &dyn Ledger, tenant: &str, limit: usize) -> Vec<AuditRecord> {
    let mut request = AuditRequest::new().tenant(tenant).limit(limit);
    let mut all = Vec::new();
    loop {
        let page = ledger.entries(request).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => request = request.after(next),
            None => return all,
        }
    }
}

const TENANTS: [&str; 2] = ["", "t"];
const IDS: [&str; 4] = ["", "a", "b'", "c\0"];

/// Random calls, each answered like the model answers it. Gives the model, for what is to be
/// compared later.
pub async fn any_calls_are_answered_as_by_the_model(ledger: &dyn Ledger) -> Model {
    let mut model = Model::default();
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let mut claims: Vec<Claim> = Vec::new();
    for step in 0..600 {
        let account = key(TENANTS[random.usize(..2)], IDS[random.usize(..4)]);
        let target = match random.u8(..4) {
            0 => ScheduleKey::kind_wide(account.tenant(), "account").unwrap(),
            _ => account.clone().into(),
        };
        let target = target.named(["", "b"][random.usize(..2)]).unwrap();
        let (now, until) = (at(random.i64(-3..3)), at(random.i64(3..6)));
        let next = random.bool().then(|| at(random.i64(-3..3)));
        let claim = claims.get(random.usize(..=claims.len())).cloned();
        match (random.u8(..9), claim) {
            (0, _) => {
                let cadence = Cadence::from_stored(&"*".repeat(random.usize(..40))).unwrap();
                let schedule = Schedule::from_stored(target, cadence, at(step))
                    .task(
                        Task::from_stored(["snapshot", "verify", "x\0"][random.usize(..3)])
                            .unwrap(),
                    )
                    .enabled(random.u8(..4) > 0)
                    .next_run(next);
                ledger.put_schedule(&schedule).await.unwrap();
                model.put(schedule);
            }
            (1, _) => assert_eq!(
                ledger.remove_schedule(&target).await.unwrap(),
                model.schedules.remove(&target).is_some()
            ),
            (2 | 3, _) => {
                let due = at(random.i64(-3..3));
                let claim = ledger.claim(&target, due, "node", now, until).await.unwrap();
                let expected = model.claim(&target, due, now, until, claim.as_ref());
                assert_eq!(claim.is_some(), expected, "{target} at {now}");
                claims.extend(claim);
            }
            (4, Some(claim)) => assert_eq!(
                ledger.renew(&claim, until).await.unwrap(),
                model.leased(&claim, |schedule| schedule.lease.as_mut().unwrap().until = until)
            ),
            (5, Some(claim)) => assert_eq!(
                ledger.release(&claim).await.unwrap(),
                model.leased(&claim, |schedule| schedule.lease = None)
            ),
            (6, Some(claim)) => assert_eq!(
                ledger.complete(&claim, next).await.unwrap(),
                model.leased(&claim, |schedule| {
                    schedule.lease = None;
                    if schedule.next_run == Some(claim.due) {
                        schedule.next_run = next;
                    }
                })
            ),
            (7, _) => {
                let batch: Vec<_> = (0..random.usize(1..4))
                    .map(|_| {
                        let mut more = DailyStatistics::deleted(random.u64(..9));
                        more.created = random.u64(..9);
                        more.bytes = random.u64(..1 << 40);
                        more.creation_micros = random.u64(..1 << 40);
                        (account.clone(), Day::new(random.i32(-2..2)), more)
                    })
                    .collect();
                ledger.add_statistics(&batch).await.unwrap();
                model.add(&batch);
            }
            _ => {
                let reason = "r".repeat(random.usize(..300));
                let mut entry = AuditEntry::new(now, "someone", "").reason(reason);
                entry.version = random.bool().then(|| random.u64(..1 << 62));
                entry = match random.u8(..3) {
                    0 => entry.in_tenant(account.tenant()),
                    1 => entry.about(account),
                    _ => entry.about(account).outcome(AuditOutcome::failed("Store", "gone")),
                };
                let sequence = ledger.append(&entry).await.unwrap();
                assert_eq!(sequence, model.append(entry));
            }
        }
        let (now, limit) = (at(random.i64(-3..6)), random.usize(..4));
        assert_eq!(ledger.due(now, limit).await.unwrap(), model.due(now, limit));
    }
    holds_what_the_model_holds(ledger, &model).await;
    model
}

/// Everything that can be asked for is the same.
pub async fn holds_what_the_model_holds(ledger: &dyn Ledger, model: &Model) {
    let schedules: Vec<_> = model.schedules.values().cloned().collect();
    assert_eq!(ledger.schedules(None, 100).await.unwrap().items, schedules);
    let all_days = Day::new(i32::MIN)..=Day::new(i32::MAX);
    for (tenant, id) in TENANTS.iter().flat_map(|t| IDS.iter().map(move |i| (t, i))) {
        let key = key(tenant, id);
        for days in [all_days.clone(), Day::new(-1)..=Day::new(0)] {
            let found = ledger.daily(&key, days.clone()).await.unwrap();
            assert_eq!(found, model.days(&key, days));
        }
    }
    for tenant in TENANTS {
        let found = all_entries(ledger, tenant, 7).await;
        let entries: Vec<_> = found.into_iter().map(|record| record.entry).collect();
        assert_eq!(entries, model.trails.get(tenant).cloned().unwrap_or_default());
    }
}
