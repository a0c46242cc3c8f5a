//! Signing audit trails, and checking the signatures in them.

use std::collections::VecDeque;

use super::Ledger;
use super::audit::{AuditRecord, AuditRequest};
use super::chain::{AuditHead, TrailCheck};
use super::hash::AuditHash;
use super::signed_head::SignedHead;
use crate::error::{Error, ErrorKind};
use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

const SIGN: &str = "sign an audit trail";
/// How many entries may be appended between reading the end of a trail and appending its signature.
/// It limits the memory of a check.
const MAX_LAG: usize = 1 << 16;
/// How many entries are read at once in the search for the last signature.
const BLOCK: u64 = 256;

/// The result of checking a trail and the signatures in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedTrail {
    /// Each record continues the previous one, and each signature matches.
    #[non_exhaustive]
    Whole {
        /// The end of the trail.
        head: AuditHead,
        /// The highest end that is signed. Entries up to its sequence (inclusive) are as they were
        /// when it was signed. `None` if there is no signature.
        signed: Option<SignedHead>,
        /// The number of entries after that, or after the start of the check, except signatures. No
        /// signature protects them.
        unsigned: u64,
    },
    /// The trail was modified, or a signature in it does not match.
    #[non_exhaustive]
    Broken {
        /// The sequence of the first record that is wrong.
        sequence: u64,
        /// What is wrong with that record.
        reason: &'static str,
    },
}

impl SigningKeys {
    /// Reads the trail of `tenant` after `from`, and checks its hash chain, that `from` is still part
    /// of it, and each signature. Use [`AuditHead::START`] for the whole trail.
    ///
    /// Whoever can write to the ledger can write the whole hash chain anew, but not the signatures.
    /// So this finds each change, removal and insertion up to the last signature. It does not find:
    /// - changes of the entries after the last signature,
    /// - that the end of the trail is missing, signatures included, or that the trail was written
    ///   anew without any. Keep signed heads elsewhere, and pass the newest as `from` once
    ///   [`verify_head`](Self::verify_head) has accepted it.
    ///
    /// # Errors
    /// Those of [`Ledger::entries`].
    pub async fn check_trail(
        &self,
        ledger: &dyn Ledger,
        tenant: &str,
        from: AuditHead,
    ) -> Result<SignedTrail, Error> {
        let mut walk = TrailWalk::new(from);
        let mut request = AuditRequest::new().tenant(tenant).after(from.sequence);
        if from.sequence > 0 {
            let known = request.after(from.sequence - 1).limit(1);
            let found = ledger.entries(known).await?.items;
            if !found.first().is_some_and(|record| from.is_of(record)) {
                let reason = "the record differs from the given head";
                return Ok(SignedTrail::Broken { sequence: from.sequence, reason });
            }
        }
        loop {
            let page = ledger.entries(request).await?;
            for record in &page.items {
                if let Err((sequence, reason)) = walk.follow(self, tenant, record) {
                    return Ok(SignedTrail::Broken { sequence, reason });
                }
            }
            match page.next {
                // If the pages of a ledger do not advance, it has no more records.
                Some(next) if next > request.after => request = request.after(next),
                _ => return Ok(walk.end()),
            }
        }
    }

    /// Signs the end of a tenant's trail, and appends the signature to it, if there are new entries
    /// since the last one. Returns the signed head, to be kept elsewhere as well.
    ///
    /// First checks the trail from the last signature on ([`check_trail`](Self::check_trail)), so its
    /// cost grows with the number of new entries, and with the logarithm of the others. An attacker
    /// who removes all signatures is not noticed: the trail is then signed as if for the first time.
    ///
    /// Entries that other nodes append meanwhile are left to the next signature. If several nodes
    /// sign at the same time, several signatures are appended, which is harmless.
    ///
    /// # Errors
    /// - [`ErrorKind::CorruptStore`] if the trail is broken, or its last signature does not match.
    ///   Nothing is signed then.
    /// - [`ErrorKind::InvalidInput`] if the name of the actor is too long.
    /// - Those of [`Ledger::entries`] and [`Ledger::append_all`].
    ///
    /// # Cancellation
    /// If the future is dropped, the signature was appended or not.
    pub async fn sign_trail(
        &self,
        ledger: &dyn Ledger,
        tenant: &str,
        at: Timestamp,
        actor: &str,
    ) -> Result<Option<SignedHead>, Error> {
        let corrupt = |sequence: u64, reason: &str| {
            let message = format!(
                "entry {sequence} of the audit trail is wrong, so it was not signed: {reason}"
            );
            Error::new(ErrorKind::CorruptStore, SIGN, message)
        };
        let from = match last_signature(ledger, tenant).await? {
            None => AuditHead::START,
            Some((sequence, signed)) => {
                let signed = signed.map_err(|error| corrupt(sequence, &error.to_string()))?;
                self.verify_head(tenant, &signed).map_err(|reason| corrupt(sequence, reason))?;
                signed.head
            }
        };
        match self.check_trail(ledger, tenant, from).await? {
            SignedTrail::Broken { sequence, reason } => Err(corrupt(sequence, reason)),
            SignedTrail::Whole { unsigned: 0, .. } => Ok(None),
            SignedTrail::Whole { head, .. } => {
                let signed = self.sign_head(tenant, head);
                ledger.append(&signed.to_entry(tenant, at, actor)).await?;
                Ok(Some(signed))
            }
        }
    }
}

