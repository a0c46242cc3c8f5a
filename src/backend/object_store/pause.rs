//! [`Pause`]: waits between repetitions.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits between the repetitions of a request: a random time each, up to twice as long as before.
#[derive(Debug)]
pub(super) struct Pause {
    at_most: Duration,
}

impl Pause {
    pub(super) const fn new() -> Self {
        Self { at_most: FIRST }
    }

    /// Waits. The caller bounds the whole time.
    pub(super) async fn wait(&mut self) {
        let wait = self.at_most.mul_f64(fastrand::f64());
        self.at_most = LONGEST.min(2 * self.at_most);
        tokio::time::sleep(wait).await;
    }
}
