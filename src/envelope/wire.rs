//! Reading little-endian values off a byte slice, without indexing.

use super::reject::Reject;

/// What is left to read of a header.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Reject> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Reject::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Reject::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Reject> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Reject> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Reject> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Reject> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Reject> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn text(&mut self, len: usize) -> Result<&'a str, Reject> {
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Reject::Malformed("text is not UTF-8"))
    }
}