/// A walk along a trail.
struct TrailWalk {
    from: AuditHead,
    head: AuditHead,
    /// Of the last entries up to the head, and of `from`: the hash, and the number of entries up to
    /// there that are no signatures.
    recent: VecDeque<(AuditHash, u64)>,
    others: u64,
    /// The highest end that is signed, and the number of other entries up to it.
    signed: Option<(SignedHead, u64)>,
}

impl TrailWalk {
    fn new(from: AuditHead) -> Self {
        let recent = VecDeque::from([(from.hash, 0)]);
        Self { from, head: from, recent, others: 0, signed: None }
    }

    /// Adds the next record. The error is its sequence, and what is wrong with it.
    fn follow(
        &mut self,
        keys: &SigningKeys,
        tenant: &str,
        record: &AuditRecord,
    ) -> Result<(), (u64, &'static str)> {
        let next = match self.head.follow(record) {
            TrailCheck::Whole(next) => next,
            TrailCheck::Broken { sequence, reason } => return Err((sequence, reason)),
        };
        match SignedHead::in_entry(&record.entry) {
            None => self.others = self.others.saturating_add(1),
            Some(signed) => {
                let signed = signed.map_err(|_| "its signature cannot be read");
                signed
                    .and_then(|signed| self.add_signature(keys, tenant, signed))
                    .map_err(|reason| (record.sequence, reason))?;
            }
        }
        self.head = next;
        if self.recent.len() > MAX_LAG {
            self.recent.pop_front();
        }
        self.recent.push_back((next.hash, self.others));
        Ok(())
    }

    /// Checks a signature that stands in the entry after the head.
    fn add_signature(
        &mut self,
        keys: &SigningKeys,
        tenant: &str,
        signed: SignedHead,
    ) -> Result<(), &'static str> {
        keys.verify_head(tenant, &signed)?;
        let sequence = signed.head.sequence;
        if sequence < self.from.sequence {
            // What it signs was not read. Its signer cannot have seen more.
            return Ok(());
        }
        let back = self.head.sequence.checked_sub(sequence);
        let back = back.ok_or("it signs an entry that comes after it")?;
        let place = usize::try_from(back)
            .ok()
            .and_then(|back| self.recent.len().checked_sub(1)?.checked_sub(back));
        let known = place.and_then(|place| self.recent.get(place));
        let (hash, others) =
            *known.ok_or("it signs an entry that is more than 65,536 before it")?;
        if hash != signed.head.hash {
            return Err("the entries that it signs are not those of the trail");
        }
        if self.signed.as_ref().is_none_or(|(best, _)| best.head.sequence <= sequence) {
            self.signed = Some((signed, others));
        }
        Ok(())
    }

    fn end(self) -> SignedTrail {
        let before = self.signed.as_ref().map_or(0, |(_, others)| *others);
        SignedTrail::Whole {
            head: self.head,
            unsigned: self.others.saturating_sub(before),
            signed: self.signed.map(|(signed, _)| signed),
        }
    }
}

/// Returns the last signature in a trail, and the sequence of its entry.
async fn last_signature(
    ledger: &dyn Ledger,
    tenant: &str,
) -> Result<Option<(u64, Result<SignedHead, Error>)>, Error> {
    let mut until = end_of(ledger, tenant).await?;
    while until > 0 {
        let after = until.saturating_sub(BLOCK);
        let mut request = AuditRequest::new().tenant(tenant).after(after);
        let mut last = None;
        loop {
            let page = ledger.entries(request).await?;
            for record in page.items.iter().filter(|record| record.sequence <= until) {
                if let Some(signed) = SignedHead::in_entry(&record.entry) {
                    last = Some((record.sequence, signed));
                }
            }
            match page.next {
                Some(next) if next > request.after && next < until => {
                    request = request.after(next);
                }
                _ => break,
            }
        }
        if last.is_some() {
            return Ok(last);
        }
        until = after;
    }
    Ok(None)
}

/// Returns the sequence of the last entry, by bisection: a ledger only lists from a place on.
async fn end_of(ledger: &dyn Ledger, tenant: &str) -> Result<u64, Error> {
    // Entries follow the first, and none follow the second.
    let (mut some, mut none) = (0, 1_u64);
    if !goes_on(ledger, tenant, some).await? {
        return Ok(0);
    }
    while none < u64::MAX && goes_on(ledger, tenant, none).await? {
        (some, none) = (none, none.saturating_mul(2));
    }
    while none.saturating_sub(some) > 1 {
        let middle = some.midpoint(none);
        if goes_on(ledger, tenant, middle).await? {
            some = middle;
        } else {
            none = middle;
        }
    }
    Ok(none)
}

/// Returns whether there is an entry after this sequence.
async fn goes_on(ledger: &dyn Ledger, tenant: &str, after: u64) -> Result<bool, Error> {
    let mut request = AuditRequest::new().tenant(tenant).after(after).limit(1);
    loop {
        let page = ledger.entries(request).await?;
        match page.next {
            _ if !page.items.is_empty() => return Ok(true),
            Some(next) if next > request.after => request = request.after(next),
            _ => return Ok(false),
        }
    }
}
