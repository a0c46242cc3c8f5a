//! [`PublicationObserver`]: is told what becomes of publications.

use std::fmt;

use crate::error::Error;
use crate::publication::Publication;

/// Is told what becomes of publications. Calls must be short and must not block: pass on what they
/// say to a queue.
///
/// A change is told after it is durable, by the node that made it, in the order in which this node
/// made its changes of one publication. A process that ends between the change and the call tells
/// nobody, and so does a call to a [`Publisher`](super::Publisher) whose future is dropped. What is
/// stored is the truth.
pub trait PublicationObserver: fmt::Debug + Send + Sync {
    /// A publication was begun, completed or failed.
    fn changed(&self, publication: &Publication);

    /// The audit trail could not be written. What was to be recorded has happened.
    fn unrecorded(&self, publication: &Publication, error: &Error) {
        let _ = (publication, error);
    }
}
