//! The fault suite of the ledger. The promise: whatever call the power fails at, whatever of the
//! unsynced bytes and names survives, and whichever call fails, a ledger opens again and holds
//! all that was acknowledged, in its order, and of what was not, a first part in whole entries.
//!
//! `SNAPFOLD_FAULT_SEEDS=n` tries so many workloads instead of the few of an ordinary run.

mod run;
mod workload;

use std::io::ErrorKind as Io;
use std::path::Path;
use std::sync::Arc;

use super::super::disk::Disk;
use super::super::disk::sim::{Call, SimDisk, Survival, random};
use super::core::Core;
use super::entry;
use super::handle::FileLedger;
use super::log::put_frame;
use super::maps::Change;
use super::names;
use super::open::open;
use crate::error::{ErrorKind, Retry};
use crate::ledger::{
    AuditEntry, AuditLog, AuditRequest, DailyStatistics, Day, Schedule, ScheduleStore,
    StatisticsStore,
};
use run::{Run, check_recovery, content, opened};
use workload::{Step, at, key, workload};

fn seeds(default: u64) -> u64 {
    let seeds = std::env::var("SNAPFOLD_FAULT_SEEDS").ok();
    seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(default)
}

#[test]
fn no_crash_at_any_call_loses_what_was_acknowledged_or_shows_half_of_what_was_not() {
    let (mut points, mut schedules, mut rewritten) = (0, 0, 0);
    for seed in 1..=seeds(12) {
        let steps = workload(seed);
        let disk = SimDisk::new(seed);
        drop(Run::of(&disk, seed, &steps));
        // Creating and closing replace the manifest.
        let closed = steps.iter().filter(|step| matches!(step, Step::Reopen)).count() as u64;
        rewritten += disk.count(Call::Rename) - 2 - closed;
        for crash_at in 1..=disk.calls() {
            let disk = SimDisk::new(seed);
            disk.crash_at(crash_at);
            let run = Run::of(&disk, seed, &steps);
            points += 1;
            let mut dice = seed << 32 | crash_at;
            for survival in [
                Survival::Nothing,
                Survival::Everything,
                Survival::Prefix(random(&mut dice) % 6),
                Survival::Random(random(&mut dice)),
                Survival::Random(random(&mut dice)),
            ] {
                let what = || format!("seed {seed}, crash at call {crash_at}, {survival:?}");
                check_recovery(&run, &disk.after_crash(survival), seed, &what);
                schedules += 1;
            }
            // The power fails again while the ledger recovers.
            let again = disk.after_crash(Survival::Random(random(&mut dice)));
            again.crash_at(1 + random(&mut dice) % 4);
            drop(opened(&again, seed));
            let again = again.after_crash(Survival::Random(random(&mut dice)));
            let what = || format!("seed {seed}, crash at call {crash_at}, then in recovery");
            check_recovery(&run, &again, seed, &what);
        }
    }
    assert!(rewritten >= 8, "the log was rewritten {rewritten} times");
    println!(
        "{points} crash points, {schedules} crash points x schedules, {rewritten} logs rewritten: \
         no entry lost or torn"
    );
}

#[test]
fn no_failing_call_loses_what_was_acknowledged_or_brings_back_what_was_reported_as_failed() {
    let mut tried = 0;
    for seed in 1..=seeds(12).div_ceil(3) {
        let steps = workload(seed);
        let disk = SimDisk::new(seed);
        drop(Run::of(&disk, seed, &steps));
        for call in Call::ALL {
            for nth in 1..=disk.count(call) {
                for kind in [Io::StorageFull, Io::Other] {
                    let disk = SimDisk::new(seed);
                    disk.limit_writes(200);
                    disk.fail(call, nth, kind);
                    let run = Run::of(&disk, seed, &steps);
                    if let Some(core) = &run.core {
                        // What was durable can still be read, whatever failed.
                        assert!(content(core) == run.model, "seed {seed}, {call:?} {nth} {kind:?}");
                    }
                    for survival in [Survival::Nothing, Survival::Everything, Survival::Random(nth)]
                    {
                        let what =
                            || format!("seed {seed}, {call:?} {nth} fails, {kind:?}, {survival:?}");
                        check_recovery(&run, &disk.after_crash(survival), seed, &what);
                        tried += 1;
                    }
                }
            }
        }
    }
    println!("{tried} failing calls x schedules: no entry lost or torn");
}

fn simulated() -> (SimDisk, Core) {
    let disk = SimDisk::new(7);
    let core = open(Arc::new(disk.clone()), "/ledger".as_ref(), 1 << 20).unwrap();
    (disk, core)
}

fn an_entry() -> AuditEntry {
    AuditEntry::new(at(&mut 1), "ops", "delete", key(&mut 1))
}

#[test]
fn a_failed_sync_stops_writing_with_an_unknown_outcome_and_reads_go_on() {
    let (disk, core) = simulated();
    core.append(entry::audit(&an_entry())).unwrap();
    let add = || Change::Add(key(&mut 1), Day::new(1), DailyStatistics::deleted(1));
    assert!(core.change(add()).unwrap());
    let before = content(&core);
    disk.fail(Call::Sync, disk.count(Call::Sync) + 1, Io::Other);
    assert_eq!(core.append(entry::audit(&an_entry())).unwrap_err().retry(), Retry::Unknown);
    for error in [core.append(entry::audit(&an_entry())).err(), core.change(add()).err()] {
        let error = error.unwrap();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Poisoned, Retry::Never));
    }
    assert!(content(&core) == before);
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let (disk, core) = simulated();
    disk.limit_space(Some(2000));
    let mut appended = 0;
    let error = loop {
        match core.append(entry::audit(&an_entry())) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::OutOfSpace, Retry::Later));
    assert_eq!(content(&core).audit.len(), appended);
    disk.limit_space(None);
    assert_eq!(core.append(entry::audit(&an_entry())).unwrap(), appended as u64 + 1);
}

