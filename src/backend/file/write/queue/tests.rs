//! If a lead is lost, or a thread is not woken, the store hangs: a put, or the drop of the last
//! handle, never returns.

use std::future::Future;
use std::sync::{Barrier, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use super::*;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::disk::sim::{Call, SimDisk};
use crate::backend::file::samples::{core, put, put_bytes, record};
use crate::backend::file::store::file_store::FileStore;
use crate::record::Record;
use crate::store::PutOptions;

#[test]
fn a_thread_that_waits_for_the_last_group_of_another_is_told_when_nothing_is_left() {
    let core = core(&SimDisk::new(1));
    for version in 1..200 {
        let queue = Queue::new();
        // This thread leads, and work is queued.
        queue.state().led = true;
        let (mut answer, led) = queue.submit(put(&core, version));
        assert!(led);
        queue.stop();
        let started = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                started.wait();
                queue.run(&core);
            });
            started.wait();
            assert!(queue.lead(&core));
            queue.hand_over();
        });
        answer.try_recv().unwrap().unwrap();
    }
}

#[test]
fn a_group_that_panics_after_it_handed_over_leaves_the_lead_to_whom_it_gave_it() {
    for _ in 0..100 {
        let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
        queue.state().led = true;
        let work = put(&core, 1);
        thread::scope(|scope| {
            let waits = scope.spawn(|| queue.write(&core, work));
            while queue.state().groups.is_empty() {
                thread::yield_now();
            }
            let panics = scope.spawn(|| {
                let (queue, core) = (&queue, &core);
                let _guard = Panicking { queue, core, group: None, leads: false };
                queue.hand_over();
                panic::resume_unwind(Box::new(()));
            });
            assert!(panics.join().is_err());
            // It does not matter whether this was written before or after the panic.
            let _ = waits.join().unwrap();
        });
        assert!(!queue.state().led);
    }
}

#[test]
fn a_panic_answers_the_threads_and_tasks_of_the_group_and_those_behind_it() {
    let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
    queue.state().led = true;
    thread::scope(|scope| {
        let writers: Vec<_> = (1..5)
            .map(|version| {
                let work = put(&core, version);
                let (queue, core) = (&queue, &core);
                let thread = scope.spawn(move || queue.write(core, work));
                while queue.state().groups.iter().map(|group| group.works.len()).sum::<usize>()
                    < usize::try_from(version).unwrap()
                {
                    thread::yield_now();
                }
                if version == 2 {
                    // Later work goes into another group.
                    queue.state().groups[0].bytes = GROUP_BYTES;
                }
                thread
            })
            .collect();
        let (mut task, _) = queue.submit(put(&core, 9));
        let panics = scope.spawn(|| {
            let group = queue.take_group();
            assert_eq!(group.as_ref().unwrap().works.len(), 2);
            let _guard = Panicking { queue: &queue, core: &core, group, leads: true };
            panic::resume_unwind(Box::new(()));
        });
        assert!(panics.join().is_err());
        for writer in writers {
            let error = writer.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Poisoned, Retry::Unknown));
        }
        assert!(task.try_recv().unwrap().is_err());
    });
    assert!(!queue.state().led && queue.state().groups.is_empty());
}

#[test]
fn those_who_were_answered_and_those_who_wait_are_expected_to_come_together() {
    let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
    queue.state().led = true;
    let _first = queue.submit(put(&core, 1));
    // Later work goes into another group.
    queue.state().groups[0].bytes = GROUP_BYTES;
    let _others = [2, 3].map(|version| queue.submit(put(&core, version)));
    assert!(queue.lead(&core));
    assert_eq!(queue.state().expected, 3);
    assert!(queue.lead(&core));
    assert_eq!(queue.state().expected, 2);
}

