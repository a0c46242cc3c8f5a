//! [`Writing`]: a write that was admitted, with everything that it needs to be made.

use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use tokio::runtime::Handle;

use super::action::WriteAction;
use super::answer::{WriteAnswer, WriteOutcome};
use super::asked::{AskedFor, AskedWrite};
use super::jobs::{JobOf, WriteJob};
use super::preconditions::refuse_conditions;
use super::prefer::{PREFERENCE_APPLIED, prefers_async};
use crate::key::AggregateKey;
use crate::manager::{AdminContext, SnapshotAdmin};
use crate::service::http::problem::HttpProblem;
use crate::service::http::served::Served;
use crate::snapshot_id::SnapshotId;

/// Work over a project with more aggregates is always a job.
const MOST_AT_ONCE: usize = 100;

/// A write that was admitted, with everything that it needs to be made. It does not depend on the
/// connection of the client.
pub(crate) struct Writing {
    pub(crate) served: Arc<Served>,
    pub(crate) action: WriteAction,
    pub(crate) tenant: String,
    /// `None` if it concerns a project.
    pub(crate) key: Option<AggregateKey>,
    pub(crate) snapshot: Option<SnapshotId>,
    /// The kind; `None` for all kinds of a project.
    pub(crate) kind: Option<String>,
    /// Of the query.
    pub(crate) before: Option<u64>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The name of the principal.
    pub(crate) actor: String,
    /// For the audit trail.
    pub(crate) meta: String,
}

impl Writing {
    /// Makes the write, or starts a job that makes it.
    pub(crate) async fn run(self, runtime: &Handle) -> WriteOutcome {
        let AskedWrite { what, reason } = AskedWrite::read(self.action, &self.body, self.before)?;
        if self.action != WriteAction::Delete {
            refuse_conditions(&self.headers)?;
        }
        let context = AdminContext::new(self.actor.as_str()).reason(reason).meta(&*self.meta);
        context.check()?;
        let kinds = self.kinds()?;
        let is_wanted = self.action.can_wait() && prefers_async(&self.headers);
        let is_large = self.action.is_of_project() && self.is_large(&kinds).await?;
        if !is_wanted && !is_large {
            return self.make(&what, &context, &kinds, None).await;
        }
        let (kind, tenant) = (self.kind.clone(), self.tenant.clone());
        let of = JobOf { action: self.action, tenant, kind };
        let served = Arc::clone(&self.served);
        let job = served.writes.jobs.start(runtime, of, |job| async move {
            self.make(&what, &context, &kinds, Some(&job)).await
        })?;
        let document = job.document(&served.prefix).to_string();
        let answer = WriteAnswer::new(StatusCode::ACCEPTED, document);
        let answer = answer.with(LOCATION, &job.link(&served.prefix));
        Ok(if is_wanted { answer.with(PREFERENCE_APPLIED, "respond-async") } else { answer })
    }

    async fn make(
        &self,
        what: &AskedFor,
        context: &AdminContext,
        kinds: &[Arc<dyn SnapshotAdmin>],
        job: Option<&Arc<WriteJob>>,
    ) -> WriteOutcome {
        match what {
            AskedFor::Take(options) => self.take(options, context).await,
            AskedFor::Delete => self.delete(context).await,
            AskedFor::DeleteBefore(version) => self.delete_before(*version, context).await,
            AskedFor::Rebuild(version) => self.rebuild(*version, context).await,
            AskedFor::RebuildAll => self.each_kind(kinds, None, context, job).await,
            AskedFor::Prune(wish) => self.prune(wish, context).await,
            AskedFor::PruneAll(wish) if wish.is_dry => self.plan_all(kinds, wish, job).await,
            AskedFor::PruneAll(wish) => {
                self.each_kind(kinds, Some(&wish.policy), context, job).await
            }
        }
    }

    /// The engines of the kinds that it concerns.
    fn kinds(&self) -> Result<Vec<Arc<dyn SnapshotAdmin>>, HttpProblem> {
        let all = self.served.kinds.iter().map(Arc::clone);
        let is_of_it =
            |admin: &Arc<_>| self.kind.as_deref().is_none_or(|kind| admin_kind(admin) == kind);
        let kinds: Vec<_> = all.filter(is_of_it).collect();
        if kinds.is_empty() && self.kind.is_some() {
            return Err(HttpProblem::not_found("there is no such kind"));
        }
        Ok(kinds)
    }

    /// Whether the project has too many aggregates with snapshots for a client to wait.
    async fn is_large(&self, kinds: &[Arc<dyn SnapshotAdmin>]) -> Result<bool, HttpProblem> {
        let mut found = 0_usize;
        for admin in kinds {
            let mut cursor = None;
            loop {
                let limit = (MOST_AT_ONCE + 1).saturating_sub(found);
                let page = admin.keys(&self.tenant, cursor.as_ref(), limit).await?;
                found = found.saturating_add(page.items.len());
                if found > MOST_AT_ONCE {
                    return Ok(true);
                }
                if page.next.is_none() || page.next == cursor {
                    break;
                }
                cursor = page.next;
            }
        }
        Ok(false)
    }

    /// The aggregate that it concerns, and the engine of its kind.
    pub(crate) fn aggregate(&self) -> Result<(&AggregateKey, &dyn SnapshotAdmin), HttpProblem> {
        let none = || HttpProblem::not_found("the path names no aggregate");
        let key = self.key.as_ref().ok_or_else(none)?;
        Ok((key, &**self.served.admin(key)?))
    }
}

fn admin_kind(admin: &Arc<dyn SnapshotAdmin>) -> &str {
    admin.kind()
}
