//! [`StoreOutbox`]: an outbox in a snapshot store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::endpoint::WebhookEndpoint;
use super::message::WebhookMessage;
use super::outbox::{ClaimedWebhook, DeadWebhook, WebhookDelivery, WebhookOutbox, WebhookVerdict};
use super::stored::{
    QueueState, endpoints_to_bytes, message_to_bytes, parse_endpoints, parse_message,
};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::document::{self, Documents, Race};
use crate::store::edition::{self, Edit, Edition, Editions};
use crate::store::{Page, Selection, SnapshotStore};
use crate::timestamp::Timestamp;

/// Endpoints, and the states of queues. They are rewritten at each change.
const STATE: &str = "snapfold.webhooks";
/// The messages of an endpoint, by number.
const QUEUE: &str = "snapfold.webhook-queue";
/// Its dead messages, by number.
const DEAD: &str = "snapfold.webhook-dead";
const READ: &str = "read the outbox of webhooks";
const WRITE: &str = "write to the outbox of webhooks";
/// After this many versions of a document, the older ones are deleted.
const KEPT: u64 = 16;

/// A [`WebhookOutbox`] in any [`SnapshotStore`]: in memory, in files, in PostgreSQL or in object
/// storage, and as durable as that. Any number of nodes may use the same store at the same time.
///
/// The secrets of the endpoints are stored as they are: whoever reads the store can sign in your name.
///
/// | call | cost |
/// |---|---|
/// | [`enqueue`](WebhookOutbox::enqueue) | a read of all endpoints, and of those that want the message two reads of their state, one of their newest message, and a put |
/// | [`claim`](WebhookOutbox::claim) | a read of the state and one of the newest message; if there is one, also a read of it and of the state, and a put |
/// | [`settle`](WebhookOutbox::settle) | two reads and a put of the state, and a delete |
///
/// It is designed for some thousand endpoints: a change of one rewrites all of them. A queue may have
/// any number of messages. It grows while its receiver does not answer.
///
/// # Errors
/// Any error returned by the store, and
/// - [`CorruptStore`](ErrorKind::CorruptStore) for a damaged document,
/// - [`Unsupported`](ErrorKind::Unsupported) for a document that a newer release wrote,
/// - [`Conflict`](ErrorKind::Conflict) if a call lost the race to another node 1,000 times in a row.
#[derive(Clone)]
pub struct StoreOutbox {
    documents: Documents,
    editions: Editions,
}

impl StoreOutbox {
    /// Creates an outbox in `store`. Does not access the store yet.
    pub fn new(store: impl SnapshotStore + 'static) -> Self {
        let documents = Documents::new(Arc::new(store), READ);
        Self { editions: Editions::new(documents.clone(), WRITE), documents }
    }

