//! [`json_payload`]: the state in a record, if its codec is JSON.

use crate::codec::CodecId;
use crate::record::{Header, OpenWith, Record};

/// The largest state that is shown, in bytes.
const MAX_BYTES: u64 = 64 << 20;

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
    let with = OpenWith::nothing(MAX_BYTES);
    let state = record.open(header, with, |raw| Ok(String::from_utf8(raw.to_vec())));
    match state {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) => Err("it is not valid UTF-8".to_owned()),
        Err(reject) => Err(reject.to_string()),
    }
}
