//! [`Audited`]: a change and its entry in the audit trail.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::core::{EngineCore, check_kind};
use super::observer::Observation;
use super::recorder::Noted;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditOutcome, ScheduleKey, cut};
use crate::manager::{AdminContext, CreateOutcome};
use crate::state::Aggregate;
use crate::store::ListRequest;

/// A call that changes something. Its audit entry is written when this value is dropped.
pub(super) struct Audited<'a, A: Aggregate> {
    core: &'a Arc<EngineCore<A>>,
    /// At most [`AuditEntry::MAX_NAME_BYTES`] long.
    action: Cow<'static, str>,
    /// `None` if the change applies to all aggregates of the kind.
    key: Option<&'a AggregateKey>,
    tenant: &'a str,
    version: Option<u64>,
    context: &'a AdminContext,
    /// By the monotonic clock.
    started: Duration,
    /// How long the change took, if it was made together with others.
    took: Option<Duration>,
    /// `None` if there was nothing to do, which leaves no entry.
    outcome: Option<AuditOutcome>,
}

/// Begins a change to the snapshots of `key`.
pub(super) fn audited<'a, A: Aggregate>(
    core: &'a Arc<EngineCore<A>>,
    action: impl Into<Cow<'static, str>>,
    key: &'a AggregateKey,
    version: Option<u64>,
    context: &'a AdminContext,
) -> Audited<'a, A> {
    let (action, tenant) = (action.into(), key.tenant());
    let (started, took) = (core.clock.monotonic(), None);
    let (key, outcome) = (Some(key), Some(cancelled()));
    Audited { core, action, key, tenant, version, context, started, took, outcome }
}

/// Begins a change to a schedule. If the schedule is for a whole kind, the action names the kind.
pub(super) fn audited_schedule<'a, A: Aggregate>(
    core: &'a Arc<EngineCore<A>>,
    action: &'static str,
    key: &'a ScheduleKey,
    context: &'a AdminContext,
) -> Audited<'a, A> {
    if let Some(key) = key.as_aggregate() {
        return audited(core, action, key, None, context);
    }
    let action = cut(format!("{action} {}", key.kind()), AuditEntry::MAX_NAME_BYTES);
    let (action, tenant) = (action.into(), key.tenant());
    let (started, took) = (core.clock.monotonic(), None);
    let (key, version, outcome) = (None, None, Some(cancelled()));
    Audited { core, action, key, tenant, version, context, started, took, outcome }
}

impl<A: Aggregate> Audited<'_, A> {
    /// Makes the change if [`admit`](Self::admit) allows it.
    pub(super) async fn make<T>(
        mut self,
        change: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let result = self.admitted(change).await;
        self.made(&result);
        result
    }

    /// Records the outcome of the change.
    pub(super) fn made<T>(&mut self, result: &Result<T, Error>) {
        self.outcome = Some(AuditOutcome::of(result));
    }

    /// Makes the change as [`make`](Self::make) does, and records the captured version in the
    /// entry.
    pub(super) async fn create(
        mut self,
        change: impl Future<Output = Result<CreateOutcome, Error>>,
    ) -> Result<CreateOutcome, Error> {
        let result = self.admitted(change).await;
        self.created(&result);
        result
    }

    /// Makes the change as [`create`](Self::create) does. If the expected version is not the newest
    /// any more, `first` says whether an earlier attempt at the same request changed it.
    pub(super) async fn create_once(
        mut self,
        change: impl Future<Output = Result<CreateOutcome, Error>>,
        first: impl Future<Output = Result<Option<CreateOutcome>, Error>>,
    ) -> Result<CreateOutcome, Error> {
        let result = match self.admit().await {
            Ok(()) => change.await,
            Err(refused) if refused.kind() == ErrorKind::Conflict => {
                first.await.and_then(|first| first.ok_or(refused))
            }
            Err(refused) => Err(refused),
        };
        self.created(&result);
        result
    }

    /// Records the outcome of creating a snapshot.
    fn created(&mut self, result: &Result<CreateOutcome, Error>) {
        let is_idle = matches!(result, Ok(CreateOutcome::Unchanged { .. }));
        self.outcome = (!is_idle).then(|| AuditOutcome::of(result));
        if let Some(meta) = result.as_ref().ok().and_then(CreateOutcome::meta) {
            self.version = Some(meta.version);
        }
    }

    /// Records the outcome of creating a snapshot together with others, and its share of the time.
    pub(super) fn created_in(mut self, took: Duration, result: &Result<CreateOutcome, Error>) {
        self.took = Some(took);
        self.created(result);
    }

    async fn admitted<T>(
        &self,
        change: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.admit().await?;
        change.await
    }

    /// Checks the key, the context and the expected version.
    async fn admit(&self) -> Result<(), Error> {
        self.context.check()?;
        let expected = self.context.expected_version;
        let Some(key) = self.key else {
            let message =
                "an expected version applies to one aggregate, not to a whole kind: leave it out";
            let refused = || Error::new(ErrorKind::InvalidInput, "change a schedule", message);
            return expected.map_or(Ok(()), |_| Err(refused()));
        };
        check_kind::<A>(key)?;
        let Some(expected) = expected else { return Ok(()) };
        let page = self.core.store.list(ListRequest::new(key).limit(1)).await?;
        let newest = page.items.first().map_or(0, |meta| meta.version);
        if newest == expected {
            return Ok(());
        }
        let message = format!(
            "the newest snapshot of {key} is at version {newest}, but version {expected} was \
             expected: list the snapshots again before retrying"
        );
        Err(Error::new(ErrorKind::Conflict, "change snapshots", message))
    }
}

impl<A: Aggregate> Drop for Audited<'_, A> {
    fn drop(&mut self) {
        let Self { core, action, key, tenant, version, context, started, took, outcome } = self;
        let Some(outcome) = outcome.take() else { return };
        core.report(&Observation::Managed {
            action,
            key: *key,
            version: *version,
            actor: &context.actor,
            outcome: &outcome,
            took: took.unwrap_or_else(|| core.clock.monotonic().saturating_sub(*started)),
        });
        // No audit trail accepts the strings of an invalid context, and nothing was attempted.
        if core.recorder.is_none() || context.check().is_err() {
            return;
        }
        let AdminContext { actor, reason, meta, idempotency_key, .. } = *context;
        let mut entry = AuditEntry::new(core.clock.now(), actor, action.as_ref())
            .in_tenant(*tenant)
            .reason(reason)
            .meta(meta)
            .idempotency(idempotency_key.as_deref().unwrap_or_default())
            .outcome(outcome);
        if let Some(key) = key {
            entry = entry.about(AggregateKey::clone(key));
        }
        entry.version = *version;
        core.enter([Noted::Audit(entry)]);
    }
}

/// The outcome that is recorded if the future of a change is dropped.
fn cancelled() -> AuditOutcome {
    let what = "the call was dropped before it finished, and part of the change may have been made";
    AuditOutcome::failed("Cancelled", what)
}
