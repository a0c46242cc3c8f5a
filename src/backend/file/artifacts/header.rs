//! [`ArtifactHeader`], with which the file of an artifact begins.

use crate::artifact::{Artifact, ArtifactId};
use crate::backend::file::format::{Bad, FORMAT, check_magic};
use crate::checksum::crc32;
use crate::little_endian::LittleEndianReader;
use crate::timestamp::Timestamp;

const MAGIC: [u8; 6] = *b"snfcon";
/// What the checksum does not cover: itself, and what is before it.
const CHECKED_FROM: usize = 12;
const TYPE_FROM: usize = 64;

/// What the file of an artifact says about the content that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArtifactHeader {
    pub(super) artifact: Artifact,
    pub(super) stored_at: Timestamp,
}

impl ArtifactHeader {
    /// The length of every header. The longest content type fits.
    pub(super) const BYTES: usize = TYPE_FROM + Artifact::MAX_TYPE_BYTES + 1;

    /// Returns the bytes. The content type must have been checked.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let content_type = self.artifact.content_type.as_bytes();
        let mut checked = Vec::with_capacity(Self::BYTES);
        let type_bytes = u32::try_from(content_type.len()).unwrap_or(u32::MAX);
        checked.extend_from_slice(&type_bytes.to_le_bytes());
        checked.extend_from_slice(self.artifact.id.as_bytes());
        checked.extend_from_slice(&self.artifact.size.to_le_bytes());
        checked.extend_from_slice(&self.stored_at.as_micros().to_le_bytes());
        checked.extend_from_slice(content_type);
        checked.resize(Self::BYTES - CHECKED_FROM, 0);
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&crc32(&checked).to_le_bytes());
        bytes.extend_from_slice(&checked);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Bad> {
        const SHORT: Bad = Bad::Damaged("the file is too short");
        let bytes = bytes.get(..Self::BYTES).ok_or(SHORT)?;
        let mut reader = LittleEndianReader(bytes);
        check_magic(&mut reader, MAGIC)?;
        if reader.u32().ok_or(SHORT)? != crc32(reader.0) {
            return Err(Bad::Damaged("the checksum of the header does not match"));
        }
        let mut fields = || {
            let type_bytes = usize::try_from(reader.u32()?).ok()?;
            let id = ArtifactId::from_bytes(reader.array()?);
            let size = reader.u64()?;
            let stored_at = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
            let artifact = Artifact::new(id, size).content_type(reader.text(type_bytes)?);
            let is_empty = reader.0.iter().all(|byte| *byte == 0);
            (is_empty && artifact.check().is_ok()).then_some(Self { artifact, stored_at })
        };
        fields().ok_or(Bad::Damaged("the header has an invalid field"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    fn header(content_type: &str) -> ArtifactHeader {
        let artifact = Artifact::of(b"plot").content_type(content_type);
        ArtifactHeader { artifact, stored_at: Timestamp::from_seconds(5) }
    }

    #[test]
    fn a_header_comes_back_and_no_change_goes_unnoticed() {
        for content_type in ["x", "image/png", &"t".repeat(Artifact::MAX_TYPE_BYTES)] {
            let header = header(content_type);
            let bytes = header.to_bytes();
            assert_eq!(bytes.len(), 320);
            let longer = [&bytes[..], b"content"].concat();
            assert_eq!(ArtifactHeader::parse(&longer), Ok(header));
            for at in 0..bytes.len() {
                assert!(ArtifactHeader::parse(&bytes[..at]).is_err(), "{at}");
                for bit in 0..8 {
                    let mut other = bytes.clone();
                    other[at] ^= 1 << bit;
                    assert!(ArtifactHeader::parse(&other).is_err(), "{at} {bit}");
                }
            }
        }
        let mut newer = header("x").to_bytes();
        newer[6] = 2;
        assert_eq!(ArtifactHeader::parse(&newer), Err(Bad::Newer(2)));
        assert_eq!(ArtifactHeader::parse(&[0; 320]), Err(Bad::Foreign));
    }

    #[test]
    fn an_invalid_field_is_refused_below_a_right_checksum() {
        let mut bytes = header("xyz").to_bytes();
        for (at, byte) in [(12, 2), (12, 4), (14, 1), (64, b'\n'), (319, 1)] {
            let before = std::mem::replace(&mut bytes[at], byte);
            let sum = crc32(&bytes[12..]).to_le_bytes();
            bytes[8..12].copy_from_slice(&sum);
            let why = "the header has an invalid field";
            assert_eq!(ArtifactHeader::parse(&bytes), Err(Bad::Damaged(why)), "{at}");
            bytes[at] = before;
        }
    }

    /// The checksum was computed with Python's `zlib`, from the bytes that the docs list.
    #[test]
    fn the_format_is_the_documented_one() {
        let bytes = header("image/png").to_bytes();
        let expected = [
            "736e66636f6e 0100",
            "5c4e4513 09000000",
            &ArtifactId::of(b"plot").to_string(),
            "0400000000000000 404b4c0000000000",
            "696d6167652f706e67",
        ]
        .concat()
        .replace(' ', "");
        assert_eq!(hex(&bytes[..64 + 9]), expected);
    }
}
