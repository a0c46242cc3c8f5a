//! Runs code that may panic, hang or block, so that only its case fails.

use std::any::Any;
use std::time::Duration;

use super::failure::Failure;

/// The time limit of a whole case, as a multiple of the time limit of one call.
const CALLS_PER_CASE: u32 = 20;

/// Runs `case` as a separate task, so that a panic or a blocked thread fails only this case, as a
/// breach of `promise`.
pub(super) async fn isolated<T: Send + 'static>(
    promise: &'static str,
    patience: Duration,
    case: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    let mut task = Aborted(tokio::spawn(case));
    let limit = patience.saturating_mul(CALLS_PER_CASE);
    match tokio::time::timeout(limit, &mut task.0).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(join)) => Err(panicked(promise, join)),
        Err(_) => Err(Failure::new(promise, "run the case")
            .expected(format!("the case ends within {limit:?}"))
            .got("the case is still running")),
    }
}

/// Returns the failure for a panic, as a breach of `promise`.
pub(super) fn panicked(promise: &'static str, join: tokio::task::JoinError) -> Failure {
    let text = match join.try_into_panic() {
        Ok(panic) => message(&*panic),
        Err(join) => join.to_string(),
    };
    Failure::new(promise, "run the case").expected("no panic").got(text)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "a panic".to_owned(), |text| format!("a panic: {text}"))
}

/// A task that ends when its handle is dropped.
struct Aborted<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
