//! The fault suite. It checks that a store opens again after any power failure or failed call,
//! whichever unsynced bytes and names survive. The store then holds every acknowledged snapshot,
//! all or nothing of each unacknowledged batch, and no deleted snapshot. The same applies to marks.
//! The oracle is an ordered map.
//!
//! `SNAPFOLD_FAULT_SEEDS=n` runs `n` workloads instead of the few of an ordinary run.
//! `SNAPFOLD_FAULT_FIRST` sets the first seed.

mod bases;
mod full_disk;
mod marks;
mod run;
mod workload;

use std::sync::Arc;

use super::config::{Durability, FileStoreConfig, ZeroAhead};
use super::disk::sim::{Call, SimDisk, Survival, random};
use super::recover::open;
use crate::error::{ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::record::RecordBuilder;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, PutOptions, Selection};
use crate::timestamp::Timestamp;
use run::{Run, check_recovery, config, content};
use workload::{generation, record, workload};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn configs(seed: u64) -> FileStoreConfig {
    match seed % 4 {
        1 => config().zero_ahead(ZeroAhead::WholeFiles),
        2 => config().segment_bytes(16 << 10).zero_ahead(ZeroAhead::Never),
        3 => config().compact_at(0.05),
        _ => config(),
    }
}

#[test]
fn no_crash_at_any_call_loses_what_was_acknowledged_or_shows_half_of_what_was_not() {
    let seeds = setting("SNAPFOLD_FAULT_SEEDS", 6);
    let first = setting("SNAPFOLD_FAULT_FIRST", 1);
    let (mut points, mut schedules, mut nested) = (0_u64, 0_u64, 0_u64);
    for seed in first..first + seeds {
        let (steps, config) = (workload(seed), configs(seed));
        let disk = SimDisk::new(seed);
        Run::of(&disk, &config, &steps);
        for crash_at in 1..=disk.calls() {
            let disk = SimDisk::new(seed);
            disk.crash_at(crash_at);
            let run = Run::of(&disk, &config, &steps);
            assert!(disk.has_crashed());
            points += 1;
            let mut dice = seed << 32 | crash_at;
            let survivals = [
                Survival::Nothing,
                Survival::Everything,
                Survival::Prefix(random(&mut dice) % 6),
                Survival::Random(random(&mut dice)),
                Survival::Random(random(&mut dice)),
                Survival::Random(random(&mut dice)),
            ];
            for survival in survivals {
                let what = || format!("seed {seed}, crash at call {crash_at}, {survival:?}");
                let after = disk.after_crash(survival);
                check_recovery(&run, &after, &config, &what);
                schedules += 1;
            }
            // The power fails again during recovery.
            let again = disk.after_crash(Survival::Random(random(&mut dice)));
            again.crash_at(1 + random(&mut dice) % 4);
            let _ = open::open(Arc::new(again.clone()), config.clone());
            let again = again.after_crash(Survival::Random(random(&mut dice)));
            let what = || format!("seed {seed}, crash at call {crash_at}, then in recovery");
            check_recovery(&run, &again, &config, &what);
            nested += 1;
        }
    }
    println!(
        "{points} crash points of {seeds} workloads, {schedules} crash points x schedules, {nested} more with a second crash in recovery: no snapshot lost or half visible"
    );
}

#[test]
fn no_failing_call_loses_what_was_acknowledged_or_brings_back_what_was_reported_as_failed() {
    let seeds = setting("SNAPFOLD_FAULT_SEEDS", 6).div_ceil(3);
    let first = setting("SNAPFOLD_FAULT_FIRST", 1);
    let mut tried = 0_u64;
    for seed in first..first + seeds {
        let (steps, config) = (workload(seed), configs(seed));
        let disk = SimDisk::new(seed);
        Run::of(&disk, &config, &steps);
        for call in Call::ALL {
            for nth in 1..=disk.count(call) {
                for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
                    let disk = SimDisk::new(seed);
                    disk.fail(call, nth, kind);
                    let run = Run::of(&disk, &config, &steps);
                    if let Some(core) = &run.core {
                        // Durable snapshots can still be read, whichever call failed.
                        assert!(content(core) == run.model, "seed {seed}, {call:?} {nth} {kind:?}");
                    }
                    let dice = seed << 32 | nth;
                    for survival in
                        [Survival::Nothing, Survival::Everything, Survival::Random(dice)]
                    {
                        let what = || {
                            format!("seed {seed}, {call:?} {nth} fails with {kind:?}, {survival:?}")
                        };
                        check_recovery(&run, &disk.after_crash(survival), &config, &what);
                        tried += 1;
                    }
                }
            }
        }
    }
    println!(
        "{tried} failing calls x schedules of {seeds} workloads: no snapshot lost or half visible"
    );
}

#[test]
fn writes_that_the_system_takes_in_small_parts_arrive_whole() {
    for most in [1, 7, 100] {
        let disk = SimDisk::new(3);
        disk.limit_writes(most);
        let run = Run::of(&disk, &config(), &workload(3));
        check_recovery(&run, &disk.after_crash(Survival::Nothing), &config(), &|| most.to_string());
        assert!(run.maybe.is_empty() && !run.model.is_empty());
    }
}

