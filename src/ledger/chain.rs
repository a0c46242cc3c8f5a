//! The hash chain of an audit trail: [`AuditHash::of`], [`AuditHead`].

use hmac_sha256::Hash;

use super::audit::{AuditEntry, AuditRecord};
use super::entry_bytes::entry_bytes;
use super::hash::AuditHash;

impl AuditHash {
    /// Returns the hash of a record. It is the SHA-256 of the following parts:
    /// 1. the 16 bytes `snapfold-audit-1` (ASCII),
    /// 2. the 32 bytes of `previous`,
    /// 3. `sequence` (u64),
    /// 4. the time (i64, microseconds since 1970),
    /// 5. the tenant,
    /// 6. a byte 0, or a byte 1 followed by the kind and id of the aggregate,
    /// 7. a byte 0, or a byte 1 followed by the version (u64),
    /// 8. actor, action, reason, meta and idempotency key,
    /// 9. a byte 0 for [`Ok`](crate::ledger::AuditOutcome::Ok), or a byte 1 followed by the kind
    ///    and message of the failure.
    ///
    /// Numbers are little-endian. A string is encoded as its length in bytes (u32), followed by its
    /// UTF-8 bytes.
    pub fn of(previous: &Self, sequence: u64, entry: &AuditEntry) -> Self {
        Self::of_bytes(previous, sequence, &entry_bytes(entry))
    }

    /// Returns the hash of a record whose entry is already encoded by [`entry_bytes`].
    pub(super) fn of_bytes(previous: &Self, sequence: u64, entry: &[u8]) -> Self {
        let mut hasher = Hash::new();
        hasher.update(b"snapfold-audit-1");
        hasher.update(previous.as_bytes());
        hasher.update(sequence.to_le_bytes());
        hasher.update(entry);
        Self::from_bytes(hasher.finalize())
    }
}

/// The end of an audit trail: the number of its records, and the hash of the last one.
///
/// The chain alone does not reveal that records were removed from its end, or that the whole trail
/// was rewritten. Keep a head outside the ledger, and check the trail against it later with
/// [`Ledger::check_trail`](crate::ledger::Ledger::check_trail). Signatures reveal a trail that was
/// rewritten ([`SigningKeys::check_trail`](crate::record::SigningKeys::check_trail)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "users keep it outside the ledger")]
pub struct AuditHead {
    /// The sequence of the last record; 0 if there is none.
    pub sequence: u64,
    /// The hash of the last record.
    pub hash: AuditHash,
}

/// The result of checking a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailCheck {
    /// Each record continues the previous one.
    Whole(AuditHead),
    /// The trail was modified.
    Broken {
        /// The sequence of the first record that is missing, modified or out of place.
        sequence: u64,
        /// What is wrong with that record.
        reason: &'static str,
    },
}

impl AuditHead {
    /// The end of a trail without records.
    pub const START: Self = Self { sequence: 0, hash: AuditHash::START };

    /// Checks that `record` continues the trail from this end, and returns the new end.
    pub fn follow(self, record: &AuditRecord) -> TrailCheck {
        let sequence = self.sequence.saturating_add(1);
        let broken = |reason| TrailCheck::Broken { sequence, reason };
        if record.sequence != sequence {
            broken("the record is missing")
        } else if record.previous != self.hash {
            broken("the record does not contain the hash of the previous record")
        } else if record.hash != AuditHash::of(&self.hash, sequence, &record.entry) {
            broken("the hash of the record does not match its content")
        } else {
            TrailCheck::Whole(Self { sequence, hash: record.hash })
        }
    }

    /// Returns whether this is the end of the trail that ends with `record`.
    pub(super) fn is_of(&self, record: &AuditRecord) -> bool {
        let own = AuditHash::of(&record.previous, record.sequence, &record.entry);
        record.sequence == self.sequence && record.hash == self.hash && own == self.hash
    }

    /// Creates the record that appends `entry` to this end. For implementers of
    /// [`Ledger`](crate::ledger::Ledger).
    pub fn append(self, entry: AuditEntry) -> AuditRecord {
        let sequence = self.sequence.saturating_add(1);
        let hash = AuditHash::of(&self.hash, sequence, &entry);
        AuditRecord::from_stored(sequence, self.hash, hash, entry)
    }
}
