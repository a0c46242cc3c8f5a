//! The relay, and what `object_store` makes of the harm it does.
//!
//! A client that retries sends conditional writes again, too. What it is told then is about the
//! second try.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{Error, ObjectStoreExt as _};
use snapfold_s3::{Ending, Fault, Gate, Relay, Server};

use crate::{Bucket, kind, tag, unquoted};

/// Ceph, the relay, and two clients of one prefix that reach it through the relay.
struct Lab {
    relay: Relay,
    once: Bucket,
    retrying: Bucket,
}

impl Lab {
    async fn new() -> Self {
        let relay = Relay::before(Server::ceph()).await;
        let once = Bucket::of(relay.server().clone());
        let retrying = Bucket { store: relay.server().retrying(3), ..once.clone() };
        Self { relay, once, retrying }
    }

    /// An object "a" with the body "first", and its tag as Ceph takes it. Not counted.
    async fn first(&self) -> String {
        let first = tag(self.once.create("a", "first").await.unwrap());
        self.relay.take_requests();
        unquoted(&first).to_owned()
    }
}

fn name(result: Result<impl Sized, Error>) -> String {
    result.map_or_else(|error| kind(&error), |_| "Ok".to_owned())
}

#[tokio::test]
async fn what_nobody_harms_passes_unchanged() {
    let Lab { relay, once, .. } = Lab::new().await;
    let body: Vec<u8> = (0..5_u32 << 18).flat_map(u32::to_le_bytes).collect();
    once.put("a b%20c", body.clone()).await;
    assert!(once.get("a b%20c").await == body);
    let listed: Vec<_> = once.store.list(Some(&once.prefix)).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    once.store.head(&listed[0].location).await.unwrap();
    once.store.delete(&listed[0].location).await.unwrap();
    assert_eq!(kind(&once.store.head(&listed[0].location).await.unwrap_err()), "NotFound");

    // A single delete is sent as one of many, with POST.
    assert_eq!(["PUT", "GET", "HEAD", "POST"].map(|method| relay.count(method)), [1, 2, 2, 1]);
    let requests = relay.take_requests();
    assert!(requests[0].ends_with("/a%20b%2520c"), "{requests:?}");
    assert_eq!(requests.len(), 6);
    assert_eq!(relay.count("PUT"), 0);
}

/// The relay would not take it otherwise.
#[tokio::test]
async fn a_body_of_64_mib_is_sent_with_its_length() {
    let Lab { once, .. } = Lab::new().await;
    once.put("a", vec![7; 64 << 20]).await;
    assert!(once.get("a").await == vec![7; 64 << 20]);
}

#[tokio::test]
async fn a_rule_is_for_the_next_request_that_fits() {
    let Lab { relay, once, .. } = Lab::new().await;
    relay.next("PUT", "/b", Fault::Refuse(503));
    relay.next("GET", "/a", Fault::Refuse(503));
    assert_eq!(name(once.create("a", "first").await), "Ok");
    assert_eq!(name(once.create("b", "first").await), "Generic 503");
    assert_eq!(name(once.create("b", "first").await), "Ok");
    assert_eq!(name(once.store.get(&once.key("a")).await), "Generic 503");
    assert_eq!(name(once.store.get(&once.key("a")).await), "Ok");
}

#[tokio::test]
async fn a_rule_for_all_holds_until_the_relay_is_healed() {
    let Lab { relay, once, .. } = Lab::new().await;
    relay.all("PUT", "", Fault::Refuse(503));
    for _ in 0..3 {
        assert_eq!(name(once.create("a", "first").await), "Generic 503");
    }
    relay.heal();
    assert_eq!(name(once.create("a", "first").await), "Ok");
}