#[test]
fn a_panic_of_a_thread_that_handed_over_and_waits_in_the_next_group_takes_no_lead_with_it() {
    let disk = SimDisk::new(1);
    let (core, queue) = (core(&disk), Queue::new());
    // The first group of a store creates the first segment.
    queue.write(&core, put(&core, 1)).unwrap();
    let (mut first, _) = queue.submit(put_bytes(&core, 2, 3 << 19));
    let (mut second, _) = queue.submit(put_bytes(&core, 3, 1 << 20));
    assert_eq!(queue.state().groups.len(), 2);
    disk.panic(Call::Sync, disk.count(Call::Sync) + 1);
    let work = put(&core, 4);
    let panics = thread::scope(|scope| scope.spawn(|| queue.write(&core, work)).join());
    assert!(panics.is_err());
    assert!(first.try_recv().unwrap().is_err());
    // Either no thread leads, or one of the store's own threads is about to.
    let (led, called) = {
        let state = queue.state();
        (state.led, state.called)
    };
    assert_eq!(led, called);
    queue.start();
    queue.stop();
    queue.run(&core);
    assert!(second.try_recv().unwrap().is_err());
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_waiting() {
    let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
    let (mut first, _) = queue.submit(put(&core, 1));
    let (mut second, _) = queue.submit(put(&core, 2));
    let waker = Waker::from(Arc::new(Panics));
    assert!(std::pin::pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
    // This work is in the same group and is answered by this thread.
    queue.write(&core, put(&core, 3)).unwrap();
    first.try_recv().unwrap().unwrap();
    second.try_recv().unwrap().unwrap();
    queue.write(&core, put(&core, 4)).unwrap();
    assert!(!queue.state().led);
}

/// Bytes of a caller that panic when they are dropped.
struct Treacherous(Vec<u8>);

impl AsRef<[u8]> for Treacherous {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Treacherous {
    fn drop(&mut self) {
        assert!(thread::panicking(), "on purpose");
    }
}

fn treacherous(core: &Core, version: u64) -> Work {
    let bytes = record(version, 5).into_bytes().to_vec();
    let record = Record::from_bytes(Bytes::from_owner(Treacherous(bytes)));
    core.put_work(vec![record], &PutOptions::default()).unwrap()
}

#[test]
fn a_record_that_panics_when_it_is_dropped_takes_no_lead_with_it() {
    let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
    queue.write(&core, put(&core, 1)).unwrap();
    let work = treacherous(&core, 2);
    let panics = thread::scope(|scope| scope.spawn(|| queue.write(&core, work)).join());
    assert!(panics.is_err());
    assert!(!queue.state().led);
}

fn open(disk: &SimDisk) -> FileStore {
    let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
    FileStore::open_on(Arc::new(disk.clone()), config).unwrap()
}

/// The defect: each panic ended one of the store's own threads. After two panics, work that tasks
/// queued was never written.
#[tokio::test]
async fn tasks_are_answered_however_often_writing_panics() {
    let store = open(&SimDisk::new(1));
    store.0.submit(put(&store.0.core, 10)).await.unwrap();
    let works: Vec<_> = (1..6).map(|version| treacherous(&store.0.core, version)).collect();
    for (number, work) in works.into_iter().enumerate() {
        let answer = store.0.submit(work).await;
        assert_eq!(answer.is_ok(), number == 0, "{answer:?}");
    }
}

/// A waker that drops the handle.
struct Last(Mutex<Option<FileStore>>, mpsc::Sender<()>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
        self.1.send(()).unwrap();
    }
}

/// The defect: the writer thread waited for itself to end.
#[test]
fn the_last_handle_may_go_when_a_task_is_woken() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let core = Arc::clone(&store.0.core);
    let mut put = std::pin::pin!(store.0.submit(put(&core, 1)));
    // The first poll lets other tasks queue their work.
    assert!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let (sender, dropped) = mpsc::channel();
    let waker = Waker::from(Arc::new(Last(Mutex::new(Some(store)), sender)));
    let mut context = Context::from_waker(&waker);
    assert!(put.as_mut().poll(&mut context).is_pending());
    drop(waker);
    dropped.recv().unwrap();
    let Poll::Ready(answer) = put.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it was woken")
    };
    answer.unwrap();
    // The store is closed nevertheless.
    while core.health.check_open("wait for the end").is_ok() {
        thread::yield_now();
    }
}
