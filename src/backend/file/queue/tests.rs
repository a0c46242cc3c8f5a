//! A lead that is lost, or a thread that nobody wakes, is a store that hangs: a put that never
//! returns, or the drop of the last handle.

use std::sync::Barrier;

use super::super::disk::sim::SimDisk;
use super::super::samples::{core, put};
use super::*;

#[test]
fn a_thread_that_waits_for_the_last_group_of_another_is_told_when_nothing_is_left() {
    let core = core(&SimDisk::new(1));
    for version in 1..200 {
        let queue = Queue::new();
        // This thread leads, and work waits.
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
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(panics.join().is_err());
            // Whether it was written before or after the panic does not matter here.
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
                    // What follows is in a group of its own.
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
            std::panic::resume_unwind(Box::new(()));
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
    // What follows is in a group of its own.
    queue.state().groups[0].bytes = GROUP_BYTES;
    let _others = [2, 3].map(|version| queue.submit(put(&core, version)));
    assert!(queue.lead(&core));
    assert_eq!(queue.state().expected, 3);
    assert!(queue.lead(&core));
    assert_eq!(queue.state().expected, 2);
}
