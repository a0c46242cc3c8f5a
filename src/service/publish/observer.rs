//! [`PublicationObserver`]: is told what becomes of publications.

use std::fmt;

use async_trait::async_trait;

use crate::error::Error;
use crate::publication::Publication;

/// Is told what becomes of publications: [`LiveChanges`] sends it to clients, and
/// [`PublicationWebhooks`] to other servers.
///
/// A change is told after it is durable, by the node that made it, and the call that made it waits.
/// If the observer fails, so does that call, and the change remains. A client that then repeats
/// [`finalize`](super::Publisher::finalize) lets the observers be told again. So each completed
/// publication is told at least once, unless its client gives up before it has an answer. That one
/// has failed may never be told, if the process ends at that moment.
///
/// [`LiveChanges`]: crate::service::http::LiveChanges
/// [`PublicationWebhooks`]: crate::service::webhook::PublicationWebhooks
#[async_trait]
pub trait PublicationObserver: fmt::Debug + Send + Sync {
    /// A publication was begun, completed or failed.
    ///
    /// # Errors
    /// Whatever the caller should repeat the call for.
    async fn changed(&self, publication: &Publication) -> Result<(), Error>;

    /// The audit trail could not be written. What was to be recorded has happened.
    fn unrecorded(&self, publication: &Publication, error: &Error) {
        let _ = (publication, error);
    }
}
