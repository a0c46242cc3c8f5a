//! [`Head`]: the first bytes of a segment.

use super::{Bad, FORMAT, check_magic};
use crate::checksum::crc32;
use crate::little_endian::LittleEndianReader;

/// The length of a segment's head. The first frame follows.
pub(crate) const HEAD_BYTES: u64 = 48;
const MAGIC: [u8; 6] = *b"snfseg";

/// The identity of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The store that the segment belongs to.
    pub(crate) store: [u8; 16],
    /// The number of the segment, from which its file name is derived.
    pub(crate) id: u32,
    /// Part of the checksum of each frame, so that frames of other files are not accepted.
    pub(crate) salt: u64,
}

impl Head {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.store);
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let short = || Bad::Damaged("the segment head is incomplete");
        let mut reader = LittleEndianReader(bytes);
        check_magic(&mut reader, MAGIC)?;
        let checked = bytes.get(..44).ok_or_else(short)?;
        let mut rest = || {
            let store = reader.array()?;
            let (id, flags, salt) = (reader.u32()?, reader.u32()?, reader.u64()?);
            let reserved = reader.u32()?;
            Some((Self { store, id, salt }, flags | reserved, reader.u32()?))
        };
        let (head, reserved, checksum) = rest().ok_or_else(short)?;
        if crc32(checked) != checksum || reserved != 0 {
            return Err(Bad::Damaged("the checksum of the segment head does not match"));
        }
        Ok(head)
    }

    /// Returns whether the checksum of a head matches. The head is the same in all formats,
    /// including newer ones.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        let parts = bytes.split_at_checked(44);
        parts.is_some_and(|(checked, sum)| sum.starts_with(&crc32(checked).to_le_bytes()))
    }
}
