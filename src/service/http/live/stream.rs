//! [`LiveStream`]: the events of one client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::listener::LiveListener;
use super::open_streams::{OpenStreams, StreamPermit};
use super::ring::{LiveStep, WantedEvents};
use super::streams::LiveStreams;
use crate::error::Error;
use crate::service::http::guard::StillAdmitted;
use crate::service::http::problem::HttpProblem;

/// Makes the events of one client while they are sent. What it holds is freed when it is dropped.
pub(crate) struct LiveStream {
    listener: LiveListener,
    keep_alive: Duration,
    recheck: Duration,
    ends: Instant,
    /// When something was sent last, and when the client was last found to be allowed.
    sent: Instant,
    checked: Instant,
    standing: Option<StillAdmitted>,
    /// The first block, until it is sent.
    first: Option<Bytes>,
    _open: StreamPermit,
}

impl LiveStream {
    /// Opens a stream of the wanted events of a tenant, after the id `last`, for a principal, whose
    /// name is empty for everybody.
    pub(crate) fn open(
        streams: &LiveStreams,
        open: &OpenStreams,
        (name, standing): (&str, Option<StillAdmitted>),
        (tenant, wanted): (&str, WantedEvents),
        last: Option<&str>,
    ) -> Result<Self, HttpProblem> {
        let permit = open.open(name, streams)?;
        let (listener, has_gap) = LiveListener::new(&streams.changes, tenant, wanted, last);
        let gap = if has_gap { GAP } else { "\n" };
        let first = format!("retry: {}\nid: {}\n{gap}", retry_ms(), listener.id());
        let now = Instant::now();
        Ok(Self {
            listener,
            keep_alive: streams.keep_alive,
            recheck: streams.recheck,
            ends: now + streams.duration,
            sent: now,
            checked: now,
            standing,
            first: Some(first.into()),
            _open: permit,
        })
    }

    /// The events as a body.
    pub(crate) fn chunks(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        // The state moves with each step, so it is small: it is in a box.
        let next = |mut it: Box<Self>| async { Some((Ok(it.next().await?), it)) };
        stream::unfold(Box::new(self), next).fuse()
    }

    /// The next block; `None` if the stream ends. Nothing is lost if it is dropped.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let woken = self.listener.woken();
        loop {
            let now = Instant::now();
            if now >= self.ends {
                return None;
            }
            if let Some(standing) = &self.standing
                && now >= self.checked + self.recheck
            {
                if !Box::pin(standing.holds()).await {
                    return None;
                }
                self.checked = Instant::now();
            }
            // It begins to wait first, so an event that is put into the ring meanwhile wakes it.
            let next_one = woken.notified();
            match self.listener.next() {
                LiveStep::Event(text, _) => {
                    self.sent = now;
                    return Some(text);
                }
                LiveStep::Gap(_) => {
                    self.sent = now;
                    return Some(format!("id: {}\n{GAP}", self.listener.id()).into());
                }
                LiveStep::Idle(_) => {}
            }
            let alive = self.sent + self.keep_alive;
            if now >= alive {
                self.sent = now;
                return Some(format!(":\nid: {}\n\n", self.listener.id()).into());
            }
            let until = alive.min(self.ends);
            let until = match &self.standing {
                Some(_) => until.min(self.checked + self.recheck),
                None => until,
            };
            // Either way, it looks again.
            let _ = timeout_at(until, next_one).await;
        }
    }
}

/// The end of a block that says that events were missed.
const GAP: &str = "event: gap\ndata: {}\n\n";

/// After how many milliseconds a client connects again: from 1,000 to 2,999, so that not all come
/// back at once after a restart.
fn retry_ms() -> u64 {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    let number = STREAMS.fetch_add(1, Ordering::Relaxed);
    1_000 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 2_000
}
