//! Publications as events of their projects.

use async_trait::async_trait;
use serde_json::json;

use super::changes::LiveChanges;
use super::event::LiveEvent;
use crate::error::Error;
use crate::publication::Publication;
use crate::service::publish::PublicationObserver;

/// Announces publications as events `publication` of their projects, with their id, their status,
/// their collection and their title.
#[async_trait]
impl PublicationObserver for LiveChanges {
    async fn changed(&self, publication: &Publication) -> Result<(), Error> {
        let details = &publication.details;
        let event = LiveEvent::of_project("publication", publication.project.as_str())?;
        let event = event.data(&json!({
            "id": publication.id.to_string(),
            "status": publication.status.name(),
            "collection": details.collection,
            "title": details.title,
        }))?;
        self.publish(&event);
        Ok(())
    }
}
