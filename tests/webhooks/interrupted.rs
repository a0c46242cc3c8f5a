//! A process that ends at any step, and the next one over the same files.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use snapfold::ErrorKind;
use snapfold::engine::ManualClock;
use snapfold::file::FileStore;
use snapfold::service::webhook::{StoreOutbox, WebhookOutbox as _, WebhookSender};

use crate::support::{Receiver, Reply, at, endpoint, message};

/// Polls a future up to `polls` times, and drops it if it is not ready then. Between two polls it
/// waits until it is woken, so each one is a step.
async fn interrupted<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut is_first = true;
        let polled = poll_fn(|context| {
            if is_first {
                is_first = false;
                return match future.as_mut().poll(context) {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    Poll::Pending => Poll::Pending,
                };
            }
            Poll::Ready(None)
        });
        if let Some(output) = polled.await {
            return Some(output);
        }
    }
    None
}

/// The work of an interrupted process may still go on in another thread, as in a kernel.
async fn open(folder: &std::path::Path) -> FileStore {
    loop {
        match FileStore::open(folder) {
            Ok(store) => return store,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

const IDS: [&str; 3] = ["m1", "m2", "m3"];

/// Runs with an interruption after so many polls, then to the end. Returns whether it was interrupted.
async fn run(polls: usize, replies: &[Reply]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(at(0));
    let receiver = Receiver::new(&clock);
    receiver.reply(replies.iter().cloned());
    let acknowledged = AtomicUsize::new(0);
    let is_interrupted = {
        let outbox = StoreOutbox::new(open(folder.path()).await);
        let sender = WebhookSender::new(outbox.clone(), receiver.clone()).clock(clock.clone());
        let all = async {
            outbox.put_endpoint(&endpoint("a")).await.unwrap();
            for id in IDS {
                outbox.enqueue(&message(id)).await.unwrap();
                acknowledged.fetch_add(1, Ordering::Relaxed);
                sender.run_once().await.unwrap();
                clock.advance(Duration::from_secs(10));
                sender.run_once().await.unwrap();
            }
        };
        interrupted(all, polls).await.is_none()
    };
    // The next process. Who enqueued a message and got no answer does so again.
    let outbox = StoreOutbox::new(open(folder.path()).await);
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    for id in &IDS[acknowledged.into_inner()..] {
        outbox.enqueue(&message(id)).await.unwrap();
    }
    receiver.reply([Reply::Status(200)]);
    let sender = WebhookSender::new(outbox, receiver.clone()).clock(clock.clone());
    for _ in 0..20 {
        assert_eq!(sender.run_once().await.unwrap().errors, 0);
        clock.advance(Duration::from_secs(600));
    }
    let got = receiver.ids();
    let mut first = Vec::new();
    for id in &got {
        if !first.contains(id) {
            first.push(id.clone());
        }
    }
    assert_eq!(first, IDS, "after {polls} polls: {got:?}");
    is_interrupted
}

#[tokio::test]
async fn a_sender_that_ends_at_any_step_loses_and_disorders_nothing() {
    for replies in [vec![Reply::Status(200)], vec![Reply::Status(500), Reply::Status(200)]] {
        let mut polls = 0;
        while run(polls, &replies).await {
            polls += 1;
        }
        assert!(polls > 20, "{polls} steps");
    }
}
