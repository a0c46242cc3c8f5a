//! What a sender does with the answers of a receiver.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use snapfold::Timestamp;
use snapfold::engine::Clock as _;
use snapfold::service::webhook::{
    RetrySchedule, StoreOutbox, WebhookMessage, WebhookOutbox as _, WebhookReport, WebhookResponse,
    WebhookSecret, WebhookSender,
};

use crate::support::{Post, Reply, at, endpoint, message, secret};

/// The schedule of the specification, in seconds since the first attempt.
const SPECIFIED: [u64; 10] = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105];

#[tokio::test]
async fn a_message_arrives_as_the_specification_says() {
    let post = Post::new().await;
    let data = json!({ "id": "p1" });
    let made = WebhookMessage::new("north", "publication.completed", at(-9), &data).unwrap();
    post.outbox.enqueue(&made).await.unwrap();
    let run = post.sender.run_once().await.unwrap();
    assert_eq!((run.delivered, run.failed, run.next), (1, 0, None));
    let request = post.receiver.last();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "https://a.example/hook");
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(request.headers()["webhook-id"], made.id.as_str());
    assert_eq!(request.headers()["webhook-timestamp"], "1700000000");
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let time = "2023-11-14T22:13:11Z";
    assert_eq!(body, json!({ "type": "publication.completed", "timestamp": time, "data": data }));
    assert_eq!(post.sender.run_once().await.unwrap().delivered, 0);
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_gets_all_messages_in_order() {
    let post = Post::new().await;
    post.receiver.reply([Reply::Fail("connection refused")]);
    let mut expected = Vec::new();
    for minute in 0..60 {
        let id = format!("m{minute}");
        post.enqueue(&[&id]).await;
        expected.push(id);
        for _ in 0..6 {
            post.sender.run_once().await.unwrap();
            post.clock.advance(Duration::from_secs(10));
        }
    }
    let while_down = post.receiver.ids();
    assert!(while_down.iter().all(|id| id == "m0"), "{while_down:?}");
    assert!((3..=5).contains(&while_down.len()), "{while_down:?}");
    post.receiver.reply([Reply::Status(204)]);
    // The next attempt is at most two hours away, and a fifth.
    for _ in 0..900 {
        post.sender.run_once().await.unwrap();
        post.clock.advance(Duration::from_secs(10));
    }
    let got = post.receiver.ids();
    assert_eq!(got[while_down.len()..], expected);
    assert_eq!(post.outbox.dead("a", None, 10).await.unwrap().items, []);
}

#[tokio::test]
async fn attempts_follow_the_schedule_and_then_the_message_is_dead() {
    let post = Post::new().await;
    post.enqueue(&["m1", "m2"]).await;
    post.receiver.reply([Reply::Status(500)]);
    let mut run = post.sender.run_once().await.unwrap();
    while run.dead == 0 {
        let next = run.next.unwrap();
        // Nothing happens before.
        post.clock.set(next.saturating_sub(Duration::from_micros(1)));
        assert_eq!(post.sender.run_once().await.unwrap().failed, 0);
        post.clock.set(next);
        run = post.sender.run_once().await.unwrap();
    }
    let ids = post.receiver.ids();
    assert_eq!(ids[..10], ["m1"; 10]);
    assert_eq!(ids[10..], ["m2"], "the next one follows");
    let seconds = &post.receiver.seconds()[..10];
    let mut exact = 0;
    for (second, specified) in seconds.iter().zip(SPECIFIED) {
        assert!((specified..=specified + specified / 5 + 1).contains(second), "{seconds:?}");
        exact += usize::from(*second == specified);
    }
    assert!(exact < 5, "not all come back at the same time: {seconds:?}");
    let dead = post.outbox.dead("a", None, 10).await.unwrap().items;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, "the receiver answered 500 Internal Server Error");
    // Days later by hand, with the same id.
    post.receiver.reply([Reply::Status(200)]);
    assert!(post.outbox.send_again("a", dead[0].number).await.unwrap());
    post.clock.advance(Duration::from_secs(10));
    post.sender.run_once().await.unwrap();
    assert_eq!(post.receiver.ids()[11..], ["m2", "m1"]);
}

