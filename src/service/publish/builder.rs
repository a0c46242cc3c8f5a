//! [`PublisherBuilder`].

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::observer::PublicationObserver;
use super::options::PublishOptions;
use super::pending_room::PendingRoom;
use super::publisher::{Publisher, PublisherParts};
use super::record_intake::RecordIntake;
use crate::artifact::ArtifactStore;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::publication::PublicationStore;
use crate::store::SnapshotStore;

/// Builds a [`Publisher`].
pub struct PublisherBuilder {
    publications: Arc<dyn PublicationStore>,
    artifacts: Arc<dyn ArtifactStore>,
    options: PublishOptions,
    clock: Arc<dyn Clock>,
    observers: Vec<Arc<dyn PublicationObserver>>,
    ledger: Option<Arc<dyn Ledger>>,
    records: Option<RecordIntake>,
}

impl Publisher {
    /// Returns a builder.
    pub fn builder(
        publications: Arc<dyn PublicationStore>,
        artifacts: Arc<dyn ArtifactStore>,
    ) -> PublisherBuilder {
        PublisherBuilder::new(publications, artifacts)
    }
}

impl PublisherBuilder {
    fn new(publications: Arc<dyn PublicationStore>, artifacts: Arc<dyn ArtifactStore>) -> Self {
        Self {
            publications,
            artifacts,
            options: PublishOptions::new(),
            clock: Arc::new(SystemClock::new()),
            observers: Vec::new(),
            ledger: None,
            records: None,
        }
    }

    /// Sets the limits.
    pub fn options(mut self, options: PublishOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the clock by which publications expire. The system's by default. It should agree with
    /// that of the artifact store to within a few minutes.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Tells an observer about each change, after those that were added before.
    pub fn observer(mut self, observer: impl PublicationObserver + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Writes to the audit trail of the project who began, completed and gave up each publication,
    /// and which ones expired. The entry is written after the change. If that fails, the change
    /// remains, and the [observers](PublicationObserver::unrecorded) are told.
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// Puts artifacts of the type `application/vnd.snapfold.record` into a store of snapshots when
    /// their publication is completed, if they are of one of these kinds and of the project.
    ///
    /// The snapshots are [retired](crate::store::MarkKind::Retirement) under the name `published`:
    /// no load uses them before somebody has refolded them from the events. So nobody outside
    /// defines a state. The store has to support marks. Without this, such an artifact is one like
    /// any other.
    pub fn records<K: Into<String>>(
        mut self,
        store: impl SnapshotStore + 'static,
        kinds: impl IntoIterator<Item = K>,
    ) -> Self {
        let kinds = kinds.into_iter().map(Into::into).collect();
        self.records = Some(RecordIntake { store: Arc::new(store), kinds });
        self
    }

    /// Builds the publisher.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if an option exceeds its limit.
    pub fn build(self) -> Result<Publisher, Error> {
        self.options.check()?;
        Ok(Publisher(Arc::new(PublisherParts {
            room: PendingRoom::default(),
            places: Semaphore::new(self.options.undeclared_at_once),
            publications: self.publications,
            artifacts: self.artifacts,
            options: self.options,
            clock: self.clock,
            observers: self.observers,
            ledger: self.ledger,
            records: self.records,
        })))
    }
}

impl fmt::Debug for PublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
