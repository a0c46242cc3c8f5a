//! [`json_payload`]: the state in a record, if its codec is JSON.

use std::borrow::Cow;

use crate::codec::{CodecId, CompressionId};
use crate::record::{Header, Record};

/// The largest state that is shown, in bytes.
const MAX_BYTES: u32 = 64 << 20;

/// Returns the state in a record as JSON, or the reason why it is not shown.
///
/// Only the application knows how to read the states of other codecs, its own compressions and its
/// seals. The record must have been verified.
pub(super) fn json_payload(record: &Record, header: &Header<'_>) -> Result<String, String> {
    if header.codec != CodecId::JSON {
        return Err(format!("the codec {} needs the application's code", header.codec));
    }
    if header.seal_key.is_some() {
        return Err("it is sealed".to_owned());
    }
    if header.base.is_some() {
        return Err("it is stored as a delta".to_owned());
    }
    if header.dictionary.is_some() {
        return Err("it is compressed with a dictionary".to_owned());
    }
    if header.raw_bytes > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let stored = record.as_bytes().get(header.header_bytes()..).unwrap_or_default();
    let raw = decompressed(header.compression, stored, header.raw_bytes as usize)?;
    match String::from_utf8(raw.into_owned()) {
        Ok(text) => Ok(text),
        Err(_) => Err("it is not valid UTF-8".to_owned()),
    }
}

/// Decompresses a payload to its recorded length. `docs/format.md` specifies both compressions.
fn decompressed(id: CompressionId, stored: &[u8], bytes: usize) -> Result<Cow<'_, [u8]>, String> {
    let damaged = || "it does not decompress to its recorded length".to_owned();
    let raw = match id {
        CompressionId::NONE => Cow::Borrowed(stored),
        CompressionId::LZ4 => match lz4_flex::block::decompress(stored, bytes) {
            Ok(raw) => Cow::Owned(raw),
            Err(_) => return Err(damaged()),
        },
        #[cfg(feature = "zstd")]
        CompressionId::ZSTD => match zstd::bulk::decompress(stored, bytes) {
            Ok(raw) => Cow::Owned(raw),
            Err(_) => return Err(damaged()),
        },
        other => return Err(format!("this command does not read {other}")),
    };
    if raw.len() == bytes { Ok(raw) } else { Err(damaged()) }
}
