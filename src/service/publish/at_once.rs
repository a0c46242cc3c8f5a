//! Publishing what is stored already, in one step for the caller.

use super::publisher::Publisher;
use super::refusal::{PublishError, PublishRefusal};
use super::request::{PublishRequest, Published};
use crate::publication::PublicationFailure;

impl Publisher {
    /// Begins a publication whose artifacts are stored, and completes it. If that is refused, the
    /// publication has failed, and nobody sees it.
    pub(crate) async fn publish_at_once(
        &self,
        project: &str,
        request: PublishRequest,
        by: &str,
    ) -> Result<Published, PublishError> {
        let mut published = self.publish(project, request, by).await?;
        let id = published.publication.id;
        match self.finalize(project, id, by).await {
            Ok(completed) => published.publication = completed,
            Err(error) => {
                let is_final = matches!(
                    error,
                    PublishError::Refused(PublishRefusal::Incomplete(_) | PublishRefusal::Removing)
                );
                if is_final && let Some(pending) = self.get(project, id).await? {
                    // If somebody else has changed it, the same request was sent twice.
                    self.end(pending, PublicationFailure::Refused, by).await?;
                }
                return Err(error);
            }
        }
        Ok(published)
    }
}