    /// Changes a document. `change` returns `None` if there is nothing to change. If another node has
    /// changed the document first, `change` is called again.
    async fn change<D: Default + Send, T: Send>(
        &self,
        key: AggregateKey,
        parse: fn(&[u8]) -> Option<D>,
        to_bytes: impl Fn(&D) -> Vec<u8> + Send + Sync,
        change: impl Fn(&mut D) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error> {
        let mut race = Race::default();
        loop {
            let (from, mut content) = match self.editions.get(&key, u64::MAX).await? {
                Some(document) => edition::read(&document, &key, parse)?,
                None => (Edition::none(0), D::default()),
            };
            let Some(done) = change(&mut content) else { return Ok(None) };
            let content = to_bytes(&content);
            let edit = [Edit { key: key.clone(), from, last: u64::MAX, content }];
            if let Some(edition) = self.editions.write(&edit).await?.pop().flatten() {
                if edition.version.is_multiple_of(KEPT) {
                    self.editions.forget(&key, Selection::Below(edition.version)).await;
                }
                return Ok(Some(done));
            }
            race.lost(WRITE)?;
        }
    }

    async fn change_endpoints<T: Send>(
        &self,
        change: impl Fn(&mut Vec<WebhookEndpoint>) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error> {
        let to_bytes = |all: &Vec<WebhookEndpoint>| endpoints_to_bytes(all);
        self.change(endpoints_key()?, parse_endpoints, to_bytes, change).await
    }

    async fn change_state<T: Send>(
        &self,
        endpoint: &str,
        change: impl Fn(&mut QueueState) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Error> {
        self.change(state_key(endpoint)?, QueueState::parse, QueueState::to_bytes, change).await
    }

    /// The states of the queues with these keys.
    async fn states(&self, keys: &[AggregateKey]) -> Result<Vec<QueueState>, Error> {
        let documents = self.editions.get_many(keys).await?;
        let states = keys.iter().zip(documents).map(|(key, document)| match document {
            Some(document) => Ok(edition::read(&document, key, QueueState::parse)?.1),
            None => Ok(QueueState::default()),
        });
        states.collect()
    }

    async fn state(&self, endpoint: &str) -> Result<QueueState, Error> {
        Ok(self.states(&[state_key(endpoint)?]).await?.pop().unwrap_or_default())
    }

    /// Adds a message to these queues. Returns to how many: those of disabled endpoints are left out.
    async fn add(&self, endpoints: &[&str], message: &WebhookMessage) -> Result<usize, Error> {
        let body = message_to_bytes(message, None);
        let keys = |of: fn(&str) -> Result<AggregateKey, Error>| {
            endpoints.iter().map(|id| of(id)).collect::<Result<Vec<_>, _>>()
        };
        let states = keys(state_key)?;
        let enabled: Vec<bool> =
            self.states(&states).await?.iter().map(|state| state.disabled.is_none()).collect();
        let pairs = states.into_iter().zip(keys(queue_key)?).zip(enabled);
        let mut left: Vec<_> =
            pairs.filter(|(_, enabled)| *enabled).map(|(pair, _)| pair).collect();
        let (wanted, mut race) = (left.len(), Race::default());
        while !left.is_empty() {
            let (states, queues): (Vec<_>, Vec<_>) = left.iter().cloned().unzip();
            let newest = self.documents.get_many(&queues).await?;
            let known = self.states(&states).await?;
            let numbers = newest.iter().zip(known).map(|(newest, state)| {
                // A number that was used is not used again, also once its message is deleted.
                newest.as_ref().map_or(0, |it| it.version).saturating_add(1).max(state.next)
            });
            let numbers: Vec<u64> = numbers.collect();
            let puts = queues.iter().zip(&numbers);
            let puts: Vec<_> = puts.map(|(key, n)| (key.clone(), *n, body.clone())).collect();
            let stored = self.documents.put(&puts).await?;
            // A node that stalled may have put a number that was delivered and deleted meanwhile.
            // Nobody would look there, so it is put again. Then it may be delivered twice.
            let known = self.states(&states).await?;
            let is_queued = stored.iter().zip(known).zip(numbers);
            let mut is_queued = is_queued.map(|((stored, state), n)| *stored && state.next <= n);
            left.retain(|_| !is_queued.next().unwrap_or(false));
            if !left.is_empty() {
                race.lost(WRITE)?;
            }
        }
        Ok(wanted)
    }

    /// The message with this number in the queue or among the dead, if it is there.
    async fn message(
        &self,
        key: &AggregateKey,
        number: u64,
    ) -> Result<Option<(WebhookMessage, Option<String>)>, Error> {
        let found = self.documents.get(key, number).await?;
        let found = found.filter(|found| found.version == number);
        found.map(|found| found.read(key, parse_message)).transpose()
    }
}

fn endpoints_key() -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", STATE, "endpoints")
}

fn state_key(endpoint: &str) -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", STATE, &format!("queue {endpoint}"))
}

fn queue_key(endpoint: &str) -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", QUEUE, endpoint)
}

fn dead_key(endpoint: &str) -> Result<AggregateKey, Error> {
    AggregateKey::reserved("", DEAD, endpoint)
}

