//! One stored snapshot, without its payload.

use http::Response;

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::snapshot_document::{document, find};

impl Admitted<'_> {
    /// The snapshot of the path, as the list shows it. Its entity tag is the one that conditions of a
    /// deletion name.
    pub(super) async fn snapshot(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let none = || HttpProblem::not_found("there is no such snapshot: list the snapshots");
        let (key, admin) = self.aggregate()?;
        let id = self.permit.target().snapshot.ok_or_else(none)?;
        let meta = find(&**admin, key, id).await?.ok_or_else(none)?;
        self.other(self.media.name(), document(&meta, &self.served.links(key)))
    }
}
