//! A place where a request waits until a test lets it go on.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    #[default]
    Waiting,
    Arrived,
    Open,
    Passed,
}

/// A place where one request waits until a test lets it go on. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate {
    step: Arc<watch::Sender<Step>>,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets the request go on, also if it comes later.
    pub fn open(&self) {
        self.reach(Step::Open);
    }

    /// Waits until the request is at the gate.
    pub async fn arrived(&self) {
        self.wait(Step::Arrived).await;
    }

    /// Waits until the request went on, and the server answered it.
    pub async fn passed(&self) {
        self.wait(Step::Passed).await;
    }

    pub(crate) async fn go_through(&self) {
        self.reach(Step::Arrived);
        self.wait(Step::Open).await;
    }

    pub(crate) fn done(&self) {
        self.reach(Step::Passed);
    }

    fn reach(&self, step: Step) {
        self.step.send_modify(|now| *now = step.max(*now));
    }

    async fn wait(&self, step: Step) {
        let mut steps = self.step.subscribe();
        // The sender is alive: it is in `self`.
        let _ = steps.wait_for(|now| *now >= step).await;
    }
}
