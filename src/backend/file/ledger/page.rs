//! Reading the audit trail from its file.

use std::sync::PoisonError;

use super::super::fault::{bad_frame, corrupt, io_error};
use super::super::layout::unguarded;
use super::super::scan::Step;
use super::core::Core;
use super::entry::Entry;
use super::log::Log;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::AuditRecord;
use crate::store::Page;

const READ: &str = "read the ledger";
/// The most entries of one page, whatever was asked for.
const MAX_ENTRIES: usize = 10_000;
/// A page ends with the entry with which it reaches so many bytes.
const PAGE_BYTES: u64 = 8 << 20;

impl Core {
    /// The entries after the sequence `after`, only those about `key` if there is one. Blocks.
    pub(super) fn entries(
        &self,
        key: Option<&AggregateKey>,
        after: u64,
        limit: usize,
    ) -> Result<Page<AuditRecord, u64>, Error> {
        self.check_open(READ)?;
        let limit = limit.clamp(1, MAX_ENTRIES);
        let (from, end, last) = {
            let trail = self.trail.read().unwrap_or_else(PoisonError::into_inner);
            (trail.near(after), trail.end, trail.last)
        };
        let mut scanner = Log::scanner(&*self.audit_file, self.audit_salt, from, end);
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < limit && bytes < PAGE_BYTES {
            let at = scanner.at;
            let io = |error| io_error(READ, &self.audit_path, error);
            let (frame, body) = match scanner.step().map_err(io)? {
                Step::Frame(frame, body) => (frame, body),
                Step::End => return Ok(Page::new(items, None)),
                Step::Bad(flaw) => return Err(bad_frame(READ, &self.audit_path, at, &flaw)),
            };
            if frame.seq <= after {
                continue;
            }
            let Some(Entry::Audit(entry)) = Entry::parse(unguarded(body)) else {
                let why = format!("damaged at offset {at}: no entry of an audit trail");
                return Err(corrupt(READ, &self.audit_path, why));
            };
            if key.is_none_or(|key| *key == entry.key) {
                bytes += frame.total_bytes();
                items.push(AuditRecord::new(frame.seq, entry));
            }
        }
        let next = items.last().map(|record| record.sequence).filter(|sequence| *sequence < last);
        Ok(Page::new(items, next))
    }
}
