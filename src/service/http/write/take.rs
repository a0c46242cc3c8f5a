//! Taking and rebuilding the snapshot of one aggregate.

use http::StatusCode;
use http::header::{CONTENT_LOCATION, ETAG, LOCATION};
use serde_json::json;

use super::answer::{WriteAnswer, WriteOutcome};
use super::writing::Writing;
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOptions, CreateOutcome, SnapshotAdmin};
use crate::service::http::problem::HttpProblem;
use crate::service::http::snapshot_document::{document, find, id_text, resource, tag_of};

impl Writing {
    /// Takes a snapshot: 201, or 200 if it is stored already.
    pub(super) async fn take(
        &self,
        options: &CreateOptions,
        context: &AdminContext,
    ) -> WriteOutcome {
        let (key, admin) = self.aggregate()?;
        let created = admin.create(key, options.clone(), context).await?;
        self.created(key, admin, &created).await
    }

    /// Refolds the snapshot at a version, or that of the current state.
    pub(super) async fn rebuild(
        &self,
        version: Option<u64>,
        context: &AdminContext,
    ) -> WriteOutcome {
        let (key, admin) = self.aggregate()?;
        let refolded = admin.refold(key, version, context).await?;
        self.created(key, admin, &refolded).await
    }

    async fn created(
        &self,
        key: &AggregateKey,
        admin: &dyn SnapshotAdmin,
        created: &CreateOutcome,
    ) -> WriteOutcome {
        let none = || HttpProblem::not_found("no event was recorded by then");
        let meta = created.meta().ok_or_else(none)?;
        // The stored one may have other labels than the one that was taken now, and it has marks. It
        // is gone if somebody has deleted it since.
        let stored = find(admin, key, meta.id()).await?.unwrap_or_else(|| meta.clone());
        let links = self.served.links(key);
        let (name, status) = match created {
            CreateOutcome::Stored(_) => ("stored", StatusCode::CREATED),
            CreateOutcome::Replaced(_) => ("replaced", StatusCode::OK),
            _ => ("existing", StatusCode::OK),
        };
        let mut about = json!({ "outcome": name });
        if let (CreateOutcome::Existing { identical, .. }, Some(about)) =
            (created, about.as_object_mut())
        {
            about.insert("identical".to_owned(), (*identical).into());
        }
        let answer = json!({
            "jsonapi": { "version": "1.1" },
            "data": resource(&stored, &links),
            "meta": about,
        });
        let link = links.snapshot(&id_text(stored.id()));
        let place = if status == StatusCode::CREATED { LOCATION } else { CONTENT_LOCATION };
        let tag = tag_of(&document(&stored, &links));
        let answer = WriteAnswer::new(status, answer.to_string());
        Ok(answer.with(place, &link).with(ETAG, &tag))
    }
}
