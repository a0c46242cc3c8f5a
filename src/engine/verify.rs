//! Comparing decoded states with the states that were written: [`Verify`], [`Judge`].

use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::Digester;
use crate::generation::Generation;
use crate::manager::Proof;
use crate::record::{Header, RejectReason};

/// Which loads compare the digest of the decoded state with the one in the record.
///
/// This setting does not affect writes, which are always verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verify {
    /// Verifies every load. The default.
    #[default]
    Always,
    /// Verifies the first load, and then one in every `n`; 0 is treated as 1. After a change to a
    /// type or a dependency, an unverified load can return a state that differs from the one that
    /// was written. Use this only if a measurement shows that you need it.
    Sampled(u64),
}

/// Selects the loads of an engine that are verified.
#[derive(Debug, Default)]
pub(super) struct Turns {
    verify: Verify,
    loads: AtomicU64,
}

impl Turns {
    pub(super) fn new(verify: Verify) -> Self {
        Self { verify, loads: AtomicU64::new(0) }
    }

    #[inline]
    fn is_due(&self) -> bool {
        match self.verify {
            Verify::Always => true,
            Verify::Sampled(one_of) => {
                self.loads.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_of.max(1))
            }
        }
    }
}

/// Judges the state that one record decodes to.
pub(super) struct Judge<'a> {
    pub(super) header: &'a Header<'a>,
    pub(super) turns: &'a Turns,
    /// Whether a state that differs from the one that was written is accepted.
    pub(super) is_lenient: bool,
}

impl Judge<'_> {
    /// Compares a state that was decoded as `generation` with the digest in the record.
    #[inline]
    pub(super) fn look_at<S>(
        &self,
        digester: &Digester<S>,
        generation: Generation,
        state: &S,
    ) -> Result<Proof, RejectReason> {
        let Some(digest) = &self.header.digest else { return Ok(Proof::Absent) };
        if self.header.generation != generation {
            return Ok(Proof::Tolerated);
        }
        if !self.turns.is_due() {
            return Ok(Proof::Sampled);
        }
        match digester.matches(digest, state) {
            Some(true) => Ok(Proof::Verified),
            None => Ok(Proof::Absent),
            Some(false) if self.is_lenient => Ok(Proof::Accepted),
            Some(false) => Err(RejectReason::OtherState),
        }
    }
}
