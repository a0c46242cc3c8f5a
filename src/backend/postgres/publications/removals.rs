//! Removals of artifacts as rows.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::calls::READ;
use crate::artifact::ArtifactId;
use crate::backend::postgres::error::{self, StatementEffect, damaged};
use crate::backend::postgres::key_text::KeyText;
use crate::backend::postgres::statement::Bound;
use crate::error::Error;
use crate::publication::ArtifactRemoval;
use crate::timestamp::Timestamp;

/// Binds the parameters 1 to 4: tenant, revision, artifacts and until.
pub(super) fn bind<'q>(
    query: Bound<'q>,
    key: &KeyText<'_>,
    removal: &ArtifactRemoval,
) -> Bound<'q> {
    let artifacts: Vec<u8> = removal.artifacts.iter().flat_map(|id| *id.as_bytes()).collect();
    query
        .bind(key.tenant.to_string())
        .bind(removal.revision.cast_signed())
        .bind(artifacts)
        .bind(removal.until.as_micros())
}

/// Reads a row of revision, artifacts and until, whose first column is the guard.
pub(super) fn removal_of(row: &PgRow) -> Result<ArtifactRemoval, Error> {
    let failed = |error| error::classify(READ, StatementEffect::Read, &error);
    let revision = row.try_get::<i64, _>(1).map_err(failed)?.cast_unsigned();
    let artifacts: &[u8] = row.try_get(2).map_err(failed)?;
    let until = Timestamp::from_micros(row.try_get(3).map_err(failed)?);
    let (ids, _) = artifacts.as_chunks::<32>();
    let artifacts: BTreeSet<_> = ids.iter().map(|id| ArtifactId::from_bytes(*id)).collect();
    let removal = ArtifactRemoval { revision, artifacts, until };
    removal.check().map_err(|_| damaged(READ, "an invalid removal of artifacts"))?;
    Ok(removal)
}
