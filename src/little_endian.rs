//! [`LittleEndianReader`]: reads little-endian values and varints without indexing.

/// The bytes that are left to read. Every method returns `None` at the end of the bytes.
#[derive(Clone, Copy)]
pub(crate) struct LittleEndianReader<'a>(pub(crate) &'a [u8]);

impl<'a> LittleEndianReader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads seven bits per byte, low bits first, from at most ten bytes.
    #[cfg(feature = "file")]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(all(test, feature = "file"))]
mod tests {
    use super::*;
    use crate::record::wire::put_varint;

    #[test]
    fn varints_come_back_as_they_were() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut bytes = LittleEndianReader(&out);
            assert_eq!(bytes.varint(), Some(value));
            assert!(bytes.0.is_empty());
            assert_eq!(LittleEndianReader(&out[..out.len() - 1]).varint(), None);
        }
        assert_eq!(LittleEndianReader(&[0xff; 11]).varint(), None);
    }
}
