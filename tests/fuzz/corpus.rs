//! What fuzzing starts from: the golden files, as inputs of the targets.

use std::fs;
use std::path::{Path, PathBuf};

use snapfold::codec::CodecId;
use snapfold::record::Record;

use crate::bodies::sign::Files;
use crate::bodies::{packed, payload};

fn fixtures(name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// The golden records, as inputs of `header` and `record`.
pub fn records() -> Vec<Vec<u8>> {
    let golden = fixtures("format");
    assert!(golden.len() >= 8, "the golden records were not found");
    golden.into_iter().map(|(_, bytes)| [vec![0], bytes].concat()).collect()
}

/// The golden stores, and one whose last segment was just begun.
pub fn stores() -> Vec<Files> {
    let golden = ["v1", "v1_crashed"].map(|name| fixtures(&format!("file_store/{name}")));
    let [mut begun, _] = golden.clone();
    begun.retain(|(name, _)| name != "00000002.idx");
    for (_, bytes) in begun.iter_mut().filter(|(name, _)| name == "00000002.seg") {
        bytes.truncate(48);
    }
    let begun = packed::unpack(&packed::pack(packed::CHECKSUMS | packed::ENTRIES, &begun));
    golden.into_iter().chain([begun]).collect()
}

/// The golden stores, as inputs of `file_store`.
pub fn packed_stores() -> Vec<Vec<u8>> {
    stores().iter().map(|files| packed::pack(0, files)).collect()
}

/// The payloads of the golden records and of samples of further types, as inputs of `payload`.
pub fn payloads() -> Vec<Vec<u8>> {
    let golden = fixtures("format").into_iter().filter_map(|(_, bytes)| {
        let record = Record::from_bytes(bytes);
        let header = record.verify().unwrap();
        let codec = match header.codec {
            CodecId::POSTCARD => 0,
            CodecId::MSGPACK => 1,
            CodecId::JSON => 2,
            CodecId::BINCODE => 3,
            _ => return None,
        };
        let mut input = vec![codec, 0, header.compression.as_byte()];
        input.extend_from_slice(&header.raw_bytes.to_le_bytes());
        input.extend_from_slice(&record.as_bytes()[header.header_bytes()..]);
        Some(input)
    });
    golden.chain(payload::samples()).collect()
}
