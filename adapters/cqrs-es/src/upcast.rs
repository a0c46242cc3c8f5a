//! Events of former releases, as cqrs-es upcasts them: one upcaster after the other.

use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, PersistenceError, SerializedEvent};
use cqrs_es::{Aggregate, EventEnvelope};

/// The upcasters of one aggregate type, in their order.
#[derive(Clone, Default)]
pub(crate) struct Upcasters(Arc<Vec<Box<dyn EventUpcaster>>>);

impl Upcasters {
    pub(crate) fn new(upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        Self(Arc::new(upcasters))
    }

    pub(crate) fn read<A: Aggregate>(
        &self,
        event: SerializedEvent,
    ) -> Result<EventEnvelope<A>, PersistenceError> {
        let mut event = event;
        for upcaster in self.0.iter() {
            if upcaster.can_upcast(&event.event_type, &event.event_version) {
                event = upcaster.upcast(event);
            }
        }
        EventEnvelope::try_from(event)
    }
}
