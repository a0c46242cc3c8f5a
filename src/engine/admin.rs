//! [`SnapshotAdmin`] of the engine: every change passes here, with who asks for it.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::{Core, SnapshotEngine, check_kind};
use crate::envelope::SnapshotMeta;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{
    AdminContext, AggregateStats, CreateOptions, Created, Repaired, Retained, SnapshotAdmin,
};
use crate::retention::{Retention, RetentionPlan};
use crate::state::Aggregate;
use crate::store::{Deleted, ListRequest};

impl<A: Aggregate> Core<A> {
    /// Whether a change may be made: the key, the texts of the context, the version it expects.
    async fn admit(&self, key: &AggregateKey, context: &AdminContext) -> Result<(), Error> {
        check_kind::<A>(key)?;
        context.check()?;
        let Some(expected) = context.expected_version else { return Ok(()) };
        let page = self.store.list(ListRequest::new(key).limit(1)).await?;
        let newest = page.items.first().map_or(0, |meta| meta.version);
        if newest == expected {
            return Ok(());
        }
        let message = format!(
            "the newest snapshot of {key} is at version {newest}, not at {expected} as expected. \
             Look again, and decide anew"
        );
        Err(Error::new(ErrorKind::Conflict, "change snapshots", message))
    }
}

#[async_trait]
impl<A: Aggregate> SnapshotAdmin for SnapshotEngine<A> {
    fn kind(&self) -> &str {
        A::KIND
    }

    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<Created, Error> {
        self.core.admit(key, context).await?;
        let created = self.core.create(key, &options, &context.actor).await?;
        self.remember(&created);
        Ok(created)
    }

    async fn create_many(
        &self,
        keys: &[AggregateKey],
        context: &AdminContext,
    ) -> Vec<Result<Created, Error>> {
        let refused = context.check().err().or_else(|| {
            let message = "an expected version belongs to one aggregate, not to several";
            let refused = || Error::new(ErrorKind::InvalidInput, "create snapshots", message);
            context.expected_version.map(|_| refused())
        });
        if let Some(error) = refused {
            return keys.iter().map(|_| Err(error.clone())).collect();
        }
        let created = self.core.create_many(keys).await;
        created.iter().flatten().for_each(|created| self.remember(created));
        created
    }

    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        self.core.list(key, versions).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        self.core.admit(key, context).await?;
        let _forgets = self.saver.forgets(key);
        self.core.delete(key, version).await
    }

    async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        self.core.admit(key, context).await?;
        let _forgets = self.saver.forgets(key);
        self.core.delete_before(key, version).await
    }

    async fn repair(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Repaired, Error> {
        self.core.admit(key, context).await?;
        let repaired = self.core.repair(key, version).await?;
        self.saver.stored(&repaired.meta);
        Ok(repaired)
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        self.core.stats(key).await
    }

    async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        self.core.plan(key, policy).await
    }

    async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        self.core.admit(key, context).await?;
        self.core.apply(key, policy).await
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Takes into account that a snapshot was stored by hand (R13).
    fn remember(&self, created: &Created) {
        if let Some(meta) = created.meta() {
            self.saver.stored(meta);
        }
    }
}
