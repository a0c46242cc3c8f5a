//! [`Manifest`]: the list of the segments of the store.

use super::checksum::{checksum, put_checksum};
use super::{Bad, FORMAT, HEAD_BYTES, MAX_SEQ, check_magic};
use crate::little_endian::LittleEndianReader;

const MAGIC: [u8; 6] = *b"snfman";
const FIXED_BYTES: usize = 72;
const ENTRY_BYTES: usize = 24;
const SEALED: u32 = 1;

/// The content of the file `MANIFEST`. A segment that it does not list is not part of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: [u8; 16],
    /// The secret of the hashes in the index.
    pub(crate) secret: [u64; 2],
    /// An upper bound: all sequence numbers in sealed segments are lower.
    pub(crate) next_seq: u64,
    /// An upper bound: the numbers of all segments ever listed are lower.
    pub(crate) next_id: u32,
    /// The segments, ordered by id. At most one of them is not sealed.
    pub(crate) segments: Vec<Entry>,
    /// Segments that were listed earlier and whose files may still exist.
    pub(crate) retired: Vec<u32>,
}

/// One segment of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) sealed: bool,
    pub(crate) salt: u64,
    /// The length of the file if the segment is sealed, or else the length that was durable when
    /// the manifest was written.
    pub(crate) bytes: u64,
}

impl Manifest {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let len = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
        let total = FIXED_BYTES + self.segments.len() * ENTRY_BYTES + self.retired.len() * 4;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&len(total));
        bytes.extend_from_slice(&self.store);
        for half in self.secret {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        bytes.extend_from_slice(&self.next_id.to_le_bytes());
        bytes.extend_from_slice(&len(self.segments.len()));
        bytes.extend_from_slice(&len(self.retired.len()));
        bytes.extend_from_slice(&[0; 4]);
        for entry in &self.segments {
            bytes.extend_from_slice(&entry.id.to_le_bytes());
            bytes.extend_from_slice(&if entry.sealed { SEALED } else { 0 }.to_le_bytes());
            bytes.extend_from_slice(&entry.salt.to_le_bytes());
            bytes.extend_from_slice(&entry.bytes.to_le_bytes());
        }
        for id in &self.retired {
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        put_checksum(0, &mut bytes);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        let mut reader = LittleEndianReader(bytes);
        check_magic(&mut reader, MAGIC)?;
        let damaged = Bad::Damaged("the checksum of the manifest does not match");
        let sum = reader.u32().ok_or(damaged)?;
        if bytes.len() < FIXED_BYTES || checksum(0, bytes) != sum {
            return Err(damaged);
        }
        Self::fields(reader, bytes.len())
            .ok_or(Bad::Damaged("the fields of the manifest contradict each other"))
    }

    fn fields(mut reader: LittleEndianReader<'_>, len: usize) -> Option<Self> {
        if reader.u32()? as usize != len {
            return None;
        }
        let store = reader.array()?;
        let secret = [reader.u64()?, reader.u64()?];
        let (next_seq, next_id) = (reader.u64()?, reader.u32()?);
        let (segments, retired) = (reader.u32()? as usize, reader.u32()? as usize);
        if reader.u32()? != 0
            || reader.0.len()
                != segments.checked_mul(ENTRY_BYTES)?.checked_add(retired.checked_mul(4)?)?
        {
            return None;
        }
        let segments = (0..segments).map(|_| entry(&mut reader)).collect::<Option<Vec<_>>>()?;
        let retired = (0..retired).map(|_| reader.u32()).collect::<Option<Vec<_>>>()?;
        let ordered = segments.iter().zip(segments.iter().skip(1)).all(|(a, b)| a.id < b.id);
        let open = segments.iter().filter(|entry| !entry.sealed).count();
        // A new segment must not reuse the name of an existing one.
        let numbered = segments
            .iter()
            .map(|entry| entry.id)
            .chain(retired.iter().copied())
            .all(|id| id < next_id);
        let headed = segments.iter().all(|entry| entry.bytes >= HEAD_BYTES);
        segments.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes))?;
        let sane = ordered && open <= 1 && numbered && headed && next_seq <= MAX_SEQ + 1;
        sane.then_some(Self { store, secret, next_seq, next_id, segments, retired })
    }
}

fn entry(reader: &mut LittleEndianReader<'_>) -> Option<Entry> {
    let (id, flags) = (reader.u32()?, reader.u32()?);
    let (salt, bytes) = (reader.u64()?, reader.u64()?);
    (flags & !SEALED == 0).then_some(Entry { id, sealed: flags == SEALED, salt, bytes })
}

#[cfg(test)]
mod tests {
    //! A wrong manifest loses snapshots, so every flipped bit and every truncation must be
    //! detected.

    use super::*;

    #[test]
    fn a_manifest_comes_back_as_written_and_no_changed_bit_or_cut_passes() {
        let entry = |id| Entry { id, sealed: id != 9, salt: 77, bytes: 4096 };
        let manifest = Manifest {
            store: [3; 16],
            secret: [1, u64::MAX],
            next_seq: 12,
            next_id: 10,
            segments: vec![entry(1), entry(4), entry(9)],
            retired: vec![2, 3],
        };
        let bytes = manifest.to_bytes();
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

    #[test]
    fn a_manifest_whose_numbers_cannot_be_true_is_refused() {
        let entry = |id, bytes| Entry { id, sealed: true, salt: 77, bytes };
        let sane = Manifest {
            store: [3; 16],
            secret: [1, 2],
            next_seq: MAX_SEQ + 1,
            next_id: 5,
            segments: vec![entry(1, HEAD_BYTES), entry(4, 4096)],
            retired: vec![3],
        };
        assert_eq!(Manifest::parse(&sane.to_bytes()), Ok(sane.clone()));
        let huge = vec![entry(1, u64::MAX), entry(4, 4096)];
        for wrong in [
            Manifest { next_id: 4, ..sane.clone() },
            Manifest { retired: vec![5], ..sane.clone() },
            Manifest { next_seq: MAX_SEQ + 2, ..sane.clone() },
            Manifest { segments: vec![entry(1, HEAD_BYTES - 1)], ..sane.clone() },
            Manifest { segments: vec![entry(4, 4096), entry(1, 4096)], ..sane.clone() },
            Manifest { segments: huge, ..sane.clone() },
        ] {
            assert!(Manifest::parse(&wrong.to_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_manifest_of_a_newer_format_is_named_as_such() {
        let mut bytes = b"snfman".to_vec();
        bytes.extend_from_slice(&[7, 0, 1, 2, 3]);
        assert_eq!(Manifest::parse(&bytes), Err(Bad::Newer(7)));
        assert_eq!(Manifest::parse(b"something else"), Err(Bad::Foreign));
    }
}
