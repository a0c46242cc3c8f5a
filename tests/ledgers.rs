//! Schedules, statistics and the audit trail answer alike in memory and in files (and in
//! PostgreSQL: `tests/postgres_ledger.rs` runs the same assertions), and in files they are still there
//! after the ledger was closed. An application that moves from one to the other must not notice.

#![cfg(all(feature = "file", feature = "memory"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod ledger_support;

use ledger_support::{at, holds_what_memory_holds, key};
use snapfold::{
    AuditEntry, AuditLog, AuditRequest, ErrorKind, FileLedger, FileStore, MemoryLedger, Retry,
    Schedule, ScheduleStore,
};
use tempfile::TempDir;

fn file() -> (TempDir, FileLedger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path().join("ledger")).unwrap();
    (dir, ledger)
}

/// Each assertion of the family, on both ledgers.
macro_rules! in_memory_and_in_files {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            ledger_support::$name(&MemoryLedger::new()).await;
            let (_dir, ledger) = file();
            ledger_support::$name(&ledger).await;
        }
    )*};
}

in_memory_and_in_files! {
    schedules_are_kept_due_and_claimed
    a_due_run_is_claimed_by_exactly_one_node
    statistics_add_up
    the_audit_trail_is_kept_in_order
}

#[tokio::test]
async fn any_calls_are_answered_as_in_memory_and_are_still_there_when_opened_again() {
    let (_dir, ledger) = file();
    let memory = ledger_support::any_calls_are_answered_as_in_memory(&ledger).await;
    let dir = ledger.dir().to_owned();
    ledger.close().unwrap();
    for _ in 0..2 {
        let ledger = FileLedger::open(&dir).unwrap();
        holds_what_memory_holds(&ledger, &memory).await;
    }
}

#[tokio::test]
async fn changes_that_are_out_of_date_give_their_space_back() {
    let (_dir, ledger) = file();
    let length = || std::fs::metadata(ledger.dir().join("ledger.state")).unwrap().len();
    let mut schedule = Schedule::new(key("t", "a"), "* ".repeat(500)).unwrap();
    let mut longest = 0;
    // 1,100 bytes each: more than twice the 1 MiB from which on the log is written anew.
    for run in 0..2_200 {
        schedule = schedule.next_run(Some(at(run)));
        ledger.put_schedule(&schedule).await.unwrap();
        longest = longest.max(length());
    }
    assert!((1_000_000..1_100_000).contains(&longest) && length() < 600_000, "{longest}");
    let dir = ledger.dir().to_owned();
    drop(ledger);
    let ledger = FileLedger::open(dir).unwrap();
    assert_eq!(ledger.schedule(&schedule.key).await.unwrap(), Some(schedule));
}

#[tokio::test]
async fn a_page_ends_where_it_would_take_too_much_memory() {
    let (_dir, ledger) = file();
    let part = "x".repeat(65_535);
    let about = snapfold::AggregateKey::from_parts(&part, &part, &part).unwrap();
    for _ in 0..50 {
        ledger.append(&AuditEntry::new(at(0), "", "", about.clone())).await.unwrap();
    }
    let first = ledger.entries(AuditRequest::new()).await.unwrap();
    assert!((40..45).contains(&first.items.len()), "{}", first.items.len());
    let rest = ledger.entries(AuditRequest::new().after(first.next.unwrap())).await.unwrap();
    assert_eq!((first.items.len() + rest.items.len(), rest.next), (50, None));
}

#[tokio::test]
async fn one_handle_at_a_time_has_a_ledger_and_a_store_may_live_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    ledger.append(&AuditEntry::new(at(0), "a", "b", key("", "c"))).await.unwrap();
    let error = FileLedger::open(dir.path()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Locked, Retry::Later));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    let store = FileStore::open(dir.path()).unwrap();
    assert_eq!(FileStore::verify(dir.path()).unwrap_err().kind(), ErrorKind::Locked);
    drop(store);
    assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
    let clone = ledger.clone();
    ledger.close().unwrap();
    let error = clone.append(&AuditEntry::new(at(0), "a", "b", key("", "c"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(
        clone.entries(AuditRequest::new()).await.is_err() && clone.due(at(0), 1).await.is_err()
    );
    // A clone that nobody uses any more keeps nobody out.
    let ledger = FileLedger::open(dir.path()).unwrap();
    assert_eq!(ledger.entries(AuditRequest::new()).await.unwrap().items.len(), 1);
}

#[test]
fn a_place_that_cannot_hold_a_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for place in [file.clone(), file.join("below")] {
        assert_eq!(FileLedger::open(&place).unwrap_err().kind(), ErrorKind::Store);
    }
    let nested = dir.path().join("a/b/c");
    drop(FileLedger::open(&nested).unwrap());
    assert!(nested.join("ledger.manifest").is_file());
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_whole_entries_and_a_ledger_that_works() {
    let (_dir, ledger) = file();
    let entry = AuditEntry::new(at(0), "a", "b", key("", "c"));
    for n in 1..=20 {
        let mut append = ledger.append(&entry);
        let waker = std::task::Waker::noop();
        let _ = append.as_mut().poll(&mut std::task::Context::from_waker(waker));
        drop(append);
        let whole = ledger.append(&entry).await.unwrap();
        assert!((n..=2 * n).contains(&whole), "{whole}");
    }
    let dir = ledger.dir().to_owned();
    ledger.close().unwrap();
    let found = FileLedger::open(dir).unwrap().entries(AuditRequest::new()).await.unwrap().items;
    assert!((20..=40).contains(&found.len()));
    assert!(found.iter().all(|record| record.entry == entry));
}

/// A child process has the handles of its parent for a moment, the one of the lock too.
#[cfg(unix)]
#[test]
fn a_closed_ledger_can_be_opened_at_once_though_other_threads_start_processes() {
    let dir = tempfile::tempdir().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::process::Command::new("true").status().unwrap();
                }
            });
        }
        let opened: Result<(), _> = (0..60).try_for_each(|_| FileLedger::open(dir.path())?.close());
        let opened = opened.and_then(|()| {
            (0..100)
                .try_for_each(|_| FileStore::builder(dir.path()).reserve_bytes(0).open()?.close())
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.unwrap();
    });
}