#[test]
fn without_syncs_a_crash_cuts_the_end_off_and_never_refuses_to_open() {
    let config = config().durability(Durability::Os);
    for seed in 1..=setting("SNAPFOLD_FAULT_SEEDS", 6) {
        let steps = workload(seed);
        let disk = SimDisk::new(seed);
        Run::of(&disk, &config, &steps);
        for crash_at in 1..=disk.calls() {
            let disk = SimDisk::new(seed);
            disk.crash_at(crash_at);
            Run::of(&disk, &config, &steps);
            let after = disk.after_crash(Survival::Random(crash_at));
            let core = open::open(Arc::new(after), config.clone())
                .unwrap_or_else(|error| panic!("seed {seed}, call {crash_at}: {error:?}"));
            content(&core);
        }
    }
}

#[test]
fn a_failed_sync_stops_writing_with_an_unknown_outcome_and_reads_go_on() {
    let disk = SimDisk::new(4);
    let core = open::open(Arc::new(disk.clone()), config()).unwrap();
    let key = AggregateKey::new("k", "a").unwrap();
    let mut dice = 1;
    let mut put = |version: u64| {
        let id = SnapshotId { generation: generation(1), version };
        let record = record(&key, id, &mut dice);
        let work = core.put_work(vec![record], &PutOptions::default())?;
        core.commit(vec![work], || ()).answers.remove(0)
    };
    put(1).unwrap();
    let before = content(&core);
    disk.fail(Call::Sync, disk.count(Call::Sync) + 1, std::io::ErrorKind::Other);
    assert_eq!(put(2).unwrap_err().retry(), Retry::Unknown);
    let error = put(3).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Poisoned, Retry::Never));
    assert_eq!(core.compact(&mut |_| true).unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(content(&core) == before);
}

#[test]
fn a_delete_outlives_compaction_as_long_as_an_older_dead_put_lies_elsewhere() {
    let config = config().compact_at(0.5);
    let disk = SimDisk::new(2);
    let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
    let key = |id: &str| AggregateKey::new("k", id).unwrap();
    let put = |id: &str, len: usize| {
        let at = Timestamp::from_seconds(1);
        let record =
            RecordBuilder::new(key(id), generation(1), 1, at).build(&vec![1; len]).unwrap();
        let work = core.put_work(vec![record], &PutOptions::default()).unwrap();
        core.commit(vec![work], || ()).answers.remove(0).unwrap();
    };
    let delete = |id: &str| {
        let work =
            core.delete_work(&key(id), Selection::All, DeleteOptions::default()).unwrap().unwrap();
        core.commit(vec![work], || ()).answers.remove(0).unwrap();
    };
    // The first segment is not changed. The second one, which contains the deletes, is rewritten.
    put("deleted", 10);
    put("stays", 3000);
    put("fills", 3000);
    delete("deleted");
    delete("fills");
    put("more", 3000);
    let compacted = core.compact(&mut |_| true).unwrap();
    assert_eq!(compacted.removed, 1);
    let before = content(&core);
    assert_eq!(before.len(), 2);
    drop(core);
    let core = open::open(Arc::new(disk.after_crash(Survival::Nothing)), config).unwrap();
    assert!(content(&core) == before, "a deleted snapshot is back");
}

#[test]
fn what_a_failed_write_has_left_behind_is_taken_back() {
    let mut tried = 0;
    for seed in 1..=2 {
        let steps = workload(seed);
        let count = {
            let disk = SimDisk::new(seed);
            disk.limit_writes(300);
            Run::of(&disk, &config(), &steps);
            disk.count(Call::Write)
        };
        for nth in 1..=count {
            let disk = SimDisk::new(seed);
            disk.limit_writes(300);
            disk.fail(Call::Write, nth, std::io::ErrorKind::Other);
            let run = Run::of(&disk, &config(), &steps);
            let after = disk.after_crash(Survival::Everything);
            check_recovery(&run, &after, &config(), &|| format!("seed {seed}, write {nth}"));
            tried += 1;
        }
    }
    println!("{tried} writes failed after a part was written");
}

/// The defect: after compaction wrote its manifest and before it had removed all old files, a new
/// segment could be started. Its manifest listed the files that were being removed, so a crash left
/// a store that did not open.
#[test]
fn a_manifest_does_not_list_what_compaction_is_removing() {
    let disk = SimDisk::new(1);
    let run = Run::of(&disk, &config(), &workload(1));
    let core = run.core.expect("nothing fails");
    let all = core.segments.all();
    let going = all.first().expect("a workload fills segments").id;
    let mut log = core.log();
    log.retired.push(going);
    let manifest = core.manifest(&log, &all);
    assert_eq!(manifest.segments.len(), all.len() - 1);
    assert!(manifest.segments.iter().all(|entry| entry.id != going));
    log.retired.pop();
}
