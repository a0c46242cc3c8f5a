//! [`WebhookSender`]: delivers what is in an outbox.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};

use super::endpoint::WebhookEndpoint;
use super::outbox::{ClaimedWebhook, WebhookDelivery, WebhookOutbox, WebhookVerdict};
use super::report::{WebhookReport, WebhookRun};
use super::schedule::RetrySchedule;
use super::secret::seconds;
use super::transport::WebhookTransport;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::ledger::cut;

/// How much longer than an attempt a claim is valid, so that its outcome can be stored.
const SPARE: Duration = Duration::from_secs(40);
/// How many messages of an endpoint are delivered in a run, before others get their turn.
const IN_A_RUN: usize = 100;
/// How many endpoints are served at the same time.
const PARALLEL: usize = 16;
/// The longest reason that is stored, in bytes.
const MAX_REASON: usize = 500;

type ReportTo = dyn Fn(&WebhookReport<'_>) + Send + Sync;

/// Delivers the messages of an outbox. Several nodes may run one over the same outbox: a message is
/// claimed before it is sent.
///
/// Each endpoint gets its messages in order, at least once, and with the same `webhook-id` in each
/// attempt. While a message is not delivered, those after it wait.
///
/// | answer | what follows |
/// |---|---|
/// | 2xx | the next message |
/// | 410 | the endpoint is disabled |
/// | any other, an error, or none in time | the next attempt of the [schedule](RetrySchedule), not before a `Retry-After` of up to a day; after the last one, the message is dead, and the next one follows |
///
/// # Cancel safety
/// If a future is dropped, the message that was being sent is sent again once its claim has ended:
/// after the time for an attempt and 40 seconds.
pub struct WebhookSender {
    outbox: Arc<dyn WebhookOutbox>,
    transport: Arc<dyn WebhookTransport>,
    clock: Arc<dyn Clock>,
    schedule: RetrySchedule,
    attempt: Duration,
    poll: Duration,
    report_to: Arc<ReportTo>,
    is_ending: AtomicBool,
}

impl WebhookSender {
    /// Creates a sender with the schedule of the specification and 20 seconds for an attempt, which
    /// reports to nobody.
    pub fn new(
        outbox: impl WebhookOutbox + 'static,
        transport: impl WebhookTransport + 'static,
    ) -> Self {
        Self {
            outbox: Arc::new(outbox),
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock::new()),
            schedule: RetrySchedule::standard(),
            attempt: Duration::from_secs(20),
            poll: Duration::from_secs(1),
            report_to: Arc::new(|_| {}),
            is_ending: AtomicBool::new(false),
        }
    }

    /// Sets the clock by which messages are due and signed. The system's by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets when a message is sent again.
    pub fn schedule(mut self, schedule: RetrySchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets how long an attempt may take, from 1 second to 10 minutes. 20 seconds by default.
    pub fn attempt_within(mut self, time: Duration) -> Self {
        self.attempt = time.clamp(Duration::from_secs(1), Duration::from_secs(600));
        self
    }

    /// Sets how often [`run`](Self::run) asks the outbox, from 10 milliseconds to 1 hour. Each second
    /// by default.
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = every.clamp(Duration::from_millis(10), Duration::from_secs(3_600));
        self
    }

    /// Sets what is told of each attempt and of each failure of the outbox. It must be fast and must
    /// not block or panic.
    pub fn observer(mut self, report: impl Fn(&WebhookReport<'_>) + Send + Sync + 'static) -> Self {
        self.report_to = Arc::new(report);
        self
    }

    /// Delivers until `shutdown` is ready. Attempts that have begun are then made to their end, which
    /// takes no longer than an attempt may.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        self.is_ending.store(false, Ordering::Relaxed);
        loop {
            let run = Box::pin(self.run_once());
            let wait = match select(&mut shutdown, run).await {
                Either::Left(((), run)) => {
                    self.is_ending.store(true, Ordering::Relaxed);
                    let _ = run.await;
                    return;
                }
                // It has been reported.
                Either::Right((Err(_), _)) => self.poll,
                Either::Right((Ok(run), _)) => {
                    let until = run.next.map(|next| next.since(self.clock.now()));
                    until.map_or(self.poll, |until| until.min(self.poll))
                }
            };
            let wait = wait.max(Duration::from_millis(10));
            let pause = pin!(tokio::time::sleep(wait));
            if let Either::Left(_) = select(&mut shutdown, pause).await {
                return;
            }
        }
    }

    /// Sends what is due now: up to 100 messages of each endpoint.
    ///
    /// # Errors
    /// Those of the outbox, if the endpoints could not be listed. Failures that concern one endpoint
    /// are counted and reported, and the others are served.
    pub async fn run_once(&self) -> Result<WebhookRun, Error> {
        let endpoints = self.outbox.endpoints().await.inspect_err(|error| {
            (self.report_to)(&WebhookReport::OutboxFailed { endpoint: None, error });
        })?;
        let served = stream::iter(endpoints).map(|endpoint| async move {
            let mut run = WebhookRun::default();
            if let Err(error) = self.serve(&endpoint, &mut run).await {
                run.errors += 1;
                let endpoint = Some(endpoint.id.as_str());
                (self.report_to)(&WebhookReport::OutboxFailed { endpoint, error: &error });
            }
            run
        });
        let all =
            served.buffer_unordered(PARALLEL).fold(WebhookRun::default(), async |all, one| {
                WebhookRun {
                    delivered: all.delivered + one.delivered,
                    failed: all.failed + one.failed,
                    dead: all.dead + one.dead,
                    disabled: all.disabled + one.disabled,
                    errors: all.errors + one.errors,
                    next: [all.next, one.next].into_iter().flatten().min(),
                }
            });
        Ok(all.await)
    }

    async fn serve(&self, endpoint: &WebhookEndpoint, run: &mut WebhookRun) -> Result<(), Error> {
        for _ in 0..IN_A_RUN {
            if self.is_ending.load(Ordering::Relaxed) {
                return Ok(());
            }
            let now = self.clock.now();
            let until = now.saturating_add(self.attempt + SPARE);
            match self.outbox.claim(&endpoint.id, now, until).await? {
                ClaimedWebhook::Next(delivery) => {
                    if !self.deliver(endpoint, &delivery, run).await? {
                        return Ok(());
                    }
                }
                ClaimedWebhook::Later(at) => {
                    run.next = Some(at);
                    return Ok(());
                }
                ClaimedWebhook::Nothing => return Ok(()),
            }
        }
        run.next = Some(self.clock.now());
        Ok(())
    }

    /// Makes one attempt. Returns whether the next message can follow.
    async fn deliver(
        &self,
        endpoint: &WebhookEndpoint,
        delivery: &WebhookDelivery,
        run: &mut WebhookRun,
    ) -> Result<bool, Error> {
        let request = self.request(endpoint, delivery)?;
        let answer = tokio::time::timeout(self.attempt, self.transport.send(request)).await;
        let (why, asked) = match answer {
            Ok(Ok(answer)) if answer.status.is_success() => {
                self.outbox.settle(delivery, &WebhookVerdict::Delivered).await?;
                run.delivered += 1;
                (self.report_to)(&WebhookReport::Delivered(delivery));
                return Ok(true);
            }
            Ok(Ok(answer)) if answer.status == StatusCode::GONE => {
                let reason = "the receiver answered 410 Gone".to_owned();
                self.outbox.settle(delivery, &WebhookVerdict::Disable(reason)).await?;
                run.disabled += 1;
                (self.report_to)(&WebhookReport::Disabled(delivery));
                return Ok(false);
            }
            Ok(Ok(answer)) => {
                (format!("the receiver answered {}", answer.status), answer.retry_after)
            }
            Ok(Err(error)) => (format!("the request failed: {error}"), None),
            Err(_) => (format!("no answer within {:?}", self.attempt), None),
        };
        run.failed += 1;
        let why = &cut(why, MAX_REASON);
        let Some(delay) = self.schedule.delay(&delivery.message.id, delivery.attempt, asked) else {
            self.outbox.settle(delivery, &WebhookVerdict::Dead(why.to_owned())).await?;
            run.dead += 1;
            (self.report_to)(&WebhookReport::Dead { delivery, why });
            return Ok(true);
        };
        let next = self.clock.now().saturating_add(delay);
        self.outbox.settle(delivery, &WebhookVerdict::Again(next)).await?;
        run.next = Some(next);
        (self.report_to)(&WebhookReport::Failed { delivery, why, next });
        Ok(false)
    }

    /// The request of an attempt, which is signed now.
    fn request(
        &self,
        endpoint: &WebhookEndpoint,
        delivery: &WebhookDelivery,
    ) -> Result<Request<Bytes>, Error> {
        let (message, now) = (&delivery.message, self.clock.now());
        let request = Request::builder()
            .method(Method::POST)
            .uri(&endpoint.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("snapfold/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds(now))
            .header("webhook-signature", endpoint.signatures(&message.id, now, &message.body)?);
        request.body(message.body.clone()).map_err(|source| {
            let message = "the endpoint or the message has a form that no request can have";
            Error::new(ErrorKind::InvalidInput, "send a webhook", message).with_source(source)
        })
    }
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSender").field("outbox", &self.outbox).finish_non_exhaustive()
    }
}
