//! The byte formats of the store's files. `docs/format-file-store.md` specifies them: change both
//! together.

pub(super) mod checksum;
mod delete;
pub(super) mod flaw;
mod frame;
mod guard;
mod head;
pub(super) mod hints;
mod manifest;
mod marks;
pub(super) mod names;
mod seal;
pub(super) mod tag;
mod zigzag;

pub(super) use delete::{DeleteBody, DeleteScope};
pub(super) use frame::{
    ALIGN, FRAME_BYTES, Frame, Kind, MAX_BODY_BYTES, MAX_OFFSET, MAX_SEQ, PROVEN_BYTES, frame_bytes,
};
pub(super) use head::{HEAD_BYTES, Head};
pub(super) use manifest::{Entry, Manifest};
pub(super) use marks::MarksBody;
pub(super) use seal::{SEAL_BYTES, SegmentSeal, encode_seal};

use crate::little_endian::LittleEndianReader;

/// The format number that this release writes into each of its files, and the only one it reads.
pub(super) const FORMAT: u16 = 1;

/// Why a file is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The file is not of this kind at all.
    Foreign,
    /// A newer release wrote the file.
    Newer(u16),
    /// The file is too short, or a checksum does not match. Contains the reason.
    Damaged(&'static str),
}

/// Checks the first eight bytes of a file: six bytes of magic and two bytes of format.
pub(super) fn check_magic(bytes: &mut LittleEndianReader<'_>, magic: [u8; 6]) -> Result<(), Bad> {
    let found: [u8; 6] = bytes.array().ok_or(Bad::Damaged("the file is too short"))?;
    if found != magic {
        return Err(Bad::Foreign);
    }
    match bytes.u16().ok_or(Bad::Damaged("the file is too short"))? {
        FORMAT => Ok(()),
        0 => Err(Bad::Damaged("the file has the invalid format number 0")),
        newer => Err(Bad::Newer(newer)),
    }
}
