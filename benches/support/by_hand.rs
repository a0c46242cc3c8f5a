//! What a good engineer writes without this crate: the same codec, the same compression, a
//! checksum, a map of records and a fold. No generations, no identity checks, no comparison with
//! the events, no reasons.

use std::collections::{BTreeMap, HashMap};
use std::sync::RwLock;

use bytes::Bytes;
use snapfold::AggregateKey;

use super::event_log::EventLog;
use super::states::BenchState;

/// A log of events, snapshots in a map, and the loads over them.
pub struct ByHand<S: BenchState> {
    log: EventLog<S::Event>,
    snapshots: RwLock<HashMap<String, BTreeMap<u64, Bytes>>>,
}

/// checksum (4), version (8), encoded length (4), then the payload.
const HEADER: usize = 16;
const COMPRESS_FROM: usize = 512;

impl<S: BenchState> ByHand<S> {
    pub fn new(log: EventLog<S::Event>) -> Self {
        Self { log, snapshots: RwLock::default() }
    }

    pub fn save(&self, id: &str, version: u64, state: &S) {
        let raw = postcard::to_stdvec(state).unwrap();
        let payload =
            if raw.len() < COMPRESS_FROM { raw.clone() } else { lz4_flex::block::compress(&raw) };
        let mut record = vec![0; 4];
        record.extend_from_slice(&version.to_le_bytes());
        record.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        record.extend_from_slice(&payload);
        let checksum = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&checksum.to_le_bytes());
        let mut snapshots = self.snapshots.write().unwrap();
        snapshots.entry(id.to_owned()).or_default().insert(version, record.into());
    }

    /// The fold of all events, and nothing else.
    #[expect(clippy::unused_async, reason = "as it would be over a real store")]
    pub async fn bare_fold(&self, key: &AggregateKey) -> Result<(S, u64), String> {
        let mut state = S::initial(key);
        let version = self.fold(key, &mut state, 0)?;
        Ok((state, version))
    }

    /// The newest snapshot and the events after it.
    #[expect(clippy::unused_async, reason = "as it would be over a real store")]
    pub async fn load(&self, key: &AggregateKey) -> Result<(S, u64), String> {
        let record = self
            .snapshots
            .read()
            .unwrap()
            .get(key.id())
            .and_then(|versions| versions.last_key_value())
            .map(|(_, record)| record.clone());
        let (mut state, version) = match &record {
            Some(record) => open(record)?,
            None => (S::initial(key), 0),
        };
        let version = self.fold(key, &mut state, version)?;
        Ok((state, version))
    }

    /// Folds the events after `version` into `state`; returns the version of the last one.
    fn fold(&self, key: &AggregateKey, state: &mut S, version: u64) -> Result<u64, String> {
        let rows = self.log.rows(key.id());
        for row in rows.iter().skip(version as usize) {
            state.apply(&EventLog::<S::Event>::decode(row).map_err(|e| e.to_string())?);
        }
        Ok(rows.len() as u64)
    }
}

fn open<S: BenchState>(record: &[u8]) -> Result<(S, u64), String> {
    let (header, payload) = record.split_at_checked(HEADER).ok_or("too short")?;
    let checksum = u32::from_le_bytes(header[..4].try_into().unwrap());
    if crc32fast::hash(&record[4..]) != checksum {
        return Err("checksum".into());
    }
    let version = u64::from_le_bytes(header[4..12].try_into().unwrap());
    let raw_len = u32::from_le_bytes(header[12..].try_into().unwrap()) as usize;
    let decompressed;
    let raw = if raw_len < COMPRESS_FROM {
        payload
    } else {
        decompressed = lz4_flex::block::decompress(payload, raw_len).map_err(|e| e.to_string())?;
        &decompressed
    };
    let state = postcard::from_bytes(raw).map_err(|e| e.to_string())?;
    Ok((state, version))
}
