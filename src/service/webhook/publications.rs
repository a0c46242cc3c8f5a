//! [`PublicationWebhooks`]: tells other servers what was published.

use std::fmt;

use async_trait::async_trait;
use serde_json::json;

use super::message::WebhookMessage;
use super::outbox::WebhookOutbox;
use crate::error::Error;
use crate::publication::{Publication, PublicationStatus};
use crate::service::publish::PublicationObserver;

/// Puts a message into an outbox for each publication that was completed or failed, of the type
/// `publication.completed` or `publication.failed`.
///
/// Its data has `id`, `project`, `status`, `collection` and `title`. Whoever needs more asks the
/// service for the publication. The id of the message (`webhook-id`) follows from the publication and
/// its status, so a receiver knows one that it gets twice.
pub struct PublicationWebhooks<O>(O);

impl<O: WebhookOutbox> PublicationWebhooks<O> {
    /// Puts messages into `outbox`.
    pub const fn new(outbox: O) -> Self {
        Self(outbox)
    }
}

#[async_trait]
impl<O: WebhookOutbox> PublicationObserver for PublicationWebhooks<O> {
    /// # Errors
    /// Those of the outbox.
    async fn changed(&self, publication: &Publication) -> Result<(), Error> {
        let (status, details) = (publication.status.name(), &publication.details);
        let Some(ended_at) = publication.ended_at else { return Ok(()) };
        debug_assert_ne!(publication.status, PublicationStatus::Generating);
        let data = json!({
            "id": publication.id.to_string(),
            "project": publication.project,
            "status": status,
            "collection": details.collection,
            "title": details.title,
        });
        let message_type = format!("publication.{status}");
        let message =
            WebhookMessage::new(publication.project.as_str(), message_type, ended_at, &data)?
                .id(format!("{}-{status}", publication.id));
        self.0.enqueue(&message).await.map(drop)
    }
}

impl<O: fmt::Debug> fmt::Debug for PublicationWebhooks<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicationWebhooks").field(&self.0).finish()
    }
}