#[tokio::test]
async fn every_answer_but_2xx_is_a_failure() {
    for (code, is_success) in [
        (200, true),
        (204, true),
        (299, true),
        (301, false),
        (302, false),
        (404, false),
        (429, false),
    ] {
        let post = Post::new().await;
        post.enqueue(&["m"]).await;
        post.receiver.reply([Reply::Status(code)]);
        let run = post.sender.run_once().await.unwrap();
        assert_eq!((run.delivered == 1, run.failed == 1), (is_success, !is_success), "{code}");
    }
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_loses_nothing() {
    let post = Post::new().await;
    post.enqueue(&["m1", "m2"]).await;
    post.receiver.reply([Reply::Status(410), Reply::Status(200)]);
    let run = post.sender.run_once().await.unwrap();
    assert_eq!((run.disabled, run.delivered), (1, 0));
    assert!(post.outbox.disabled("a").await.unwrap().unwrap().contains("410"));
    post.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(post.sender.run_once().await.unwrap().delivered, 0);
    assert_eq!(post.receiver.ids(), ["m1"]);
    post.outbox.disable_endpoint("a", None).await.unwrap();
    assert_eq!(post.sender.run_once().await.unwrap().delivered, 2);
    assert_eq!(post.receiver.ids(), ["m1", "m1", "m2"]);
}

#[tokio::test]
async fn a_receiver_can_ask_for_more_time_but_not_for_ever() {
    let post = Post::new().await;
    post.enqueue(&["m"]).await;
    post.receiver.reply([
        Reply::After(503, 1_000),
        // Shorter than the schedule.
        Reply::After(429, 1),
        Reply::After(503, u64::MAX),
    ]);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let next = post.sender.run_once().await.unwrap().next.unwrap();
        waits.push(next.since(post.clock.now()).as_secs());
        post.clock.set(next);
    }
    assert_eq!((waits[0], waits[2]), (1_000, 86_400));
    assert!((300..=360).contains(&waits[1]), "{waits:?}");

    let retry_after = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", text.parse().unwrap());
        WebhookResponse::of(StatusCode::SERVICE_UNAVAILABLE, &headers, at(0)).retry_after
    };
    assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
    assert_eq!(retry_after("Tue, 14 Nov 2023 22:14:20 GMT"), Some(Duration::from_secs(60)));
    assert_eq!(retry_after("Tue, 14 Nov 2023 22:13:00 GMT"), Some(Duration::ZERO));
    for text in ["", "soon", "-1", "1.5", "99999999999999999999"] {
        assert_eq!(retry_after(text), None, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_a_limited_time_and_holds_up_no_other_endpoint() {
    let post = Post::new().await;
    post.enqueue(&["m"]).await;
    post.receiver.reply([Reply::Hang, Reply::Status(200)]);
    post.outbox.put_endpoint(&endpoint("b")).await.unwrap();
    post.outbox.enqueue(&message("n")).await.unwrap();
    let begin = tokio::time::Instant::now();
    let run = post.sender.run_once().await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert_eq!((run.delivered, run.failed), (1, 1));
}

#[tokio::test]
async fn while_a_secret_rotates_both_sign_and_later_only_the_new_one() {
    let post = Post::new().await;
    let new = WebhookSecret::generate().unwrap();
    // The receiver of these tests has the old secret, so both are needed.
    let rotated = endpoint("a").rotate(new.clone(), at(100));
    post.outbox.put_endpoint(&rotated).await.unwrap();
    post.clock.set(at(99));
    post.enqueue(&["m1"]).await;
    assert_eq!(post.sender.run_once().await.unwrap().delivered, 1);
    let request = post.receiver.last();
    for secret in [&new, &secret()] {
        secret.verify(request.headers(), request.body(), at(99)).unwrap();
    }
    let signatures = request.headers()["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2);
    // From the end on, the old one does not sign. To rotate again does not make it last longer.
    let again = rotated.rotate(secret(), at(1_000));
    post.outbox.put_endpoint(&again).await.unwrap();
    post.clock.set(at(100));
    post.enqueue(&["m2"]).await;
    post.sender.run_once().await.unwrap();
    let request = post.receiver.last();
    let signatures = request.headers()["webhook-signature"].to_str().unwrap();
    assert_eq!(signatures.split(' ').count(), 2, "the newest and the one before");
    new.verify(request.headers(), request.body(), at(100)).unwrap();
}

#[tokio::test]
async fn each_attempt_is_signed_with_its_own_time() {
    let post = Post::new().await;
    post.enqueue(&["m"]).await;
    post.receiver.reply([Reply::Status(500), Reply::Status(200)]);
    post.sender.run_once().await.unwrap();
    post.clock.advance(Duration::from_secs(3_600));
    // The receiver verifies, so an old timestamp would fail.
    assert_eq!(post.sender.run_once().await.unwrap().delivered, 1);
    assert_eq!(post.receiver.last().headers()["webhook-timestamp"], "1700003600");
}

#[tokio::test]
async fn two_senders_share_an_outbox_without_disorder() {
    let post = Post::new().await;
    let other = StoreOutbox::new(post.store.clone());
    let other = WebhookSender::new(other, post.receiver.clone()).clock(post.clock.clone());
    let ids: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    for id in &ids {
        post.enqueue(&[id]).await;
    }
    for _ in 0..200 {
        let (one, two) = tokio::join!(post.sender.run_once(), other.run_once());
        let errors = one.unwrap().errors + two.unwrap().errors;
        assert_eq!(errors, 0);
    }
    assert_eq!(post.receiver.ids(), ids);
}

#[tokio::test(start_paused = true)]
async fn a_running_sender_ends_when_it_is_told_to() {
    let post = Post::new().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let outbox = post.outbox.clone();
    let (sender, receiver) = (post.sender, post.receiver);
    let running = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        sender.run(stopped).await;
    });
    for id in ["m1", "m2"] {
        outbox.enqueue(&message(id)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(receiver.ids(), ["m1", "m2"]);
    // An attempt that has begun is made to its end.
    receiver.reply([Reply::Hang, Reply::Status(200)]);
    for id in ["m3", "m4"] {
        outbox.enqueue(&message(id)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(receiver.ids(), ["m1", "m2", "m3"]);
    // Its outcome was stored: it is due in 5 seconds, not when a claim ends.
    let claimed = outbox.claim("a", at(0), at(1)).await.unwrap();
    let snapfold::service::webhook::ClaimedWebhook::Later(due) = claimed else {
        panic!("{claimed:?}")
    };
    assert!(due < at(10), "{due}");
}

#[tokio::test]
async fn an_observer_hears_of_everything() {
    let post = Post::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let sender = post.sender.schedule(RetrySchedule::new([Duration::from_secs(1)])).observer(
        move |report| {
            let what = match report {
                WebhookReport::Delivered(delivery) => format!("delivered {}", delivery.message.id),
                WebhookReport::Failed { delivery, why, .. } => {
                    format!("failed {} {}: {why}", delivery.message.id, delivery.attempt)
                }
                WebhookReport::Dead { delivery, why } => {
                    format!("dead {}: {}", delivery.message.id, why.len())
                }
                WebhookReport::Disabled(delivery) => format!("disabled {}", delivery.endpoint),
                other => format!("{other:?}"),
            };
            tell.lock().unwrap().push(what);
        },
    );
    let long: &'static str = "\u{e4}".repeat(1_000).leak();
    for (id, reply) in [
        ("m1", Reply::Status(200)),
        ("m2", Reply::Fail("no route")),
        ("", Reply::Fail(long)),
        ("m3", Reply::Status(410)),
    ] {
        if !id.is_empty() {
            assert_eq!(post.outbox.enqueue(&message(id)).await.unwrap(), 1);
        }
        post.receiver.reply([reply]);
        sender.run_once().await.unwrap();
        post.clock.advance(Duration::from_secs(2));
    }
    let told = told.lock().unwrap();
    let expected =
        ["delivered m1", "failed m2 1: the request failed: no route", "dead m2: 500", "disabled a"];
    assert_eq!(*told, expected);
}

#[test]
fn a_schedule_ends_and_no_delay_is_longer_than_a_day() {
    let schedule = RetrySchedule::new([Duration::MAX]);
    let day = Duration::from_secs(86_400);
    let delay = schedule.delay("m", 1, None).unwrap();
    assert!(delay >= day && delay <= day + day / 5);
    assert_eq!(schedule.delay("m", 2, Some(Duration::MAX)), None);
    assert_eq!(schedule.delay("m", u32::MAX, None), None);
    assert_eq!(RetrySchedule::new([]).delay("m", 1, None), None);
    assert!(schedule.delay("m", 0, None).is_some());
    let standard = RetrySchedule::default();
    assert!((1..=9).all(|attempt| standard.delay("m", attempt, None).is_some()));
    assert_eq!(standard.delay("m", 10, None), None);
    // The same for all who ask, and another one for each message.
    assert_eq!(standard.delay("m", 3, None), standard.delay("m", 3, None));
    assert_ne!(standard.delay("m", 3, None), standard.delay("n", 3, None));
    let _: Timestamp = at(0);
}
