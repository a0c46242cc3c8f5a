//! Who is told of publications: clients that listen, other servers, and observers that fail.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use http::Request;
use http_body::Body as _;
use serde_json::{Value, json};
use snapfold::artifact::MemoryArtifacts;
use snapfold::publication::{
    Publication, PublicationDetails, PublicationStatus, StorePublications,
};
use snapfold::service::http::LiveChanges;
use snapfold::service::publish::{PublicationObserver, PublishRequest, Publisher};
use snapfold::{Error, ErrorKind, MemoryStore};
use tower_service::Service as _;

use crate::support::Shop;

/// Fails at the first calls.
#[derive(Clone, Debug, Default)]
struct Failing {
    calls: Arc<AtomicUsize>,
    completed: Arc<AtomicUsize>,
}

#[async_trait]
impl PublicationObserver for Failing {
    async fn changed(&self, publication: &Publication) -> Result<(), Error> {
        if publication.status == PublicationStatus::Completed {
            if self.calls.fetch_add(1, Ordering::Relaxed) < 2 {
                return Err(Error::new(ErrorKind::Store, "tell", "the outbox is full"));
            }
            self.completed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn publisher(observer: impl PublicationObserver + 'static) -> Publisher {
    let publications = StorePublications::new(MemoryStore::new());
    let artifacts = Arc::new(MemoryArtifacts::new());
    Publisher::builder(Arc::new(publications), artifacts).observer(observer).build().unwrap()
}

fn request() -> PublishRequest {
    let mut details = PublicationDetails::default();
    details.title = Some("a \"title\"\n</script>".to_owned());
    PublishRequest::new(details)
}

#[tokio::test]
async fn a_call_that_is_repeated_tells_those_who_were_not_told() {
    let failing = Failing::default();
    let publisher = publisher(failing.clone());
    let id = publisher.publish("north", request(), "ci").await.unwrap().publication.id;
    for _ in 0..2 {
        assert!(publisher.finalize("north", id, "ci").await.is_err());
        let stored = publisher.get("north", id).await.unwrap().unwrap();
        assert_eq!(stored.status, PublicationStatus::Completed);
    }
    assert_eq!(failing.completed.load(Ordering::Relaxed), 0);
    publisher.finalize("north", id, "ci").await.unwrap();
    assert_eq!(failing.completed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn clients_that_listen_to_a_project_hear_of_its_publications() {
    let changes = LiveChanges::new().unwrap();
    let publisher = publisher(changes.clone());
    let delivery = Shop::new().builder().live(changes).open_to_everybody().build().unwrap();
    let listen = |project: &str| {
        let request = Request::get(format!("/projects/{project}/events"));
        delivery.clone().call(request.body(String::new()).unwrap())
    };
    let mut north = listen("north").await.unwrap().into_body();
    let _south = listen("south").await.unwrap();
    let mut heard = String::new();
    let id = publisher.publish("north", request(), "ci").await.unwrap().publication.id;
    publisher.finalize("north", id, "ci").await.unwrap();
    while heard.matches("event: publication").count() < 2 {
        let frame = poll_fn(|context| Pin::new(&mut north).poll_frame(context)).await;
        heard += str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap();
    }
    let data = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    let data: Vec<Value> = data.map(|line| serde_json::from_str(line).unwrap()).collect();
    for (told, status) in data.iter().zip(["generating", "completed"]) {
        let title = "a \"title\"\n</script>";
        let expected = json!({
            "id": id.to_string(), "status": status, "collection": null, "title": title
        });
        assert_eq!(told["data"], expected);
    }
    assert_eq!(data.len(), 2);
}

#[cfg(feature = "webhooks")]
#[tokio::test]
async fn other_servers_get_the_same_message_however_often_a_publication_is_told() {
    use snapfold::Timestamp;
    use snapfold::service::webhook::{
        ClaimedWebhook, PublicationWebhooks, StoreOutbox, WebhookEndpoint, WebhookOutbox,
        WebhookSecret, WebhookVerdict,
    };

    let outbox = StoreOutbox::new(MemoryStore::new());
    let url = "https://example.com/hook";
    let secret = WebhookSecret::generate().unwrap();
    outbox.put_endpoint(&WebhookEndpoint::new("e", "north", url, secret)).await.unwrap();
    let publisher = publisher(PublicationWebhooks::new(outbox.clone()));
    let id = publisher.publish("north", request(), "ci").await.unwrap().publication.id;
    for _ in 0..2 {
        publisher.finalize("north", id, "ci").await.unwrap();
    }
    let mut ids = Vec::new();
    loop {
        let now = Timestamp::from_seconds(0);
        let claimed = outbox.claim("e", now, now).await.unwrap();
        let ClaimedWebhook::Next(delivery) = claimed else { break };
        let body: Value = serde_json::from_slice(&delivery.message.body).unwrap();
        assert_eq!(body["type"], "publication.completed");
        assert_eq!(
            (&body["data"]["id"], &body["data"]["project"]),
            (&json!(id.to_string()), &json!("north"))
        );
        ids.push(delivery.message.id.clone());
        assert!(outbox.settle(&delivery, &WebhookVerdict::Delivered).await.unwrap());
    }
    // The receiver sees that the second one is the same.
    assert_eq!(ids, [format!("{id}-completed"), format!("{id}-completed")]);
}
