//! What an outbox promises.

use snapfold::service::webhook::{
    ClaimedWebhook, StoreOutbox, WebhookDelivery, WebhookMessage, WebhookOutbox, WebhookVerdict,
};
use snapfold::{ErrorKind, MemoryStore};

use crate::support::{at, endpoint, message};

async fn next(outbox: &StoreOutbox, id: &str, second: i64) -> WebhookDelivery {
    match outbox.claim(id, at(second), at(second + 60)).await.unwrap() {
        ClaimedWebhook::Next(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

fn new() -> StoreOutbox {
    StoreOutbox::new(MemoryStore::new())
}

#[tokio::test]
async fn an_endpoint_is_as_it_was_put() {
    let outbox = new();
    let new_secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    let b = endpoint("b").types(["x", "y.*"]).rotate(new_secret, at(9));
    outbox.put_endpoint(&b).await.unwrap();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    let all = outbox.endpoints().await.unwrap();
    let ids: Vec<_> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let texts = |secrets: &[(snapfold::service::webhook::WebhookSecret, _)]| {
        secrets.iter().map(|(secret, until)| (secret.reveal(), *until)).collect::<Vec<_>>()
    };
    assert_eq!(texts(&all[1].secrets), texts(&b.secrets));
    assert_eq!((&all[1].types, &all[1].url, &all[1].tenant), (&b.types, &b.url, &b.tenant));
    outbox.put_endpoint(&endpoint("b")).await.unwrap();
    assert_eq!(outbox.endpoints().await.unwrap()[1].types, None);
    assert!(outbox.remove_endpoint("b").await.unwrap());
    assert!(!outbox.remove_endpoint("b").await.unwrap());
    assert!(!outbox.remove_endpoint("no such").await.unwrap());
    let invalid = outbox.put_endpoint(&endpoint("a b")).await.unwrap_err();
    assert_eq!(invalid.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_message_goes_to_the_endpoints_of_its_tenant_that_want_it() {
    let outbox = new();
    let mut south = endpoint("south");
    south.tenant = "south".to_owned();
    for one in [endpoint("a"), endpoint("b").types(["thing.*"]), endpoint("c").types(["x"]), south]
    {
        outbox.put_endpoint(&one).await.unwrap();
    }
    outbox.put_endpoint(&endpoint("off")).await.unwrap();
    assert!(outbox.disable_endpoint("off", Some("tired")).await.unwrap());
    assert_eq!(outbox.enqueue(&message("m")).await.unwrap(), 2);
    for (id, gets) in [("a", true), ("b", true), ("c", false), ("south", false), ("off", false)] {
        let claimed = outbox.claim(id, at(0), at(60)).await.unwrap();
        assert_eq!(claimed != ClaimedWebhook::Nothing, gets, "{id}");
        if let ClaimedWebhook::Next(delivery) = claimed {
            assert_eq!(delivery.message, message("m"));
        }
    }
    let mut long = message("m");
    long.body = vec![b'x'; WebhookMessage::MAX_BODY_BYTES + 1].into();
    assert_eq!(outbox.enqueue(&long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(outbox.claim("nobody", at(0), at(60)).await.unwrap(), ClaimedWebhook::Nothing);
}

#[tokio::test]
async fn a_claim_keeps_others_away_until_it_ends() {
    let outbox = new();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    for id in ["m1", "m2"] {
        outbox.enqueue(&message(id)).await.unwrap();
    }
    let first = next(&outbox, "a", 0).await;
    assert_eq!((first.number, first.attempt), (1, 1));
    assert_eq!(outbox.claim("a", at(59), at(99)).await.unwrap(), ClaimedWebhook::Later(at(60)));
    // Somebody else takes over, and the first one comes too late.
    let second = next(&outbox, "a", 60).await;
    assert_eq!((second.number, second.message.id.as_str()), (1, "m1"));
    assert!(!outbox.settle(&first, &WebhookVerdict::Delivered).await.unwrap());
    assert!(!outbox.settle(&first, &WebhookVerdict::Dead("late".to_owned())).await.unwrap());
    assert!(outbox.dead("a", None, 9).await.unwrap().items.is_empty());
    assert!(outbox.settle(&second, &WebhookVerdict::Again(at(100))).await.unwrap());
    assert!(!outbox.settle(&first, &WebhookVerdict::Delivered).await.unwrap());
    assert_eq!(outbox.claim("a", at(99), at(200)).await.unwrap(), ClaimedWebhook::Later(at(100)));
    let third = next(&outbox, "a", 100).await;
    assert_eq!((third.number, third.attempt), (1, 2));
    assert!(outbox.settle(&third, &WebhookVerdict::Delivered).await.unwrap());
    // A verdict counts once.
    assert!(!outbox.settle(&third, &WebhookVerdict::Delivered).await.unwrap());
    let fourth = next(&outbox, "a", 100).await;
    assert_eq!((fourth.number, fourth.attempt, fourth.message.id.as_str()), (2, 1, "m2"));
    // A claim that ended without another one is still good.
    assert!(outbox.settle(&fourth, &WebhookVerdict::Delivered).await.unwrap());
    assert_eq!(outbox.claim("a", at(999), at(1_000)).await.unwrap(), ClaimedWebhook::Nothing);
}

#[tokio::test]
async fn what_is_dead_is_listed_and_can_be_sent_again() {
    let outbox = new();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    for id in ["m1", "m2", "m3", "m4"] {
        outbox.enqueue(&message(id)).await.unwrap();
    }
    for _ in 0..3 {
        let delivery = next(&outbox, "a", 0).await;
        let dead = WebhookVerdict::Dead(format!("because of {}", delivery.number));
        assert!(outbox.settle(&delivery, &dead).await.unwrap());
    }
    let page = outbox.dead("a", None, 2).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|one| (one.number, one.message.id.as_str())).collect();
    assert_eq!(ids, [(3, "m3"), (2, "m2")]);
    assert_eq!(page.items[0].reason, "because of 3");
    assert_eq!(page.items[0].message, message("m3"));
    let rest = outbox.dead("a", page.next, 2).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].number, rest.next), (1, 1, None));
    assert!(outbox.dead("b", None, 2).await.unwrap().items.is_empty());
    assert!(outbox.dead("a", Some(0), 2).await.unwrap().items.is_empty());

    assert!(outbox.send_again("a", 2).await.unwrap());
    assert!(!outbox.send_again("a", 2).await.unwrap());
    assert!(!outbox.send_again("a", 4).await.unwrap(), "it is not dead");
    let left = outbox.dead("a", None, 10).await.unwrap().items;
    assert_eq!(left.iter().map(|one| one.number).collect::<Vec<_>>(), [3, 1]);
    let delivery = next(&outbox, "a", 0).await;
    assert_eq!(delivery.message.id, "m4");
    outbox.settle(&delivery, &WebhookVerdict::Delivered).await.unwrap();
    assert_eq!(next(&outbox, "a", 0).await.message, message("m2"));
    outbox.disable_endpoint("a", Some("x")).await.unwrap();
    assert_eq!(outbox.send_again("a", 3).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(outbox.dead("a", None, 10).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_disabled_endpoint_keeps_its_queue_and_gets_nothing_new() {
    let outbox = new();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    outbox.enqueue(&message("m1")).await.unwrap();
    let delivery = next(&outbox, "a", 0).await;
    outbox.settle(&delivery, &WebhookVerdict::Again(at(500))).await.unwrap();
    assert!(outbox.disable_endpoint("a", Some("tired")).await.unwrap());
    assert_eq!(outbox.disabled("a").await.unwrap().as_deref(), Some("tired"));
    assert_eq!(outbox.enqueue(&message("m2")).await.unwrap(), 0);
    assert_eq!(outbox.claim("a", at(600), at(700)).await.unwrap(), ClaimedWebhook::Nothing);
    // To put it again changes nothing about that.
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    assert!(outbox.disabled("a").await.unwrap().is_some());
    assert!(outbox.disable_endpoint("a", None).await.unwrap());
    let delivery = next(&outbox, "a", 0).await;
    assert_eq!((delivery.message.id.as_str(), delivery.attempt), ("m1", 1));
    assert!(!outbox.disable_endpoint("b", Some("x")).await.unwrap());
    assert_eq!(outbox.disabled("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_removed_endpoint_begins_anew() {
    let outbox = new();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    outbox.enqueue(&message("old")).await.unwrap();
    let late = next(&outbox, "a", 0).await;
    assert!(outbox.remove_endpoint("a").await.unwrap());
    assert_eq!(outbox.enqueue(&message("lost")).await.unwrap(), 0);
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    assert_eq!(outbox.claim("a", at(99), at(100)).await.unwrap(), ClaimedWebhook::Nothing);
    outbox.enqueue(&message("new")).await.unwrap();
    assert!(!outbox.settle(&late, &WebhookVerdict::Delivered).await.unwrap());
    assert_eq!(next(&outbox, "a", 99).await.message.id, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_write_at_the_same_time_lose_nothing() {
    let store = MemoryStore::new();
    StoreOutbox::new(store.clone()).put_endpoint(&endpoint("a")).await.unwrap();
    let mut tasks = Vec::new();
    for node in 0..8 {
        let outbox = StoreOutbox::new(store.clone());
        tasks.push(tokio::spawn(async move {
            for n in 0..50 {
                assert_eq!(outbox.enqueue(&message(&format!("{node}-{n}"))).await.unwrap(), 1);
            }
        }));
    }
    let outbox = StoreOutbox::new(store.clone());
    let mut got = Vec::new();
    let mut second = 0;
    let mut is_done = false;
    loop {
        second += 1;
        match outbox.claim("a", at(second), at(second)).await.unwrap() {
            ClaimedWebhook::Next(delivery) => {
                outbox.settle(&delivery, &WebhookVerdict::Delivered).await.unwrap();
                got.push(delivery.message.id);
            }
            _ if is_done => break,
            _ => {
                is_done = tasks.iter().all(tokio::task::JoinHandle::is_finished);
                tokio::task::yield_now().await;
            }
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    // Each at least once, and the messages of each node in its order.
    for node in 0..8 {
        let own = format!("{node}-");
        let mut first = Vec::new();
        for id in got.iter().filter(|id| id.starts_with(&own)) {
            if !first.contains(id) {
                first.push(id.clone());
            }
        }
        let expected: Vec<_> = (0..50).map(|n| format!("{node}-{n}")).collect();
        assert_eq!(first, expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_was_disabled_and_removed_is_enabled_when_it_is_put_again() {
    let outbox = new();
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    assert!(outbox.disable_endpoint("a", Some("tired")).await.unwrap());
    assert!(outbox.remove_endpoint("a").await.unwrap());
    assert_eq!(outbox.disabled("a").await.unwrap(), None);
    outbox.put_endpoint(&endpoint("a")).await.unwrap();
    assert_eq!(outbox.enqueue(&message("m")).await.unwrap(), 1);
    assert_eq!(next(&outbox, "a", 0).await.message.id, "m");
}
