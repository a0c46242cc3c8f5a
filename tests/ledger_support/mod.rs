//! What every ledger must do, as assertions that run on any of them: the one in memory, the one
//! in files, the one in PostgreSQL. Each function wants a ledger with nothing in it.

use std::time::Duration;

use snapfold::{
    AggregateKey, AuditEntry, AuditLog, AuditRecord, AuditRequest, DailyStatistics, Day, ErrorKind,
    MemoryLedger, Schedule, ScheduleStore, StatisticsStore, Timestamp,
};

/// Everything that a ledger is.
pub trait Ledger: ScheduleStore + StatisticsStore + AuditLog + Clone + 'static {}

impl<L: ScheduleStore + StatisticsStore + AuditLog + Clone + 'static> Ledger for L {}

pub fn key(tenant: &str, id: &str) -> AggregateKey {
    AggregateKey::from_parts(tenant, "account", id).unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn ids(found: Vec<Schedule>) -> Vec<String> {
    found.into_iter().map(|schedule| schedule.key.id().to_owned()).collect()
}

/// All schedules, in pages of `limit`.
async fn all_schedules(ledger: &impl Ledger, limit: usize) -> Vec<Schedule> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.schedules(after.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit.max(1));
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// All entries after a sequence, in pages of `limit`.
async fn all_entries(
    ledger: &impl Ledger,
    key: Option<&AggregateKey>,
    after: u64,
    limit: usize,
) -> Vec<AuditRecord> {
    let mut request = AuditRequest::new().after(after).limit(limit);
    request.key = key;
    let mut all = Vec::new();
    loop {
        let page = ledger.entries(request).await.unwrap();
        assert!(page.items.len() <= limit.max(1));
        all.extend(page.items);
        match page.next {
            Some(next) => {
                assert!(next > request.after, "it does not advance");
                request = request.after(next);
            }
            None => return all,
        }
    }
}

pub async fn schedules_are_kept_due_and_claimed(ledger: &impl Ledger) {
    let names = ["a", "b", "b\0", "c"];
    for (n, id) in (0..).zip(names) {
        let schedule = Schedule::new(key("", id), "0 3 * * *\0").unwrap();
        ledger.put_schedule(&schedule.next_run(Some(at(40 - 10 * n)))).await.unwrap();
    }
    let paused = Schedule::new(key("t", "a"), "").unwrap().next_run(Some(at(0)));
    ledger.put_schedule(&paused.clone().enabled(false)).await.unwrap();
    assert_eq!(ids(ledger.due(at(30), 10).await.unwrap()), ["c", "b\0", "b"]);
    assert_eq!(ids(ledger.due(at(30), 0).await.unwrap()), ["c"]);
    assert!(ledger.due(at(9), 10).await.unwrap().is_empty());
    assert!(!ledger.claim(&key("", "c"), at(11), None).await.unwrap(), "another run");
    assert!(!ledger.claim(&key("", "z"), at(11), None).await.unwrap(), "no schedule");
    assert!(!ledger.claim(&key("t", "a"), at(0), None).await.unwrap(), "not in force");
    assert!(ledger.claim(&key("", "c"), at(10), Some(at(99))).await.unwrap());
    assert!(!ledger.claim(&key("", "c"), at(10), Some(at(99))).await.unwrap(), "claimed");
    let kept = ledger.schedule(&key("", "c")).await.unwrap().unwrap();
    assert_eq!((kept.cron.as_str(), kept.next_run), ("0 3 * * *\0", Some(at(99))));
    for limit in [0, 1, 2, 5, 100] {
        assert_eq!(ids(all_schedules(ledger, limit).await), ["a", "b", "b\0", "c", "a"]);
    }
    assert!(ledger.remove_schedule(&key("", "b")).await.unwrap());
    assert!(!ledger.remove_schedule(&key("", "b")).await.unwrap());
    assert_eq!(ledger.schedule(&key("", "b")).await.unwrap(), None);
    let mut long = paused;
    long.cron = "x".repeat(Schedule::MAX_CRON_BYTES + 1);
    assert_eq!(ledger.put_schedule(&long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

pub async fn a_due_run_is_claimed_by_exactly_one_node(ledger: &impl Ledger) {
    let due = Schedule::new(key("", "a"), "* * * * *").unwrap().next_run(Some(at(1)));
    ledger.put_schedule(&due).await.unwrap();
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.claim(&key("", "a"), at(1), Some(at(61))).await })
        })
        .collect();
    let mut won = 0;
    for claim in claims {
        won += u32::from(claim.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
}

pub async fn statistics_add_up(ledger: &impl Ledger) {
    let account = key("t", "a");
    let (day, before) = (Day::of(at(86_400)), Day::of(at(-1)));
    assert_eq!((day.number(), before.number()), (1, -1));
    for n in 1..=4 {
        let created = DailyStatistics::created(100, Duration::from_micros(10 * n));
        ledger.add(&account, day, created).await.unwrap();
    }
    ledger.add(&account, day, DailyStatistics::deleted(3)).await.unwrap();
    ledger.add(&account, before, DailyStatistics::deleted(1)).await.unwrap();
    ledger.add(&key("", "a"), day, DailyStatistics::deleted(9)).await.unwrap();
    let all = ledger.daily(&account, Day::new(i32::MIN)..=Day::new(i32::MAX)).await.unwrap();
    assert_eq!(all.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [before, day]);
    let (_, on_day) = all[1];
    assert_eq!((on_day.created, on_day.deleted, on_day.bytes), (4, 3, 400));
    assert_eq!(on_day.creation_micros, 100);
    assert_eq!(on_day.average_creation(), Some(Duration::from_micros(25)));
    assert_eq!(all[0].1.average_creation(), None);
    assert_eq!(ledger.daily(&account, day..=day).await.unwrap().len(), 1);
    let nothing = ledger.daily(&account, Day::new(9)..=Day::new(-9)).await.unwrap();
    assert!(nothing.is_empty());
    assert!(ledger.daily(&key("", "z"), day..=day).await.unwrap().is_empty());
    let mut most = DailyStatistics::deleted(u64::MAX);
    most.bytes = u64::MAX;
    ledger.add(&account, Day::new(7), most).await.unwrap();
    ledger.add(&account, Day::new(7), most).await.unwrap();
    let (_, most) = ledger.daily(&account, Day::new(7)..=Day::new(7)).await.unwrap()[0];
    assert!(most.deleted >= i64::MAX.cast_unsigned());
}

pub async fn the_audit_trail_is_kept_in_order(ledger: &impl Ledger) {
    let mut sequences = Vec::new();
    for n in 0..150_u64 {
        let about = key("", if n % 2 == 0 { "a" } else { "b" });
        let mut entry = AuditEntry::new(at(-5), "ops\0'", "delete", about);
        entry.version = (n > 0).then_some(n);
        let sequence = ledger.append(&entry.reason("cleaned \u{1} up")).await.unwrap();
        assert!(sequences.last().is_none_or(|last| sequence > *last) && sequence > 0);
        sequences.push(sequence);
    }
    let account = key("", "a");
    for limit in [1, 7, 64, 75, 256] {
        let found = all_entries(ledger, Some(&account), 0, limit).await;
        let expected = sequences.iter().step_by(2);
        assert!(found.iter().map(|record| &record.sequence).eq(expected));
        for (n, record) in (0..).step_by(2).zip(&found) {
            let entry = &record.entry;
            assert_eq!((&*entry.actor, &*entry.action, entry.at), ("ops\0'", "delete", at(-5)));
            assert_eq!(entry.reason, "cleaned \u{1} up");
            assert_eq!(entry.version, (n > 0).then_some(n));
            assert_eq!(entry.key, account);
        }
        assert_eq!(all_entries(ledger, None, 0, limit).await.len(), 150);
    }
    for (n, sequence) in sequences.iter().enumerate() {
        let page = ledger.entries(AuditRequest::new().after(*sequence).limit(0)).await.unwrap();
        let first = page.items.first().map(|record| record.sequence);
        assert_eq!(first.as_ref(), sequences.get(n + 1));
    }
    assert!(all_entries(ledger, None, u64::MAX, 9).await.is_empty());
    assert!(all_entries(ledger, Some(&key("", "z")), 0, 9).await.is_empty());
    for long in [
        AuditEntry::new(at(0), "x".repeat(1_001), "", key("", "a")),
        AuditEntry::new(at(0), "", "x".repeat(1_001), key("", "a")),
        AuditEntry::new(at(0), "", "", key("", "a")).reason("x".repeat(16_001)),
    ] {
        assert_eq!(ledger.append(&long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let longest = AuditEntry::new(at(0), "x".repeat(1_000), "y".repeat(1_000), key("", "a"))
        .reason("z".repeat(16_000));
    let sequence = ledger.append(&longest).await.unwrap();
    let found = all_entries(ledger, None, sequence - 1, 9).await;
    assert_eq!(found.into_iter().map(|record| record.entry).collect::<Vec<_>>(), [longest]);
}

/// Random calls, each answered like the ledger in memory answers it. Gives that one, for what is
/// to be compared later.
pub async fn any_calls_are_answered_as_in_memory(ledger: &impl Ledger) -> MemoryLedger {
    let memory = MemoryLedger::new();
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for _ in 0..600 {
        let key = key(["", "t"][random.usize(..2)], ["", "a", "b'", "c\0"][random.usize(..4)]);
        let time = at(random.i64(-3..3));
        let next = random.bool().then(|| at(random.i64(-3..3)));
        match random.u8(..6) {
            0 => {
                let cron = "*".repeat(random.usize(..40));
                let schedule = Schedule::new(key, cron).unwrap().next_run(next);
                let schedule = schedule.enabled(random.u8(..4) > 0);
                ledger.put_schedule(&schedule).await.unwrap();
                memory.put_schedule(&schedule).await.unwrap();
            }
            1 => assert_eq!(
                ledger.remove_schedule(&key).await.unwrap(),
                memory.remove_schedule(&key).await.unwrap()
            ),
            2 | 3 => assert_eq!(
                ledger.claim(&key, time, next).await.unwrap(),
                memory.claim(&key, time, next).await.unwrap()
            ),
            4 => {
                let day = Day::new(random.i32(-2..2));
                let mut more = DailyStatistics::deleted(random.u64(..9));
                more.created = random.u64(..9);
                more.bytes = random.u64(..1 << 40);
                more.creation_micros = random.u64(..1 << 40);
                ledger.add(&key, day, more).await.unwrap();
                memory.add(&key, day, more).await.unwrap();
            }
            _ => {
                let reason = "r".repeat(random.usize(..300));
                let mut entry = AuditEntry::new(time, "someone", "", key).reason(reason);
                entry.version = random.bool().then(|| random.u64(..1 << 62));
                ledger.append(&entry).await.unwrap();
                memory.append(&entry).await.unwrap();
            }
        }
        let (now, limit) = (at(random.i64(-3..3)), random.usize(..4));
        assert_eq!(ledger.due(now, limit).await.unwrap(), memory.due(now, limit).await.unwrap());
    }
    holds_what_memory_holds(ledger, &memory).await;
    memory
}

/// Everything that can be asked for is the same; only sequences may have gaps of their own.
pub async fn holds_what_memory_holds(ledger: &impl Ledger, memory: &MemoryLedger) {
    for limit in [1, 3, 100] {
        let schedules = all_schedules(memory, limit).await;
        assert_eq!(all_schedules(ledger, limit).await, schedules);
    }
    let all_days = Day::new(i32::MIN)..=Day::new(i32::MAX);
    let mut about = vec![None];
    for tenant in ["", "t"] {
        for id in ["", "a", "b'", "c\0"] {
            let key = key(tenant, id);
            for days in [all_days.clone(), Day::new(-1)..=Day::new(0)] {
                assert_eq!(
                    ledger.daily(&key, days.clone()).await.unwrap(),
                    memory.daily(&key, days).await.unwrap()
                );
            }
            assert_eq!(ledger.schedule(&key).await.unwrap(), memory.schedule(&key).await.unwrap());
            about.push(Some(key));
        }
    }
    for key in &about {
        let entries = |records: Vec<AuditRecord>| -> Vec<AuditEntry> {
            records.into_iter().map(|record| record.entry).collect()
        };
        let found = entries(all_entries(ledger, key.as_ref(), 0, 7).await);
        assert_eq!(found, entries(all_entries(memory, key.as_ref(), 0, 100).await));
    }
}
