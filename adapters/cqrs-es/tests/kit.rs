//! The kit for event sources, over a repository of cqrs-es.

use std::sync::Arc;

use async_trait::async_trait;
use cqrs_es::persist::SerializedEvent;
use snapfold::conformance::{self, EventSite, Kept, NewEvent, event_sites};
use snapfold::{AggregateKey, BoxError, EventSource};
use snapfold_cqrs_es::doc::{Account, AccountEvent, Repository};
use snapfold_cqrs_es::{RepositoryEvents, State};

#[derive(Default)]
struct Site(Repository);

#[async_trait]
impl EventSite<State<Account>> for Site {
    fn source(&self) -> Arc<dyn EventSource<State<Account>>> {
        Arc::new(RepositoryEvents::<_, Account>::new(self.0.clone()))
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        for event in events {
            let payload = AccountEvent::Deposited { cents: event.number.try_into()? };
            self.0.add(SerializedEvent::new(
                key.id().to_owned(),
                event.version.try_into()?,
                key.kind().to_owned(),
                "Deposited".to_owned(),
                "2.0".to_owned(),
                serde_json::to_value(payload)?,
                serde_json::json!({}),
            ));
        }
        Ok(())
    }

    fn number(&self, event: &AccountEvent) -> Option<u64> {
        match event {
            AccountEvent::Deposited { cents } => u64::try_from(*cents).ok(),
            AccountEvent::Withdrawn { .. } => None,
        }
    }

    /// No event has a time.
    fn keeps(&self) -> Kept {
        Kept::default().times(false).untimed(true)
    }
}

#[tokio::test]
async fn the_events_of_a_repository_meet_the_obligations_of_a_source() {
    let card = conformance::event_source(&event_sites(Site::default)).await;
    println!("{card}");
    card.into_result().unwrap();
}
