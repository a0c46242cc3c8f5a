//! Changes of an index: compare and set, and what came of it.

use std::sync::Arc;

use bytes::Bytes;

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed, is_final};
use super::index::{
    AggregateIndex, BadIndex, ChangeFate, MAX_INDEX_BYTES, encode_index, parse_index,
};
use super::known::KnownIndex;
use super::pause::Pause;
use super::remote::ObjectAnswer;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::random::random_number;

const CHANGE: &str = "change the snapshots of an aggregate";
const READ: &str = "read the index of an aggregate";

/// What a change does to an index, with its result.
pub(super) enum IndexChange<T> {
    /// Nothing.
    Keep(T),
    /// The index is written with these snapshots.
    Write(Box<AggregateIndex>, T),
}

impl BucketStore {
    /// Reads the index of an aggregate, or finds that it has not changed.
    pub(super) async fn read_index(&self, key: &AggregateKey) -> Result<Arc<KnownIndex>, Error> {
        let path = self.layout.index(key)?;
        let known = self.memory.index(&path);
        let version = known.as_ref().and_then(|known| known.version.as_ref());
        let answer = self.remote.read(&path, version, MAX_INDEX_BYTES).await;
        let answer = answer.map_err(|error| failed(READ, RequestEffect::Read, &error))?;
        let (bytes, version) = match answer {
            ObjectAnswer::Missing => {
                // Most first puts follow a load that found nothing.
                let absent = Arc::new(KnownIndex::ABSENT);
                self.memory.set_index(&path, &absent);
                return Ok(absent);
            }
            // A server may say so without having been asked.
            ObjectAnswer::Unchanged => {
                return known.ok_or_else(|| damaged(key, "the server did not send it"));
            }
            ObjectAnswer::TooLong => return Err(damaged(key, "it is too long")),
            ObjectAnswer::Object(bytes, version) => (bytes, version),
        };
        let index = match parse_index(&bytes, key) {
            Ok(index) => index,
            Err(BadIndex::Newer) => {
                let message = "a newer release of snapfold wrote the index: update snapfold";
                return Err(Error::new(ErrorKind::Unsupported, READ, message));
            }
            Err(BadIndex::Foreign) => return Err(damaged(key, "it is something else")),
            Err(BadIndex::Damaged(why)) => return Err(damaged(key, why)),
        };
        let known = Arc::new(KnownIndex::new(index, version, bytes.len() as u64));
        self.memory.set_index(&path, &known);
        Ok(known)
    }

    /// Changes the index of an aggregate. `change` is called with each index that the change may have
    /// to start from, first with `start`, which may be outdated. The caller holds the lock of the key.
    ///
    /// The answer of a conditional write is never taken for the outcome: a client repeats requests
    /// that had an effect, and answers get lost. Each write has a random number that the following 256
    /// indexes contain, and so the index tells what became of it.
    pub(super) async fn update<T>(
        &self,
        key: &AggregateKey,
        start: Option<Arc<KnownIndex>>,
        mut change: impl FnMut(&AggregateIndex) -> Result<IndexChange<T>, Error>,
    ) -> Result<T, Error> {
        let path = self.layout.index(key)?;
        let nonce = random_number(CHANGE)?;
        let mut start = start;
        // The sequence that each attempt would have led to, and its result.
        let mut attempts: Vec<(u64, T)> = Vec::new();
        // The last attempt was refused, and will be refused again.
        let mut refused = None;
        let mut pause = Pause::new();
        loop {
            let is_fresh = start.is_none();
            let known = match start.take() {
                Some(known) => known,
                None => match self.read_index(key).await {
                    Ok(known) => known,
                    // A change may have been made, and this has to be found out.
                    Err(error) if !attempts.is_empty() && error.is_retryable() => {
                        pause.wait().await;
                        continue;
                    }
                    Err(error) if attempts.is_empty() => return Err(error),
                    Err(error) => return Err(error.with_retry(Retry::Unknown)),
                },
            };
            let fate = |(sequence, _): &(u64, T)| known.index.fate(*sequence, nonce);
            if let Some(made) = attempts.iter().position(|it| fate(it) == ChangeFate::Made) {
                return Ok(attempts.swap_remove(made).1);
            }
            if attempts.iter().any(|it| fate(it) == ChangeFate::Forgotten) {
                let message = "too many others changed it at the same time to find out whether \
                               this change was made";
                return Err(
                    Error::new(ErrorKind::Conflict, CHANGE, message).with_retry(Retry::Unknown)
                );
            }
            if let Some(error) = refused {
                let error = failed(CHANGE, RequestEffect::Write, &error);
                // An earlier attempt may be on its way.
                let is_only = attempts.len() == 1;
                let retry = if is_only { Retry::Never } else { Retry::Unknown };
                return Err(error.with_retry(retry));
            }
            let changed = change(&known.index).and_then(|change| match change {
                IndexChange::Keep(result) => Ok((None, result)),
                IndexChange::Write(index, result) => {
                    let index = index.changed(nonce);
                    let bytes = Bytes::from(encode_index(&index, self.options.inline_limit)?);
                    Ok((Some((index.sequence(), bytes)), result))
                }
            });
            let (sequence, bytes, result) = match changed {
                Ok((Some((sequence, bytes)), result)) => (sequence, bytes, result),
                // What is in memory may be outdated. Only a write would find that out.
                _ if !is_fresh => continue,
                Ok((None, kept)) => return Ok(kept),
                Err(error) => return Err(error),
            };
            let written = self.remote.write_if(&path, bytes.clone(), known.version.clone()).await;
            match written {
                Ok(version) => {
                    // Parsed again, so that records that are not in the index are let go.
                    match parse_index(&bytes, key) {
                        Ok(index) if version.e_tag.is_some() || version.version.is_some() => {
                            let known = KnownIndex::new(index, version, bytes.len() as u64);
                            self.memory.set_index(&path, &Arc::new(known));
                        }
                        _ => self.memory.forget(&path),
                    }
                    return Ok(result);
                }
                Err(error) => {
                    self.memory.forget(&path);
                    attempts.push((sequence, result));
                    if is_final(&error) {
                        // Also after this, the index is read: the client may have repeated a request
                        // that had an effect, with credentials that had ended.
                        refused = Some(error);
                    } else if attempts.len() > 1 {
                        pause.wait().await;
                    }
                }
            }
        }
    }
}

fn damaged(key: &AggregateKey, why: &str) -> Error {
    let message = format!("the index of {key} is damaged: {why}: call repair");
    Error::new(ErrorKind::CorruptStore, READ, message)
}
