//! Reads one snapshot from both tiers.

use super::TieredStore;
use crate::error::Error;
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{Found, Lookup, Query};

impl TieredStore {
    pub(super) async fn find(&self, query: Query<'_>) -> Result<Lookup, Error> {
        // `hot` is asked first: a snapshot that is archived in between is then found in `cold`.
        let _reads = self.locks.reads.shared(query.key).await;
        let hot = self.hot.get(query).await?;
        let cold = match beyond(&query, &hot) {
            Some(query) => self.cold.get(query).await?,
            None => Lookup::Absent,
        };
        self.choose(query, hot, cold).await
    }

    pub(super) async fn find_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        let _reads = self.locks.reads.shared_all(queries.iter().map(|query| query.key)).await;
        let hot = self.hot.get_many(queries).await?;
        let beyond: Vec<_> =
            queries.iter().zip(&hot).map(|(query, hot)| beyond(query, hot)).collect();
        let asked: Vec<_> = beyond.iter().copied().flatten().collect();
        let mut cold = self.cold.get_many(&asked).await?.into_iter();
        let mut answers = Vec::with_capacity(queries.len());
        for ((query, hot), beyond) in queries.iter().zip(hot).zip(beyond) {
            let cold = beyond.and_then(|_| cold.next()).unwrap_or(Lookup::Absent);
            answers.push(self.choose(*query, hot, cold).await?);
        }
        Ok(answers)
    }

    /// Returns the answer to `query`, given that of `hot`, and that of `cold` beyond it.
    async fn choose(
        &self,
        query: Query<'_>,
        hot: Lookup,
        mut cold: Lookup,
    ) -> Result<Lookup, Error> {
        let at_least = match &hot {
            Lookup::Found(found) => found.version.saturating_add(1).max(query.at_least),
            Lookup::Absent | Lookup::OtherGeneration => query.at_least,
        };
        while let Lookup::Found(found) = cold {
            let id = SnapshotId { generation: query.generation, version: found.version };
            if !self.is_hot(query.key, id).await? {
                return Ok(Lookup::Found(self.with_bases(query, found, false).await?));
            }
            // The copy in `hot` counts. If it matches, a restore made it after `hot` was asked.
            let same = query.at_least(found.version).at_most(found.version);
            if let Lookup::Found(found) = self.hot.get(same).await? {
                return Ok(Lookup::Found(self.with_bases(query, found, true).await?));
            }
            // It does not match: it is retired, for example.
            cold = match found.version.checked_sub(1).filter(|below| *below >= at_least) {
                Some(below) => self.cold.get(query.at_least(at_least).at_most(below)).await?,
                None => Lookup::OtherGeneration,
            };
        }
        Ok(match (hot, cold) {
            (Lookup::Found(found), _) => Lookup::Found(self.with_bases(query, found, true).await?),
            (Lookup::Absent, Lookup::Absent) => Lookup::Absent,
            _ => Lookup::OtherGeneration,
        })
    }

    /// Adds the bases of a record, and takes each from the tier whose copy counts.
    async fn with_bases(
        &self,
        query: Query<'_>,
        mut found: Found,
        is_hot: bool,
    ) -> Result<Found, Error> {
        let given = std::mem::take(&mut found.bases);
        if !self.capabilities.returns_bases {
            return Ok(found);
        }
        // What `hot` returns counts. The bases from `cold` count only if `hot` does not have them.
        let (mut bases, given) = if is_hot { (given, Vec::new()) } else { (Vec::new(), given) };
        bases.truncate(Found::MAX_BASES);
        while bases.len() < Found::MAX_BASES {
            let Some(version) = base_of(bases.last().unwrap_or(&found.record)) else { break };
            let exact =
                Query::exact(query.key, SnapshotId { generation: query.generation, version });
            let mut base = self.hot.get(exact).await?.into_record();
            if base.is_none() {
                let own = |base: &&Record| base.header().is_ok_and(|base| base.version == version);
                base = given.iter().find(own).cloned();
            }
            if base.is_none() {
                base = self.cold.get(exact).await?.into_record();
            }
            let Some(base) = base else { break };
            bases.push(base);
        }
        found.bases = bases;
        Ok(found)
    }
}

/// Returns what to ask `cold` after `hot` answered: only for newer snapshots than `hot` found.
fn beyond<'a>(query: &Query<'a>, hot: &Lookup) -> Option<Query<'a>> {
    let Lookup::Found(found) = hot else { return Some(*query) };
    let newer = found.version.checked_add(1).filter(|newer| *newer <= query.at_most)?;
    Some(query.at_least(newer.max(query.at_least)))
}

/// Returns the version of the base of a record.
fn base_of(record: &Record) -> Option<u64> {
    let header = record.header().ok()?;
    header.base.map(|base| base.version).filter(|base| *base < header.version)
}
