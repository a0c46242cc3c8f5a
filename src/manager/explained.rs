//! [`Explained`]: how a load works, and why.

use std::fmt;

use super::loaded::Point;
use super::provenance::{Origin, Provenance};
use crate::key::AggregateKey;
use crate::record::{RejectReason, SnapshotMeta};

/// How a load works: which snapshot it starts from, how many events it folds, and why it does not
/// use the other snapshots.
///
/// `Display` writes one line for the load and then one for each snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The aggregate.
    pub key: AggregateKey,
    /// The requested point.
    pub point: Point,
    /// The version of the loaded state.
    pub version: u64,
    /// Where the state came from, and what the load cost.
    pub provenance: Provenance,
    /// The stored snapshots of the aggregate, newest first, and what became of each. A snapshot
    /// whose header is damaged is not listed, but if the load tried it,
    /// [`Provenance::rejected`] names it.
    pub snapshots: Vec<ExplainedSnapshot>,
}

/// What became of one snapshot in a load.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedSnapshot {
    /// The metadata of the snapshot.
    pub meta: SnapshotMeta,
    /// Whether it was used, and if not, why.
    pub role: SnapshotRole,
}

/// Whether a load used a snapshot, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotRole {
    /// The load started from it.
    Used,
    /// Its version lies after the requested one, or it contains an event that was recorded after the
    /// requested time.
    TooNew,
    /// It is retired.
    Retired,
    /// It was tried, and could not be used.
    Rejected(RejectReason),
    /// It was not tried, because the load started from another one.
    NotNeeded,
    /// It was not tried, because the load had given up after others, or cannot read its generation.
    NotTried,
}

impl Explained {
    pub(crate) fn new(
        key: AggregateKey,
        point: Point,
        version: u64,
        provenance: Provenance,
        metas: Vec<SnapshotMeta>,
    ) -> Self {
        let explained = |meta: SnapshotMeta| {
            let role = role(&meta, point, &provenance);
            ExplainedSnapshot { meta, role }
        };
        let snapshots = metas.into_iter().map(explained).collect();
        Self { key, point, version, provenance, snapshots }
    }
}

fn role(meta: &SnapshotMeta, point: Point, provenance: &Provenance) -> SnapshotRole {
    let used = provenance.snapshot.filter(|_| provenance.origin == Origin::Snapshot);
    if used.is_some_and(|used| used.id == meta.id()) {
        return SnapshotRole::Used;
    }
    if meta.is_retired() {
        return SnapshotRole::Retired;
    }
    let is_too_new = match point {
        Point::Now => false,
        Point::Version(version) => meta.version > version,
        Point::Time(time) => meta.as_of > time,
    };
    if is_too_new {
        return SnapshotRole::TooNew;
    }
    // Two generations may be stored at the same version, and only one of them was tried.
    let is_own = |reason: &RejectReason| match reason {
        RejectReason::Stale(generation) => *generation == meta.generation,
        _ => true,
    };
    let rejected = provenance
        .rejected
        .iter()
        .find(|rejected| rejected.version == Some(meta.version) && is_own(&rejected.reason));
    match (rejected, used) {
        (Some(rejected), _) => SnapshotRole::Rejected(rejected.reason.clone()),
        (None, Some(_)) => SnapshotRole::NotNeeded,
        (None, None) => SnapshotRole::NotTried,
    }
}

impl fmt::Display for SnapshotRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::TooNew => f.write_str("too new"),
            Self::Retired => f.write_str("retired"),
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::NotNeeded => f.write_str("not needed"),
            Self::NotTried => f.write_str("not tried"),
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, version, provenance, snapshots, .. } = self;
        // Rejected snapshots have lines of their own.
        let short = Provenance { rejected: Vec::new(), ..provenance.clone() };
        write!(f, "{key} at version {version}: {short}")?;
        let is_listed =
            |version| snapshots.iter().any(|listed| Some(listed.meta.version) == version);
        for rejected in provenance.rejected.iter().filter(|r| !is_listed(r.version)) {
            write!(f, "\n  {rejected}")?;
        }
        for ExplainedSnapshot { meta, role } in snapshots {
            write!(f, "\n  snapshot at {}, generation {}: {role}", meta.version, meta.generation)?;
        }
        Ok(())
    }
}
