//! The names of the files of aggregates.

use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::service::http::segment::encode;

/// The longest segment that is not replaced by a hash. File systems allow 255 bytes.
const MAX_NAME: usize = 200;

/// The name of the file of the aggregate with this id, within the folder of its kind.
pub(crate) fn file_name(id: &str) -> String {
    let segment = encode(id);
    // Names are compared without case by some file systems, so only lower case stands as it is.
    let is_plain = segment.len() <= MAX_NAME
        && segment != "index"
        && !segment.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'~');
    if is_plain {
        return format!("{segment}.json");
    }
    format!("~{}.json", hex(&Sha256::digest(id)))
}
