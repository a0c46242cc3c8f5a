//! Schedules, statistics and the audit trail in PostgreSQL.

mod call;
mod columns;
mod rows;
mod schedules;
mod sealer;
mod statistics;
mod trail;

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::store::PostgresStore;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditRecord, AuditRequest, Claim, DailyStatistics, Day, Ledger, Schedule,
    ScheduleKey,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// Uses separate tables. Results have at most 10,000 rows, and pages of an audit trail 1,000.
#[async_trait]
impl Ledger for PostgresStore {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedules::put(self, schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        schedules::get(self, key).await
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        schedules::remove(self, key).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        schedules::page(self, after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        schedules::due(self, now, limit).await
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        schedules::claim(self, key, due, holder, now, until).await
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        schedules::renew(self, claim, until).await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        schedules::release(self, claim).await
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        schedules::complete(self, claim, next).await
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        statistics::add(self, batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        statistics::daily(self, key, days).await
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        trail::append_all(self, entries).await
    }

    async fn seal_audit(&self) -> Result<u64, Error> {
        Self::seal_audit(self).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        trail::entries(self, request).await
    }
}
