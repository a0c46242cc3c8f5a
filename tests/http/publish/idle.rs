//! Calls that are dropped at each point at which they wait.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use futures_util::task::noop_waker;
use serde_json::json;
use snapfold::artifact::in_one_piece;
use snapfold::publication::{PublicationDetails, PublicationPart, PublicationStatus};
use snapfold::service::publish::{PublishError, PublishRefusal, PublishRequest};

use super::press::{Press, href};

/// Polls a future so many times and drops it. Returns whether it was ready.
fn poll(count: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let waker = noop_waker();
    let mut context = Context::from_waker(&waker);
    (0..count).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_half_publication() {
    let request = || {
        let mut details = PublicationDetails::default();
        details.title = Some("title".to_owned());
        let part = PublicationPart::new().size(1);
        PublishRequest::new(details).part("a", part.clone()).part("b", part).key("k")
    };
    let mut turns = [0_usize; 3];
    for at in 0..60 {
        let press = Press::new();
        let publisher = &press.publisher;
        let ready = poll(at, publisher.publish("north", request(), "ci"));
        turns[0] += usize::from(!ready);
        let all = press.shelf.all().await;
        assert!(all.len() <= 1 && all.iter().all(|it| it.parts.len() == 2), "{all:?}");
        // The same request again completes what was begun, or begins it.
        let begun = publisher.publish("north", request(), "ci").await.unwrap();
        let id = begun.publication.id;
        assert_eq!(press.shelf.all().await, [begun.publication]);

        let send =
            |name: &'static str| publisher.receive("north", id, name, None, in_one_piece(name));
        turns[1] += usize::from(!poll(at, send("a")));
        match send("a").await {
            Ok(_) | Err(PublishError::Refused(PublishRefusal::Sent)) => {}
            other => panic!("{at}: {other:?}"),
        }
        send("b").await.unwrap();

        turns[2] += usize::from(!poll(at, publisher.finalize("north", id, "ci")));
        let found = publisher.get("north", id).await.unwrap().unwrap();
        let is_whole = found.status == PublicationStatus::Completed;
        assert!(is_whole || found.status == PublicationStatus::Generating);
        assert!(found.parts.values().all(|it| it.stored.is_some()));
        let done = publisher.finalize("north", id, "ci").await.unwrap();
        assert_eq!(done.status, PublicationStatus::Completed);
        assert!(!is_whole || done == found);
    }
    // Some were dropped in the middle, and some were not dropped.
    assert!(turns.iter().all(|dropped| (2..59).contains(dropped)), "{turns:?}");
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_no_half_publication() {
    for at in 0..40 {
        let press = Press::new();
        let (id, artifacts) = press.begin(json!({ "a": true })).await;
        let url = href(&artifacts, "a");
        poll(at, press.put(&url, &[], vec![b'x'; 5_000]));
        let again = press.put(&url, &[], vec![b'x'; 5_000]).await.status.as_u16();
        assert!(matches!(again, 201 | 409), "{at}: {again}");
        poll(at, press.finalize(&id));
        // A write that has begun is made to its end.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(press.finalize(&id).await.status, 200);
        // The second call tells it again.
        let notes = press.notes.taken();
        let (begun, ended) = notes.split_first().unwrap();
        assert_eq!(begun, "generating");
        assert!(
            (1..=2).contains(&ended.len()) && ended.iter().all(|it| it == "completed"),
            "{ended:?}"
        );
    }
}
