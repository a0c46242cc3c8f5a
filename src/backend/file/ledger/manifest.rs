//! [`Manifest`]: what the logs of a ledger were when it was last closed.

use super::super::layout::{Bad, FORMAT, check_magic};
use super::super::wire::Bytes;
use crate::checksum::crc32;

pub(super) const MANIFEST_BYTES: usize = 64;
const MAGIC: [u8; 6] = *b"snflgm";

/// A log as it was when the manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) salt: u64,
    /// Its length, all of it durable: its file is never shorter.
    pub(super) bytes: u64,
}

/// What the file `ledger.manifest` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The same in both logs.
    pub(super) ledger: [u8; 16],
    pub(super) audit: Known,
    /// May be of a log that has been written anew since; that one has another salt.
    pub(super) state: Known,
}

impl Manifest {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut checked = vec![0; 4];
        checked.extend_from_slice(&self.ledger);
        for number in [self.audit.salt, self.audit.bytes, self.state.salt, self.state.bytes] {
            checked.extend_from_slice(&number.to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(MANIFEST_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&crc32(&checked).to_le_bytes());
        bytes.extend_from_slice(&checked);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let mut reader = Bytes(bytes);
        check_magic(&mut reader, MAGIC)?;
        let damaged = Bad::Damaged("its checksum does not match");
        let sum = reader.u32().ok_or(damaged)?;
        if bytes.len() != MANIFEST_BYTES || crc32(reader.0) != sum {
            return Err(damaged);
        }
        let mut fields = || {
            let reserved = reader.u32()?;
            let ledger = reader.array()?;
            let mut known = || Some(Known { salt: reader.u64()?, bytes: reader.u64()? });
            let manifest = Self { ledger, audit: known()?, state: known()? };
            (reserved == 0).then_some(manifest)
        };
        fields().ok_or(Bad::Damaged("it contradicts itself"))
    }
}

#[cfg(test)]
mod tests {
    //! The manifest tells when the end of a log is gone: no changed bit of its own may pass.

    use super::*;

    #[test]
    fn a_manifest_comes_back_as_written_and_no_changed_bit_or_cut_passes() {
        let manifest = Manifest {
            ledger: [3; 16],
            audit: Known { salt: 1, bytes: u64::MAX },
            state: Known { salt: 7, bytes: 48 },
        };
        let bytes = manifest.to_bytes();
        assert_eq!(bytes.len(), MANIFEST_BYTES);
        assert_eq!(Manifest::parse(&bytes), Ok(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::parse(&changed).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..len]).is_err(), "cut to {len}");
        }
    }
}
