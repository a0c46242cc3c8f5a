//! [`Editions`]: documents that are rewritten at each change, with compare-and-set.
//!
//! Older versions are deleted, so a node that read an old version and then stalled could store a
//! deleted version again. Therefore each version lists the last write of each of the last 32
//! writers, newest first: the count (u8), then for each the writer (u64) and the number of its
//! write (u64). The content follows. A write counts if the newest version lists it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::WRITE;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::wire::ByteReader;
use crate::store::Selection;
use crate::store::document::{Document, Documents};

/// The number of writers whose last write is listed.
const WRITERS: usize = 32;

#[derive(Clone)]
pub(super) struct Editions {
    documents: Documents,
    /// Distinguishes this handle from all other writers. Its value has no other meaning.
    own: u64,
    written: Arc<AtomicU64>,
}

/// A version of a document, and the writes that led to it. If there is none yet, version 0 or the
/// version before the first of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    pub(super) version: u64,
    writes: Vec<EditionWrite>,
}

/// A writer, and the number of its write.
type EditionWrite = (u64, u64);

impl Edition {
    pub(super) const fn none(version: u64) -> Self {
        Self { version, writes: Vec::new() }
    }

    /// Returns the next version, written by `write`.
    fn next(&self, write: EditionWrite) -> Self {
        let others = self.writes.iter().filter(|(writer, _)| *writer != write.0).copied();
        let writes = std::iter::once(write).chain(others).take(WRITERS).collect();
        Self { version: self.version.saturating_add(1), writes }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.writes.len()).unwrap_or(u8::MAX));
        for number in self.writes.iter().flat_map(|(writer, number)| [writer, number]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn read(version: u64, reader: &mut ByteReader<'_>) -> Option<Self> {
        let [count] = reader.array()?;
        let writes = (0..count).map(|_| Some((reader.u64()?, reader.u64()?)));
        Some(Self { version, writes: writes.collect::<Option<_>>()? })
    }
}

/// A change of a document based on `from`, the newest version at or below `last`.
pub(super) struct Edit {
    pub(super) key: AggregateKey,
    pub(super) from: Edition,
    pub(super) last: u64,
    pub(super) content: Vec<u8>,
}

impl Editions {
    pub(super) fn new(documents: Documents) -> Self {
        let own = RandomState::new().hash_one("ledger");
        Self { documents, own, written: Arc::default() }
    }

    pub(super) async fn get(
        &self,
        key: &AggregateKey,
        last: u64,
    ) -> Result<Option<Document>, Error> {
        self.documents.get(key, last).await
    }

    pub(super) async fn get_many(
        &self,
        keys: &[AggregateKey],
    ) -> Result<Vec<Option<Document>>, Error> {
        self.documents.get_many(keys).await
    }

    /// Makes each change, unless another node has changed that document first. Returns the changes
    /// that were made.
    pub(super) async fn write(&self, edits: &[Edit]) -> Result<Vec<Option<Edition>>, Error> {
        let mut made = Vec::with_capacity(edits.len());
        let mut documents = Vec::with_capacity(edits.len());
        for edit in edits {
            let edition = edit.from.next((self.own, self.written.fetch_add(1, Ordering::Relaxed)));
            let mut body = Vec::new();
            edition.put(&mut body);
            body.extend_from_slice(&edit.content);
            documents.push((edit.key.clone(), edition.version, body));
            made.push(edition);
        }
        let stored = self.documents.put(&documents).await?;
        let mut results = Vec::with_capacity(edits.len());
        for ((edit, made), stored) in edits.iter().zip(made).zip(stored) {
            let counts = stored && self.counts(edit, &made).await?;
            results.push(counts.then_some(made));
        }
        Ok(results)
    }

    /// Returns whether the newest version is based on `made`, which is stored.
    async fn counts(&self, edit: &Edit, made: &Edition) -> Result<bool, Error> {
        let newest = self.documents.get(&edit.key, edit.last).await?;
        let Some(newest) = newest.filter(|newest| newest.version > made.version) else {
            return Ok(true);
        };
        let (newest, ()) = read(&newest, &edit.key, |_| Some(()))?;
        if made.writes.first().is_some_and(|own| newest.writes.contains(own)) {
            return Ok(true);
        }
        if newest.writes.len() < WRITERS {
            return Ok(false);
        }
        let message = format!(
            "{WRITERS} other nodes wrote at the same time, so the outcome of this write is \
             unknown: check the stored data before you retry"
        );
        Err(Error::new(ErrorKind::Conflict, WRITE, message).with_retry(Retry::Unknown))
    }

    /// Deletes versions that newer ones have replaced. Errors are ignored: the versions do no harm.
    pub(super) async fn forget(&self, key: &AggregateKey, selection: Selection<'_>) {
        self.documents.forget(key, selection).await;
    }
}

/// Parses the content of a version with `parse`, and returns the version and the parsed content.
pub(super) fn read<T>(
    document: &Document,
    key: &AggregateKey,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<(Edition, T), Error> {
    document.read(key, |body| {
        let mut reader = ByteReader(body);
        let edition = Edition::read(document.version, &mut reader)?;
        Some((edition, parse(reader.0)?))
    })
}
