//! Cancelled calls: [`poll_times`].

use std::pin::pin;
use std::task::Poll;

/// Polls `future` until it is ready, at most `times` times, and then drops it. Returns `None` if it
/// did not become ready.
pub(super) async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