/// Nothing was written for any of them.
#[tokio::test]
async fn what_a_client_that_tries_once_is_told_of_a_refusal() {
    let told = |status| match status {
        409 => ["AlreadyExists", "AlreadyExists"],
        412 => ["AlreadyExists", "Precondition"],
        404 => ["NotFound", "Precondition"],
        429 => ["Generic 429", "Generic 429"],
        500 => ["Generic 500", "Generic 500"],
        _ => ["Generic 503", "Generic 503"],
    };
    for status in [404, 409, 412, 429, 500, 503] {
        let lab = Lab::new().await;
        let first = lab.first().await;
        lab.relay.all("PUT", "", Fault::Refuse(status));
        let create = name(lab.once.create("b", "new").await);
        let update = name(lab.once.update("a", &first, "second").await);
        assert_eq!([create.as_str(), &update], told(status), "{status}");
        assert_eq!(lab.once.get("a").await, b"first");
        assert_eq!(name(lab.once.store.get(&lab.once.key("b")).await), "NotFound");
    }
}

/// And so repeats what was not done. A conflict is repeated only for an update.
#[tokio::test]
async fn a_client_that_retries_repeats_what_was_refused_for_a_time() {
    for (status, creates) in [(429, 2), (500, 2), (503, 2), (409, 1), (412, 1)] {
        let lab = Lab::new().await;
        let first = lab.first().await;
        lab.relay.next("PUT", "/b", Fault::Refuse(status));
        let create = name(lab.retrying.create("b", "new").await);
        assert_eq!(create, if creates == 2 { "Ok" } else { "AlreadyExists" }, "{status}");
        assert_eq!(lab.relay.count("PUT"), creates, "{status}");

        lab.relay.take_requests();
        lab.relay.next("PUT", "/a", Fault::Refuse(status));
        let update = name(lab.retrying.update("a", &first, "second").await);
        assert_eq!(update, if status == 412 { "Precondition" } else { "Ok" }, "{status}");
    }
}

#[tokio::test]
async fn a_client_that_retries_is_told_that_it_lost_against_itself() {
    // An answer that is lost when the connection is closed counts as a request that was not sent.
    let faults = [Fault::Replace(500), Fault::Replace(503), Fault::LoseAnswer(Ending::Close)];
    for fault in faults {
        let lab = Lab::new().await;
        let first = lab.first().await;
        lab.relay.next("PUT", "/b", fault.clone());
        assert_eq!(name(lab.retrying.create("b", "new").await), "AlreadyExists");
        assert_eq!(lab.retrying.get("b").await, b"new");
        lab.relay.next("PUT", "/a", fault);
        assert_eq!(name(lab.retrying.update("a", &first, "second").await), "Precondition");
        assert_eq!(lab.retrying.get("a").await, b"second");
        assert_eq!(lab.relay.count("PUT"), 4);
    }
}

#[tokio::test]
async fn a_client_that_tries_once_is_not_told_that_it_won() {
    let faults = [
        (Fault::Replace(500), "Generic 500"),
        (Fault::Replace(409), "AlreadyExists"),
        (Fault::LoseAnswer(Ending::Close), "Generic Request"),
        (Fault::LoseAnswer(Ending::Reset), "Generic Interrupted"),
    ];
    for (fault, expected) in faults {
        let lab = Lab::new().await;
        let first = lab.first().await;
        lab.relay.all("PUT", "", fault);
        let told =
            [lab.once.create("b", "new").await, lab.once.update("a", &first, "second").await];
        for told in told.map(name) {
            assert_eq!(told, expected);
        }
        assert_eq!(lab.once.get("a").await, b"second");
        assert_eq!(lab.once.get("b").await, b"new");
        assert_eq!(lab.relay.count("PUT"), 2);
    }
}