#[async_trait]
impl WebhookOutbox for StoreOutbox {
    async fn put_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), Error> {
        endpoint.check()?;
        let put = |all: &mut Vec<WebhookEndpoint>| {
            all.retain(|one| one.id != endpoint.id);
            all.push(endpoint.clone());
            all.sort_by(|a, b| a.id.cmp(&b.id));
            Some(())
        };
        self.change_endpoints(put).await.map(drop)
    }

    async fn endpoints(&self) -> Result<Vec<WebhookEndpoint>, Error> {
        let key = endpoints_key()?;
        match self.editions.get(&key, u64::MAX).await? {
            Some(document) => Ok(edition::read(&document, &key, parse_endpoints)?.1),
            None => Ok(Vec::new()),
        }
    }

    async fn remove_endpoint(&self, id: &str) -> Result<bool, Error> {
        let remove = |all: &mut Vec<WebhookEndpoint>| {
            let before = all.len();
            all.retain(|one| one.id != id);
            (all.len() < before).then_some(())
        };
        let removed = self.change_endpoints(remove).await?.is_some();
        // Also if it was removed before, so that a call that was interrupted can be repeated.
        let queue = queue_key(id)?;
        let newest = self.documents.get(&queue, u64::MAX).await?.map_or(0, |it| it.version);
        let empty = |state: &mut QueueState| {
            let before = state.clone();
            state.begin_anew();
            state.next = state.next.max(newest.saturating_add(1));
            state.disabled = None;
            (*state != before).then_some(())
        };
        // Also without messages: the endpoint may be disabled.
        self.change_state(id, empty).await?;
        if newest > 0 {
            self.documents.forget(&queue, Selection::Below(newest.saturating_add(1))).await;
        }
        Ok(removed)
    }

    async fn disable_endpoint(&self, id: &str, reason: Option<&str>) -> Result<bool, Error> {
        if !self.endpoints().await?.iter().any(|one| one.id == id) {
            return Ok(false);
        }
        let set = |state: &mut QueueState| {
            if reason.is_none() {
                state.begin_anew();
            }
            state.disabled = reason.map(str::to_owned);
            Some(())
        };
        self.change_state(id, set).await?;
        Ok(true)
    }

    async fn disabled(&self, id: &str) -> Result<Option<String>, Error> {
        Ok(self.state(id).await?.disabled)
    }

    async fn enqueue(&self, message: &WebhookMessage) -> Result<usize, Error> {
        message.check()?;
        let endpoints = self.endpoints().await?;
        let wants = |one: &&WebhookEndpoint| {
            one.tenant == message.tenant && one.wants(&message.message_type)
        };
        let wanted: Vec<_> = endpoints.iter().filter(wants).map(|one| one.id.as_str()).collect();
        self.add(&wanted, message).await
    }

    async fn claim(
        &self,
        endpoint: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<ClaimedWebhook, Error> {
        let state = self.state(endpoint).await?;
        let ready = state.due.max(state.claimed_until);
        if state.disabled.is_some() {
            return Ok(ClaimedWebhook::Nothing);
        }
        let key = queue_key(endpoint)?;
        let newest = self.documents.get(&key, u64::MAX).await?;
        let Some(newest) = newest.filter(|newest| newest.version >= state.next) else {
            return Ok(ClaimedWebhook::Nothing);
        };
        let found = if newest.version == state.next {
            Some(newest.read(&key, parse_message)?)
        } else {
            self.message(&key, state.next).await?
        };
        let Some((message, _)) = found else {
            if self.state(endpoint).await? != state {
                // Somebody else has delivered and deleted it.
                return Ok(ClaimedWebhook::Later(now));
            }
            return Err(Error::new(
                ErrorKind::CorruptStore,
                "claim a webhook",
                format!("message {} of {endpoint} is missing: restore it", state.next),
            ));
        };
        if ready > now {
            return Ok(ClaimedWebhook::Later(ready));
        }
        let claim = |found: &mut QueueState| {
            if *found != state {
                return None;
            }
            found.token = found.token.saturating_add(1);
            found.claimed_until = until;
            Some(found.token)
        };
        let Some(token) = self.change_state(endpoint, claim).await? else {
            // Somebody else was faster. It is asked again soon.
            return Ok(ClaimedWebhook::Later(now));
        };
        let attempt = state.attempts.saturating_add(1);
        let numbers = (state.next, attempt, token);
        Ok(ClaimedWebhook::Next(WebhookDelivery::new(endpoint, numbers, message)))
    }

    async fn settle(
        &self,
        delivery: &WebhookDelivery,
        verdict: &WebhookVerdict,
    ) -> Result<bool, Error> {
        let (endpoint, number) = (delivery.endpoint.as_str(), delivery.number);
        if let WebhookVerdict::Dead(reason) = verdict {
            let state = self.state(endpoint).await?;
            if state.token != delivery.token || state.next != number {
                return Ok(false);
            }
            // Before it leaves the queue. If it is put twice, the first one stays.
            let body = message_to_bytes(&delivery.message, Some(reason));
            self.documents.put(&[(dead_key(endpoint)?, number, body)]).await?;
        }
        let settle = |state: &mut QueueState| {
            if state.token != delivery.token || state.next != number {
                return None;
            }
            state.begin_anew();
            match verdict {
                WebhookVerdict::Again(at) => {
                    (state.attempts, state.due) = (delivery.attempt, *at);
                }
                WebhookVerdict::Delivered | WebhookVerdict::Dead(_) => {
                    state.next = state.next.saturating_add(1);
                }
                WebhookVerdict::Disable(reason) => state.disabled = Some(reason.clone()),
            }
            Some(state.next)
        };
        let Some(next) = self.change_state(endpoint, settle).await? else { return Ok(false) };
        if next > number {
            self.documents.forget(&queue_key(endpoint)?, Selection::Below(next)).await;
        }
        Ok(true)
    }

    async fn dead(
        &self,
        endpoint: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<DeadWebhook, u64>, Error> {
        let (key, limit) = (dead_key(endpoint)?, limit.clamp(1, 1_000));
        let mut at_most = before.map_or(u64::MAX, |before| before.saturating_sub(1));
        let mut items = Vec::new();
        while items.len() < limit && at_most > 0 {
            let Some(found) = self.documents.get(&key, at_most).await? else { break };
            let (message, reason) = found.read(&key, parse_message)?;
            items.push(DeadWebhook::new(found.version, reason.unwrap_or_default(), message));
            at_most = found.version.saturating_sub(1);
        }
        let next = items.last().map(|last| last.number).filter(|_| items.len() == limit);
        Ok(Page::new(items, next))
    }

    async fn send_again(&self, endpoint: &str, number: u64) -> Result<bool, Error> {
        let key = dead_key(endpoint)?;
        let Some((message, _)) = self.message(&key, number).await? else { return Ok(false) };
        if self.add(&[endpoint], &message).await? == 0 {
            return Err(Error::new(
                ErrorKind::Conflict,
                "send a webhook again",
                format!("{endpoint} is disabled: enable it first"),
            ));
        }
        self.documents.forget(&key, Selection::Ids(&[document::id(number)])).await;
        Ok(true)
    }
}

impl fmt::Debug for StoreOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOutbox").finish_non_exhaustive()
    }
}
