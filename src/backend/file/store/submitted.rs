//! [`Submitted`]: a write that has been queued.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::backend::file::write::queue::Queue;
use crate::backend::file::write::work::Answer;
use crate::error::{Error, ErrorKind, Retry};

/// Queued work, as a future of its outcome.
///
/// The work of several futures is written together when the first one is awaited or dropped, so
/// queue everything first and then await the futures. Dropping a future does not cancel its work.
#[must_use = "queued work is written when this is awaited or dropped"]
pub(crate) struct Submitted {
    queue: Arc<Queue>,
    answer: oneshot::Receiver<Result<Answer, Error>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    /// Other tasks of the runtime have had a chance to queue their work.
    Yielded,
    Started,
}

impl Submitted {
    pub(crate) fn new(
        queue: Arc<Queue>,
        answer: oneshot::Receiver<Result<Answer, Error>>,
        started: bool,
    ) -> Self {
        Self { queue, answer, stage: if started { Stage::Started } else { Stage::Queued } }
    }
}

impl Future for Submitted {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.stage {
            Stage::Queued => {
                self.stage = Stage::Yielded;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Stage::Yielded => {
                self.stage = Stage::Started;
                self.queue.start();
            }
            Stage::Started => {}
        }
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                let message =
                    "the store was closed before it confirmed the write: check what was stored";
                Err(Error::new(ErrorKind::Store, "write to the log", message)
                    .with_retry(Retry::Unknown))
            })
        })
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        if self.stage != Stage::Started {
            self.queue.start();
        }
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("stage", &self.stage).finish_non_exhaustive()
    }
}
