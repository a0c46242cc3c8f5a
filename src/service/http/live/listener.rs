//! [`LiveListener`]: a position in a ring.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::changes::{LiveChanges, LiveHub, lock_ring};
use super::ring::{LiveRing, LiveStep, WantedEvents, id, parse_id};

/// A position in the ring of a tenant. Leaves the ring when it is dropped.
pub(super) struct LiveListener {
    hub: Arc<LiveHub>,
    tenant: String,
    ring: Arc<Mutex<LiveRing>>,
    wanted: WantedEvents,
    epoch: u64,
    position: u64,
    woken: Arc<Notify>,
}

impl LiveListener {
    /// Listens to the wanted events of a tenant: after the one whose id is `last`, or from now on.
    /// Also returns whether it is from now on although there is a `last`.
    pub(super) fn new(
        changes: &LiveChanges,
        tenant: &str,
        wanted: WantedEvents,
        last: Option<&str>,
    ) -> (Self, bool) {
        let hub = Arc::clone(changes.hub());
        let (ring, (epoch, position, woken)) = hub.enter(tenant, |ring| {
            let woken = ring.listen(&wanted);
            let known = last.and_then(parse_id).filter(|(epoch, _)| *epoch == ring.epoch());
            let known = known.map(|(_, number)| number).filter(|number| {
                // Whether there is an event does not matter here, only whether one is missing.
                !matches!(ring.after(&wanted, *number), LiveStep::Gap(_))
            });
            (ring.epoch(), known.ok_or(ring.head()), woken)
        });
        let has_gap = last.is_some() && position.is_err();
        let position = position.unwrap_or_else(|head| head);
        let tenant = tenant.to_owned();
        (Self { hub, tenant, ring, wanted, epoch, position, woken }, has_gap)
    }

    /// What wakes it. Begin to wait before the [next](Self::next) step is asked for.
    pub(super) fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }

    /// The next step, after which it stands.
    pub(super) fn next(&mut self) -> LiveStep {
        let step = lock_ring(&self.ring).after(&self.wanted, self.position);
        self.position = match step {
            LiveStep::Event(_, at) | LiveStep::Gap(at) | LiveStep::Idle(at) => at,
        };
        step
    }

    /// The id of where it stands. A client that sends it later misses nothing.
    pub(super) fn id(&self) -> String {
        id(self.epoch, self.position)
    }
}

impl Drop for LiveListener {
    fn drop(&mut self) {
        self.hub.leave(&self.tenant, &self.ring, |ring| ring.leave(&self.wanted));
    }
}
