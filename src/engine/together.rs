//! [`together`]: several futures at once, on the caller's task.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Runs the futures at the same time. Returns their outputs in order. If the returned future is
/// dropped, all of them are.
pub(super) async fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<(usize, Pin<Box<F>>)> =
        futures.into_iter().map(Box::pin).enumerate().collect();
    let mut done = Vec::with_capacity(running.len());
    poll_fn(|context| {
        running.retain_mut(|(place, future)| match future.as_mut().poll(context) {
            Poll::Ready(output) => {
                done.push((*place, output));
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn all_run_at_once_and_their_outputs_are_in_order() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let work = (0..20_usize).map(|n| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                for _ in n..20 {
                    tokio::task::yield_now().await;
                }
                running.set(running.get() - 1);
                n
            }
        });
        assert_eq!(together(work.collect()).await, (0..20).collect::<Vec<_>>());
        assert_eq!((running.get(), most.get()), (0, 20));
        assert!(together(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }
}