/// A reset says that the outcome is unknown, and so the client does not try again.
#[tokio::test]
async fn a_client_that_retries_repeats_no_write_after_a_reset() {
    let faults =
        [(Fault::LoseAnswer(Ending::Reset), "Ok"), (Fault::LoseRequest(Ending::Reset), "NotFound")];
    for (fault, outcome) in faults {
        let Lab { relay, retrying, .. } = Lab::new().await;
        relay.next("PUT", "", fault);
        assert_eq!(name(retrying.create("a", "first").await), "Generic Interrupted");
        assert_eq!(relay.count("PUT"), 1);
        assert_eq!(name(retrying.store.get(&retrying.key("a")).await), outcome);
    }
}

#[tokio::test]
async fn a_client_that_retries_repeats_what_a_closed_connection_lost() {
    let Lab { relay, retrying, .. } = Lab::new().await;
    relay.next("PUT", "", Fault::LoseRequest(Ending::Close));
    retrying.create("a", "first").await.unwrap();
    assert_eq!(relay.count("PUT"), 2);
    for ending in [Ending::Close, Ending::Reset] {
        relay.next("GET", "", Fault::LoseAnswer(ending));
        assert_eq!(retrying.get("a").await, b"first");
    }
    assert_eq!(relay.count("GET"), 4);
}

#[tokio::test]
async fn a_request_that_arrives_twice_is_refused_the_second_time() {
    let lab = Lab::new().await;
    let first = lab.first().await;
    lab.relay.all("PUT", "", Fault::Twice);
    assert_eq!(name(lab.once.create("b", "new").await), "AlreadyExists");
    assert_eq!(name(lab.once.update("a", &first, "second").await), "Precondition");
    assert_eq!(lab.once.get("a").await, b"second");
    assert_eq!(lab.once.get("b").await, b"new");
}

#[tokio::test]
async fn a_create_that_arrives_again_brings_back_what_was_deleted() {
    let Lab { relay, once, .. } = Lab::new().await;
    let gate = Gate::closed();
    relay.next("PUT", "/a", Fault::Again(gate.clone()));
    once.create("a", "first").await.unwrap();
    once.store.delete(&once.key("a")).await.unwrap();
    gate.open();
    gate.passed().await;
    assert_eq!(once.get("a").await, b"first");
}

#[tokio::test]
async fn an_update_that_arrives_late_is_refused() {
    let lab = Lab::new().await;
    let first = lab.first().await;
    let gate = Gate::closed();
    lab.relay.next("PUT", "/a", Fault::Hold(gate.clone()));
    let late = {
        let (once, first) = (lab.once.clone(), first.clone());
        tokio::spawn(async move { name(once.update("a", &first, "late").await) })
    };
    gate.arrived().await;
    lab.once.update("a", &first, "second").await.unwrap();
    gate.open();
    assert_eq!(late.await.unwrap(), "Precondition");
    assert_eq!(lab.once.get("a").await, b"second");
}

#[tokio::test]
async fn an_answer_that_is_held_comes_after_what_others_did() {
    let Lab { relay, once, .. } = Lab::new().await;
    let gate = Gate::closed();
    once.put("a", "first").await;
    relay.next("GET", "/a", Fault::HoldAnswer(gate.clone()));
    let reader = {
        let once = once.clone();
        tokio::spawn(async move { once.get("a").await })
    };
    gate.arrived().await;
    once.put("a", "second").await;
    gate.open();
    assert_eq!(reader.await.unwrap(), b"first");
}

/// The client waits for 100 ms, the request for the client.
#[tokio::test]
async fn a_write_that_the_client_gave_up_may_still_be_done() {
    let Lab { relay, once, .. } = Lab::new().await;
    let store = relay.server().impatient(3, Duration::from_millis(100));
    let impatient = Bucket { store, ..once.clone() };
    let gate = Gate::closed();
    relay.next("PUT", "/a", Fault::Hold(gate.clone()));
    assert_eq!(name(impatient.create("a", "first").await), "Generic Timeout");
    assert_eq!(relay.count("PUT"), 1);
    assert_eq!(name(once.store.get(&once.key("a")).await), "NotFound");
    gate.open();
    gate.passed().await;
    assert_eq!(once.get("a").await, b"first");
}
