//! [`Trails`]: the audit trail of each tenant, as blocks of entries.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::Mutex;

use super::block::{Block, encode};
use super::operation::{READ, WRITE};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::chain::AuditHead;
use crate::ledger::{AuditEntry, AuditRecord, AuditRequest};
use crate::store::Page;
use crate::store::document::{Document, Documents, Race, corrupt};

const KIND: &str = "snapfold.audit";
/// The maximum number of entries in one page, whatever the requested limit.
const MAX_ENTRIES: usize = 10_000;
/// A page ends with the block that reaches this size.
const PAGE_BYTES: usize = 8 << 20;
/// The number of tenants whose trail ends are cached.
const MAX_HEADS: usize = 1_000;

pub(super) struct Trails {
    documents: Documents,
    /// The ends of trails as this handle last saw them. A write at an outdated end fails, which
    /// reveals that another node has appended. The lock prevents writers of this process from
    /// racing with each other.
    heads: Mutex<HashMap<String, AuditHead>>,
}

impl Trails {
    pub(super) fn new(documents: Documents) -> Self {
        Self { documents, heads: Mutex::default() }
    }

    pub(super) async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        entries.iter().try_for_each(AuditEntry::check)?;
        let mut by_tenant: BTreeMap<&str, Vec<(usize, &AuditEntry)>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            by_tenant.entry(entry.tenant()).or_default().push((place, entry));
        }
        let mut heads = self.heads.lock().await;
        let mut sequences = vec![0; entries.len()];
        for (tenant, entries) in by_tenant {
            let key = key_of(tenant)?;
            let mut rest = entries.as_slice();
            while !rest.is_empty() {
                // The known end is removed during the write, which may fail or be cancelled.
                let known = heads.remove(tenant);
                let entries = rest.iter().map(|(_, entry)| *entry);
                let (count, head, after) = self.append(&key, known, entries).await?;
                if heads.len() >= MAX_HEADS {
                    heads.clear();
                }
                heads.insert(tenant.to_owned(), after);
                let (appended, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                for (sequence, (place, _)) in (head.sequence + 1..).zip(appended) {
                    if let Some(slot) = sequences.get_mut(*place) {
                        *slot = sequence;
                    }
                }
                rest = others;
            }
        }
        Ok(sequences)
    }

    /// Appends the first `entries`, as many as fit into a block. Returns how many, and the ends of
    /// the trail before and after them.
    async fn append<'e>(
        &self,
        key: &AggregateKey,
        mut known: Option<AuditHead>,
        entries: impl IntoIterator<Item = &'e AuditEntry> + Clone,
    ) -> Result<(usize, AuditHead, AuditHead), Error> {
        let mut race = Race::default();
        loop {
            let head = match known.take() {
                Some(head) => head,
                None => self.head(key).await?,
            };
            let (body, count, after) = encode(head, entries.clone());
            let block = [(key.clone(), head.sequence.saturating_add(1), body)];
            if self.documents.put(&block).await?.iter().all(|stored| *stored) {
                return Ok((count, head, after));
            }
            race.lost(WRITE)?;
        }
    }

    /// Returns the end of the trail.
    async fn head(&self, key: &AggregateKey) -> Result<AuditHead, Error> {
        match self.documents.get(key, u64::MAX).await? {
            Some(document) => Ok(block_of(key, &document)?.head()),
            None => Ok(AuditHead::START),
        }
    }

    pub(super) async fn entries(
        &self,
        request: AuditRequest<'_>,
    ) -> Result<Page<AuditRecord, u64>, Error> {
        let key = key_of(request.tenant)?;
        let limit = request.limit.clamp(1, MAX_ENTRIES);
        let (mut items, mut bytes, mut after) = (Vec::new(), 0, request.after);
        while let Some(block) = self.block_behind(&key, after).await? {
            let behind = after;
            for record in block.0.into_iter().filter(|record| record.sequence > behind) {
                after = record.sequence;
                if request.key.is_none_or(|key| record.entry.key.as_ref() == Some(key)) {
                    bytes += size_of(&record.entry);
                    items.push(record);
                }
                if items.len() >= limit || bytes >= PAGE_BYTES {
                    return Ok(Page::new(items, Some(after)));
                }
            }
        }
        Ok(Page::new(items, None))
    }

    /// Returns the block with the first entry after the sequence `after`, or `None` at the end of
    /// the trail.
    async fn block_behind(&self, key: &AggregateKey, after: u64) -> Result<Option<Block>, Error> {
        let Some(next) = after.checked_add(1) else { return Ok(None) };
        let mut goes_on = false;
        loop {
            if let Some(document) = self.documents.get(key, next).await? {
                let block = block_of(key, &document)?;
                if block.head().sequence > after {
                    return Ok(Some(block));
                }
            }
            if goes_on {
                return Err(corrupt(
                    READ,
                    key,
                    next,
                    "the version is missing, but later entries exist",
                ));
            }
            // This is the end, unless there is a later block. In that case the block in between was
            // added after the lookup, or it is missing.
            match self.documents.get(key, u64::MAX).await? {
                Some(last) if last.version > after => goes_on = true,
                _ => return Ok(None),
            }
        }
    }
}

fn key_of(tenant: &str) -> Result<AggregateKey, Error> {
    AggregateKey::reserved(tenant, KIND, "")
}

fn block_of(key: &AggregateKey, document: &Document) -> Result<Block, Error> {
    document.read(key, |body| Block::parse(document.version, body))
}

/// Estimates the memory size of an entry.
fn size_of(entry: &AuditEntry) -> usize {
    let key = entry.key.as_ref().map_or(0, |key| key.kind().len() + key.id().len());
    let texts = [&entry.actor, &entry.action, &entry.reason, &entry.meta, &entry.idempotency];
    key + entry.tenant().len() + texts.iter().map(|text| text.len()).sum::<usize>()
}
