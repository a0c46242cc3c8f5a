//! [`Documents`]: mutable documents as records of a snapshot store.

use std::fmt::Write;
use std::sync::Arc;

use hmac_sha256::Hash;

use super::{
    DeleteOptions, Found, Lookup, PutOptions, PutOutcome, Query, Selection, SnapshotStore,
};
use crate::codec::CodecId;
use crate::error::{Error, ErrorKind, Retry};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::{OpenWith, Record, RecordBuilder, RejectReason};
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// The format of all documents. A new format gets a new schema version.
const FORMAT: Generation = Generation { schema_version: 1, fingerprint: 0 };
/// An id that belongs to no codec, because documents are not decoded by codecs.
const CODEC: CodecId = CodecId::from_u16(0x7f00);
/// A document that claims to be larger is damaged.
const MAX_BYTES: u64 = 256 << 20;
/// The maximum number of times a write is attempted if it keeps losing the race to other nodes.
const ATTEMPTS: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Documents {
    store: Arc<dyn SnapshotStore>,
    /// What errors call the reading of a document.
    read: &'static str,
}

/// A document as it was read.
pub(crate) struct Document {
    pub(crate) version: u64,
    record: Record,
    read: &'static str,
}

impl Documents {
    /// `read` is what errors call the reading of a document.
    pub(crate) fn new(store: Arc<dyn SnapshotStore>, read: &'static str) -> Self {
        Self { store, read }
    }

    /// Returns the newest version of the document `key` at or below `at_most`.
    pub(crate) async fn get(
        &self,
        key: &AggregateKey,
        at_most: u64,
    ) -> Result<Option<Document>, Error> {
        let lookup = self.store.get(Query::latest(key, FORMAT).at_most(at_most)).await?;
        self.found(key, at_most, lookup)
    }

    /// Returns the newest version of each of the documents `keys`.
    pub(crate) async fn get_many(
        &self,
        keys: &[AggregateKey],
    ) -> Result<Vec<Option<Document>>, Error> {
        let queries: Vec<_> = keys.iter().map(|key| Query::latest(key, FORMAT)).collect();
        let lookups = self.store.get_many(&queries).await?;
        keys.iter().zip(lookups).map(|(key, lookup)| self.found(key, u64::MAX, lookup)).collect()
    }

    /// Stores one version of each document. Returns for each whether it was stored. If it was not,
    /// another node has taken that version.
    pub(crate) async fn put(
        &self,
        documents: &[(AggregateKey, u64, Vec<u8>)],
    ) -> Result<Vec<bool>, Error> {
        let outcomes = self.store.put(records(documents)?, PutOptions::default()).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome == PutOutcome::Stored).collect())
    }

    /// Overwrites versions of documents, or stores them.
    #[cfg(feature = "publish")]
    pub(crate) async fn rewrite(
        &self,
        documents: &[(AggregateKey, u64, Vec<u8>)],
    ) -> Result<(), Error> {
        self.store.put(records(documents)?, PutOptions::default().replace(true)).await.map(drop)
    }

    /// Returns exactly these versions of documents.
    #[cfg(feature = "publish")]
    pub(crate) async fn get_versions(
        &self,
        versions: &[(AggregateKey, u64)],
    ) -> Result<Vec<Option<Document>>, Error> {
        let query = |(key, version)| Query::latest(key, FORMAT).at_most(version).at_least(version);
        let queries: Vec<_> =
            versions.iter().map(|(key, version)| query((key, *version))).collect();
        let lookups = self.store.get_many(&queries).await?;
        let found = versions.iter().zip(lookups);
        found.map(|((key, version), lookup)| self.found(key, *version, lookup)).collect()
    }

    /// Returns the versions of a document at or below `at_most`, highest first, at most `limit` of
    /// them, and whether there are more.
    #[cfg(feature = "publish")]
    pub(crate) async fn versions(
        &self,
        key: &AggregateKey,
        at_most: u64,
        limit: usize,
    ) -> Result<(Vec<u64>, bool), Error> {
        let request = super::ListRequest::new(key).at_most(at_most).limit(limit);
        let page = self.store.list(request).await?;
        Ok((page.items.iter().map(|meta| meta.version).collect(), page.next.is_some()))
    }

    /// Deletes versions of a document that newer ones have replaced. Errors are ignored, because
    /// the versions do no harm and the next call deletes them too.
    pub(crate) async fn forget(&self, key: &AggregateKey, selection: Selection<'_>) {
        let _ = self.store.delete(key, selection, DeleteOptions::default()).await;
    }

    fn found(
        &self,
        key: &AggregateKey,
        at_most: u64,
        lookup: Lookup,
    ) -> Result<Option<Document>, Error> {
        match lookup {
            Lookup::Found(found) => {
                let Found { version, record, .. } = found;
                Ok(Some(Document { version, record, read: self.read }))
            }
            // Below a bound, a store need not know whether other generations exist.
            Lookup::OtherGeneration if at_most == u64::MAX => Err(Error::new(
                ErrorKind::Unsupported,
                self.read,
                format!("{key} was written by a newer release: upgrade snapfold"),
            )),
            Lookup::OtherGeneration | Lookup::Absent => Ok(None),
        }
    }
}

fn records(documents: &[(AggregateKey, u64, Vec<u8>)]) -> Result<Vec<Record>, Error> {
    let record = |(key, version, body): &(AggregateKey, u64, Vec<u8>)| {
        RecordBuilder::new(key.clone(), FORMAT, *version, Timestamp::from_micros(0))
            .codec(CODEC)
            .build(body)
    };
    documents.iter().map(record).collect()
}

impl Document {
    /// Verifies the content and parses it with `parse`, which returns `None` for damaged content.
    pub(crate) fn read<T>(
        &self,
        key: &AggregateKey,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Error> {
        let opened = self.record.header().and_then(|header| {
            if !header.is_of(key) || header.version != self.version || header.generation != FORMAT {
                return Err(RejectReason::Malformed("it belongs to another document"));
            }
            let malformed = RejectReason::Malformed("the content has another format");
            let with = OpenWith::nothing(MAX_BYTES);
            self.record.open(&header, with, |body| parse(body).ok_or(malformed))
        });
        opened.map_err(|reject| corrupt(self.read, key, self.version, &reject.to_string()))
    }
}

/// Returns the snapshot id of a version of a document.
pub(crate) const fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: FORMAT, version }
}

/// The error of `operation` for an unusable document.
pub(crate) fn corrupt(
    operation: &'static str,
    key: &AggregateKey,
    version: u64,
    why: &str,
) -> Error {
    let message =
        format!("version {version} of {key} is unusable ({why}): restore it from a backup");
    Error::new(ErrorKind::CorruptStore, operation, message)
}

/// Counts how often a write lost the race to another node.
#[derive(Default)]
pub(crate) struct Race(usize);

impl Race {
    pub(crate) fn lost(&mut self, operation: &'static str) -> Result<(), Error> {
        self.0 += 1;
        if self.0 < ATTEMPTS {
            return Ok(());
        }
        let message =
            format!("lost the race to another node {ATTEMPTS} times in a row: retry later");
        Err(Error::new(ErrorKind::Conflict, operation, message).with_retry(Retry::Later))
    }
}

/// Hashes strings to a name of 64 hexadecimal digits, because a store need not accept ids as long
/// as all the strings together.
pub(crate) fn name_of(texts: &[&str]) -> String {
    let mut name = String::with_capacity(64);
    for byte in hash_of(texts) {
        // Writing to a String never fails.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

pub(crate) fn hash_of(texts: &[&str]) -> [u8; 32] {
    let mut hasher = Hash::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize()
}
