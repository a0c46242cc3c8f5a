//! Waiting for the first of two futures, and hashes in place of random numbers.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use twox_hash::XxHash3_64;

pub(super) enum Winner<A, B> {
    Left(A),
    Right(B),
}

/// The result of the future that completes first; `left` if both have. The other one is dropped.
pub(super) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> Winner<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(result) = left.as_mut().poll(context) {
            return Poll::Ready(Winner::Left(result));
        }
        right.as_mut().poll(context).map(Winner::Right)
    })
    .await
}

/// The same for the same arguments on every node.
pub(super) fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    parts.iter().fold(seed, |seed, part| XxHash3_64::oneshot_with_seed(seed, part))
}
