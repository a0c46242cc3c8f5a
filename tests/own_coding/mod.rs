//! A compressor and a seal as an application may have them, which misbehave on demand.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snapfold::BoxError;
use snapfold::codec::{CompressionId, Compressor, Seal, SealContext, Sealed};

/// Stores runs of equal bytes as pairs: a length and a byte.
#[derive(Clone, Debug)]
pub struct Runs {
    pub id: CompressionId,
    pub fault: Arc<Mutex<Fault>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fault {
    #[default]
    None,
    /// When something is stored.
    WriteFails,
    WritePanics,
    /// When it is read back.
    ReadFails,
    ReadPanics,
    ReadReturnsLess,
    ReadReturnsMore,
    ReadReturnsOther,
    /// The id of the key is too long.
    LongKeyId,
    /// There is no such key when it is read back.
    ForgetsKey,
}

impl Fault {
    /// Those of writing, and those of reading, which a write meets too when it reads back.
    pub const ALL: [Self; 7] = [
        Self::WriteFails,
        Self::WritePanics,
        Self::ReadFails,
        Self::ReadPanics,
        Self::ReadReturnsLess,
        Self::ReadReturnsMore,
        Self::ReadReturnsOther,
    ];

    fn write(self) -> Result<(), BoxError> {
        assert!(self != Self::WritePanics, "it was told to");
        if self == Self::WriteFails { Err("it was told to fail".into()) } else { Ok(()) }
    }

    fn read(self, mut bytes: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        assert!(self != Self::ReadPanics, "it was told to");
        match self {
            Self::ReadFails => return Err("it was told to fail".into()),
            Self::ReadReturnsLess => drop(bytes.pop()),
            Self::ReadReturnsMore => bytes.push(0),
            Self::ReadReturnsOther => bytes.iter_mut().for_each(|byte| *byte ^= 1),
            _ => {}
        }
        Ok(bytes)
    }
}

impl Runs {
    pub fn new() -> Self {
        Self { id: CompressionId::custom(7), fault: Arc::default() }
    }

    pub fn with_id(self, number: u8) -> Self {
        Self { id: CompressionId::from_byte(number), ..self }
    }

    pub fn set(&self, fault: Fault) {
        *locked(&self.fault) = fault;
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor for Runs {
    fn id(&self) -> CompressionId {
        self.id
    }

    fn name(&self) -> &'static str {
        "runs"
    }

    fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        let fault = *locked(&self.fault);
        fault.write()?;
        let runs = raw.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255));
        Ok(Some(runs.flat_map(|run| [u8::try_from(run.len()).unwrap(), run[0]]).collect()))
    }

    fn decompress(&self, stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, BoxError> {
        let fault = *locked(&self.fault);
        let total: usize = stored.iter().step_by(2).map(|length| usize::from(*length)).sum();
        if total != raw_bytes || !stored.len().is_multiple_of(2) {
            return Err("the lengths of the runs are wrong".into());
        }
        let mut raw = Vec::with_capacity(raw_bytes);
        for pair in stored.chunks(2) {
            raw.resize(raw.len() + usize::from(pair[0]), pair[1]);
        }
        fault.read(raw)
    }
}

/// No cipher: anybody can compute its key stream. It shows what a seal has to do. Clones share
/// their keys.
#[derive(Clone, Default)]
pub struct NoCipher(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    current: String,
    /// By their ids.
    known: BTreeMap<String, u64>,
    sealed: u64,
    fault: Fault,
}

/// Before the payload: a number that is used once, and a checksum.
const HEAD: usize = 16;

impl NoCipher {
    pub fn new(key_id: &str) -> Self {
        let seal = Self::default();
        seal.rotate(key_id);
        seal
    }

    /// Seals with this key from now on. Earlier ones open what they sealed.
    pub fn rotate(&self, key_id: &str) {
        let mut keys = locked(&self.0);
        key_id.clone_into(&mut keys.current);
        let key = hash(0, key_id.as_bytes());
        keys.known.entry(key_id.to_owned()).or_insert(key);
    }

    /// Has another key under this id.
    pub fn mistake(&self, key_id: &str) {
        locked(&self.0).known.insert(key_id.to_owned(), 5);
    }

    pub fn forget(&self, key_id: &str) {
        locked(&self.0).known.remove(key_id);
    }

    /// All keys but the current one are gone.
    pub fn forget_others(&self) {
        let mut keys = locked(&self.0);
        let current = keys.current.clone();
        keys.known.retain(|key_id, _| *key_id == current);
    }

    pub fn set(&self, fault: Fault) {
        locked(&self.0).fault = fault;
    }

    /// How many payloads were sealed.
    pub fn sealed(&self) -> u64 {
        locked(&self.0).sealed
    }
}

impl Seal for NoCipher {
    fn seal(&self, of: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError> {
        let (fault, key_id, key, nonce) = {
            let mut keys = locked(&self.0);
            keys.sealed += 1;
            let key = keys.known.get(&keys.current).copied().ok_or("the current key is gone")?;
            (keys.fault, keys.current.clone(), key, keys.sealed)
        };
        fault.write()?;
        let key_id = if fault == Fault::LongKeyId { "k".repeat(256) } else { key_id };
        let mut bytes = nonce.to_le_bytes().to_vec();
        bytes.extend_from_slice(&checksum(key, nonce, of, payload).to_le_bytes());
        bytes.extend(payload.iter().zip(stream(key, nonce)).map(|(byte, mask)| byte ^ mask));
        Ok(Sealed::new(key_id, bytes))
    }

    fn open(
        &self,
        of: SealContext<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError> {
        let (fault, key) = {
            let keys = locked(&self.0);
            (keys.fault, keys.known.get(key_id).copied())
        };
        let Some(key) = key.filter(|_| fault != Fault::ForgetsKey) else { return Ok(None) };
        let (head, bytes) = sealed.split_at_checked(HEAD).ok_or("it is too short")?;
        let [nonce, sum] =
            [0, 8].map(|at| u64::from_le_bytes(head[at..at + 8].try_into().unwrap()));
        let payload: Vec<u8> =
            bytes.iter().zip(stream(key, nonce)).map(|(byte, mask)| byte ^ mask).collect();
        if checksum(key, nonce, of, &payload) != sum {
            return Err("the checksum does not match".into());
        }
        fault.read(payload).map(Some)
    }
}

fn checksum(key: u64, nonce: u64, of: SealContext<'_>, payload: &[u8]) -> u64 {
    hash(hash(hash(key, &nonce.to_le_bytes()), &of.to_bytes()), payload)
}

fn stream(key: u64, nonce: u64) -> impl Iterator<Item = u8> {
    (0_u64..).flat_map(move |block| {
        hash(hash(key, &nonce.to_le_bytes()), &block.to_le_bytes()).to_le_bytes()
    })
}

/// FNV-1a, mixed at the end.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows no keys.
impl fmt::Debug for NoCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoCipher")
    }
}
