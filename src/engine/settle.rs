//! The outcome of putting a record, including the comparison with an existing snapshot.

use super::capture::meta;
use super::core::EngineCore;
use crate::error::{Error, ErrorKind};
use crate::manager::CreateOutcome;
use crate::record::{Header, Record, RejectReason, SnapshotMeta};
use crate::state::Aggregate;
use crate::store::{Found, Lookup, PutOutcome, Query};

impl<A: Aggregate> EngineCore<A> {
    /// Returns the result for `record` after a put with this outcome.
    ///
    /// An existing snapshot is kept (R10), so it must belong to the history that was just folded.
    /// Otherwise loads would trust a wrong state once the events are truncated.
    pub(super) async fn settled(
        &self,
        record: &Record,
        outcome: Option<PutOutcome>,
    ) -> Result<CreateOutcome, Error> {
        let meta = meta(record)?;
        let Some(PutOutcome::Existing { identical }) = outcome else {
            self.confirm_delta(&meta).await?;
            return Ok(CreateOutcome::Stored(meta));
        };
        let dispute = match self.store.get(Query::exact(&meta.key, meta.id())).await? {
            Lookup::Found(found) if found.version == meta.version => {
                self.compared(&meta, record, &found)
            }
            // The snapshot has been deleted since.
            _ => Comparison::Unknown,
        };
        match dispute {
            Comparison::Same => Ok(CreateOutcome::Existing { meta, identical: true }),
            Comparison::Unknown => Ok(CreateOutcome::Existing { meta, identical }),
            Comparison::Closed => Ok(CreateOutcome::Existing { meta, identical: false }),
            Comparison::Differs(how) => Err(Error::new(
                ErrorKind::Conflict,
                "take a snapshot",
                format!(
                    "a different snapshot of {} is already stored at version {} ({how}). It \
                     belongs to another history or is damaged: call rebuild() to replace it",
                    meta.key, meta.version
                ),
            )),
        }
    }

    /// Compares the stored snapshot with the new record of the same identity.
    fn compared(&self, ours: &SnapshotMeta, record: &Record, found: &Found) -> Comparison {
        let stored = match found.record.verify() {
            Ok(stored) if stored.is_of(&ours.key) && stored.version == ours.version => stored,
            Ok(_) => return Comparison::Differs("it belongs to another aggregate".to_owned()),
            Err(reject) => return Comparison::Differs(reject.to_string()),
        };
        match self.openers.check_signature(found.record.as_bytes(), &stored) {
            Ok(()) => {}
            // Another engine may have the key.
            Err(RejectReason::SigningKey(_)) => return Comparison::Closed,
            Err(reject) => return Comparison::Differs(reject.to_string()),
        }
        let anchors = stored.anchor.zip(ours.anchor.as_deref());
        if anchors.is_some_and(|(stored, ours)| stored != ours) {
            return Comparison::Differs("its last event has a different anchor".to_owned());
        }
        let times = (stored.last_recorded_at, stored.as_of);
        if times != (ours.last_recorded_at, ours.as_of) {
            return Comparison::Differs("its events were recorded at different times".to_owned());
        }
        // Even if it holds the same state, it cannot replace the events.
        if self.lacks_openers(found, &stored) {
            return Comparison::Closed;
        }
        if found.record.has_state_of(record) {
            return Comparison::Same;
        }
        let Some(digest) = ours.digest else { return Comparison::Unknown };
        let differs = || Comparison::Differs("it holds a different state".to_owned());
        if stored.digest.is_some_and(|stored| stored.kind() == digest.kind()) {
            return differs();
        }
        // The digests are of different kinds, or one is missing, so the states are compared.
        let snapshot = self.open_stored(&ours.key, found);
        match snapshot.map(|snapshot| self.digester.matches(&digest, &snapshot.state)) {
            Ok(Some(true)) => Comparison::Same,
            Ok(Some(false)) => differs(),
            Ok(None) => Comparison::Unknown,
            Err(reject) => Comparison::Differs(reject.to_string()),
        }
    }

    /// Returns whether the stored snapshot or its base needs something that this engine does not
    /// have, such as a key.
    fn lacks_openers(&self, found: &Found, stored: &Header<'_>) -> bool {
        let base_needs = |base: &Record| base.header().is_ok_and(|header| header.needs_openers());
        let needs = stored.needs_openers()
            || found.bases.iter().any(base_needs)
            || (self.openers.signing.is_some() && stored.base.is_some());
        needs && found.record.open(stored, self.open_with(&found.bases), |_| Ok(())).is_err()
    }
}

enum Comparison {
    Same,
    /// The difference, as a clause.
    Differs(String),
    /// The two cannot be compared.
    Unknown,
    /// This engine cannot open the stored snapshot.
    Closed,
}
