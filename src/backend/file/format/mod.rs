//! The bytes of the store's files. `docs/format-file-store.md` specifies each of them; whoever
//! changes one changes the other.

pub(super) mod bytes;
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

pub(super) use delete::{DeleteBody, Scope};
pub(super) use frame::{
    ALIGN, FRAME_BYTES, Frame, Kind, MAX_BODY_BYTES, MAX_OFFSET, MAX_SEQ, PROVEN_BYTES, frame_bytes,
};
pub(super) use head::{HEAD_BYTES, Head};
pub(super) use manifest::{Entry, Manifest};
pub(super) use marks::MarksBody;
pub(super) use seal::{SEAL_BYTES, Seal, encode_seal};

/// The format that this release writes into every file of its own, and the only one it reads.
pub(super) const FORMAT: u16 = 1;

/// Why a file is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Not a file of this kind at all.
    Foreign,
    /// Of a newer release.
    Newer(u16),
    /// Too short, or a checksum does not match; the text says which.
    Damaged(&'static str),
}

/// Checks the eight bytes that lead every file: six of magic, two of format.
pub(super) fn check_magic(bytes: &mut bytes::Bytes<'_>, magic: [u8; 6]) -> Result<(), Bad> {
    let found: [u8; 6] = bytes.array().ok_or(Bad::Damaged("the file is too short"))?;
    if found != magic {
        return Err(Bad::Foreign);
    }
    match bytes.u16().ok_or(Bad::Damaged("the file is too short"))? {
        FORMAT => Ok(()),
        0 => Err(Bad::Damaged("the file has format 0")),
        newer => Err(Bad::Newer(newer)),
    }
}
