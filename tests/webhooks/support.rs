//! A receiver that does what a test says, and writes down what it got.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use snapfold::engine::{Clock, ManualClock};
use snapfold::service::webhook::{
    StoreOutbox, WebhookEndpoint, WebhookMessage, WebhookOutbox as _, WebhookResponse,
    WebhookSecret, WebhookSender, WebhookTransport,
};
use snapfold::{BoxError, MemoryStore, Timestamp};

pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub fn secret() -> WebhookSecret {
    SECRET.parse().unwrap()
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + second)
}

pub fn endpoint(id: &str) -> WebhookEndpoint {
    WebhookEndpoint::new(id, "north", format!("https://{id}.example/hook"), secret())
}

pub fn message(id: &str) -> WebhookMessage {
    let data = json!({ "n": id });
    WebhookMessage::new("north", "thing.made", at(0), &data).unwrap().id(id)
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    After(u16, u64),
    Fail(&'static str),
    Hang,
}

#[derive(Debug)]
struct ReceiverState {
    /// The next replies. When there are no more, the last one stays.
    replies: VecDeque<Reply>,
    got: Vec<(String, Timestamp)>,
    requests: Vec<Request<Bytes>>,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    state: Arc<Mutex<ReceiverState>>,
    clock: ManualClock,
}

impl Receiver {
    pub fn new(clock: &ManualClock) -> Self {
        let replies = [Reply::Status(200)].into();
        let state = ReceiverState { replies, got: Vec::new(), requests: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)), clock: clock.clone() }
    }

    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies = replies.into_iter().collect();
    }

    /// The ids of all requests, in order.
    pub fn ids(&self) -> Vec<String> {
        self.state.lock().unwrap().got.iter().map(|(id, _)| id.clone()).collect()
    }

    /// After how many seconds since the first request the others came.
    pub fn seconds(&self) -> Vec<u64> {
        let got = &self.state.lock().unwrap().got;
        got.iter().map(|(_, time)| time.since(got[0].1).as_secs()).collect()
    }

    pub fn last(&self) -> Request<Bytes> {
        let state = self.state.lock().unwrap();
        let last = state.requests.last().unwrap();
        let mut request = Request::new(last.body().clone());
        *request.headers_mut() = last.headers().clone();
        *request.uri_mut() = last.uri().clone();
        *request.method_mut() = last.method().clone();
        request
    }
}

#[async_trait]
impl WebhookTransport for Receiver {
    async fn send(&self, request: Request<Bytes>) -> Result<WebhookResponse, BoxError> {
        let now = self.clock.now();
        secret().verify(request.headers(), request.body(), now).unwrap();
        let reply = {
            let mut state = self.state.lock().unwrap();
            let id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
            state.got.push((id, now));
            state.requests.push(request);
            let reply = state.replies[0].clone();
            if state.replies.len() > 1 {
                state.replies.pop_front();
            }
            reply
        };
        // As a network does.
        tokio::task::yield_now().await;
        let status = |code: u16| WebhookResponse::new(StatusCode::from_u16(code).unwrap());
        match reply {
            Reply::Status(code) => Ok(status(code)),
            Reply::After(code, seconds) => {
                let mut response = status(code);
                response.retry_after = Some(Duration::from_secs(seconds));
                Ok(response)
            }
            Reply::Fail(why) => Err(why.into()),
            Reply::Hang => std::future::pending().await,
        }
    }
}

pub struct Post {
    pub store: MemoryStore,
    pub outbox: StoreOutbox,
    pub receiver: Receiver,
    pub clock: ManualClock,
    pub sender: WebhookSender,
}

impl Post {
    /// An outbox with the endpoint `a`.
    pub async fn new() -> Self {
        let (store, clock) = (MemoryStore::new(), ManualClock::at(at(0)));
        let outbox = StoreOutbox::new(store.clone());
        outbox.put_endpoint(&endpoint("a")).await.unwrap();
        let receiver = Receiver::new(&clock);
        let sender = WebhookSender::new(outbox.clone(), receiver.clone()).clock(clock.clone());
        Self { store, outbox, receiver, clock, sender }
    }

    pub async fn enqueue(&self, ids: &[&str]) {
        for id in ids {
            assert_eq!(self.outbox.enqueue(&message(id)).await.unwrap(), 1);
        }
    }
}