#[test]
fn callers_that_wait_at_the_same_time_share_one_sync() {
    let (disk, core) = simulated();
    let syncs = disk.count(Call::Sync);
    let mut sequences = std::thread::scope(|scope| {
        let held = core.audit();
        let calls: Vec<_> =
            (0..8).map(|_| scope.spawn(|| core.append(entry::audit(&an_entry())))).collect();
        while core.appends.len() < 8 {
            std::thread::yield_now();
        }
        drop(held);
        calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(disk.count(Call::Sync), syncs + 1);
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn no_call_touches_the_disk_on_the_thread_of_the_runtime() {
    let (disk, core) = simulated();
    let ledger = FileLedger::over(core);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    disk.callers();
    runtime.block_on(async {
        let key = key(&mut 1);
        let due = Some(at(&mut 1));
        let schedule = Schedule::new(key.clone(), "*").unwrap().next_run(due);
        ledger.put_schedule(&schedule).await.unwrap();
        assert!(ledger.claim(&key, at(&mut 1), None).await.unwrap());
        assert!(ledger.schedule(&key).await.unwrap().is_some());
        assert!(ledger.remove_schedule(&key).await.unwrap());
        ledger.add(&key, Day::new(0), DailyStatistics::deleted(1)).await.unwrap();
        ledger.append(&an_entry()).await.unwrap();
        assert_eq!(ledger.entries(AuditRequest::new()).await.unwrap().items.len(), 1);
    });
    let callers = disk.callers();
    assert!(!callers.is_empty() && !callers.contains(&std::thread::current().id()));
}

/// The defect: the change of a caller that gave up could be written behind one that was called later,
/// as each was queued by a thread of the runtime's pool.
#[test]
fn what_is_called_first_is_written_first_also_if_its_caller_gives_up() {
    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(future.poll(&mut context).is_pending());
    }
    let (_, core) = simulated();
    let ledger = FileLedger::over(core);
    let core = Arc::clone(&ledger.0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = key(&mut 1);
    let schedule = Schedule::new(key.clone(), "*").unwrap();
    runtime.block_on(async {
        // Nobody can write meanwhile, and so take anything off the queue.
        let held = core.state();
        poll_once(std::pin::pin!(ledger.put_schedule(&schedule)));
        assert_eq!(core.changes.len(), 1);
        let mut remove = std::pin::pin!(ledger.remove_schedule(&key));
        poll_once(remove.as_mut());
        assert_eq!(core.changes.len(), 2);
        drop(held);
        assert!(remove.await.unwrap());
        assert_eq!(ledger.schedule(&key).await.unwrap(), None);
    });
}

#[test]
fn a_frame_that_claims_more_than_any_entry_has_is_not_read() {
    let (disk, core) = simulated();
    core.append(entry::audit(&an_entry())).unwrap();
    let (salt, end) = (core.audit_salt, core.audit().end);
    let mut huge = Vec::new();
    let body = vec![1; usize::try_from(entry::MAX_BODY_BYTES).unwrap() + 1];
    put_frame(&mut huge, salt, end, 2, 48, &body);
    core.audit_file.write(end, &[std::io::IoSlice::new(&huge)]).unwrap();
    core.audit_file.sync().unwrap();
    drop(core);
    let core = open(Arc::new(disk), "/ledger".as_ref(), 0).unwrap();
    assert_eq!(core.append(entry::audit(&an_entry())).unwrap(), 2);
}

#[test]
fn what_is_whole_and_does_not_belong_is_refused() {
    for (seq, body) in [
        (1, entry::audit(&an_entry())),
        (3, entry::audit(&an_entry())),
        (2, entry::mark()),
        (2, vec![77]),
    ] {
        let (disk, core) = simulated();
        core.append(entry::audit(&an_entry())).unwrap();
        let (salt, end) = (core.audit_salt, core.audit().end);
        let mut frame = Vec::new();
        put_frame(&mut frame, salt, end, seq, end, &body);
        core.audit_file.write(end, &[std::io::IoSlice::new(&frame)]).unwrap();
        drop(core);
        let error = open(Arc::new(disk), "/ledger".as_ref(), 0).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::CorruptStore);
        let text = error.to_string();
        assert!(text.contains(names::AUDIT) && text.contains(&format!("offset {end}")), "{text}");
    }
}

#[test]
fn damage_to_a_log_that_was_written_anew_is_not_taken_for_a_torn_write() {
    let disk = SimDisk::new(7);
    let core = open(Arc::new(disk.clone()), "/ledger".as_ref(), 0).unwrap();
    let first = core.state().log.salt;
    let mut dice = 1;
    while core.state().log.salt == first {
        core.change(Change::Put(Schedule::new(key(&mut dice), "x".repeat(100)).unwrap())).unwrap();
    }
    let left = disk.after_crash(Survival::Nothing);
    let file = left.open(Path::new("/ledger/ledger.state"), true).unwrap();
    let mut byte = file.read(90, 1).unwrap();
    byte[0] ^= 1;
    file.write(90, &[std::io::IoSlice::new(&byte)]).unwrap();
    let error = open(Arc::new(left), "/ledger".as_ref(), 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
    assert!(error.to_string().contains("ledger.state: damaged at offset 48"), "{error}");
}
