//! A directory as one piece of bytes: the input of the target `file_store`.
//!
//! One byte of flags; then per file one byte that says which name, two bytes of length (little
//! endian), the content. What is cut short ends early, so any bytes are a directory.

use super::sign::{self, Files, Signing};

pub const CHECKSUMS: u8 = 1;
pub const RECORDS: u8 = 2;
const RECORD_LENGTHS: u8 = 4;
pub const ENTRIES: u8 = 8;
/// All flags that mean something.
pub const FLAGS: u8 = CHECKSUMS | RECORDS | RECORD_LENGTHS | ENTRIES;

/// Names that a store knows, and some that it must not mind.
const NAMES: [&str; 24] = [
    "MANIFEST",
    "00000001.seg",
    "00000001.idx",
    "00000002.seg",
    "00000002.idx",
    "00000003.seg",
    "00000003.idx",
    "00000004.seg",
    "00000004.idx",
    "LOCK",
    "RESERVE",
    "MANIFEST.tmp",
    "00000001.seg.tmp",
    "00000002.seg.tmp",
    "00000003.seg.tmp",
    "00000004.seg.tmp",
    "00000002.idx.tmp",
    "00000000.seg",
    "4294967295.seg",
    "4294967295.idx",
    "00000002.seg.damaged",
    "2.seg",
    "99999999999999999999.seg",
    "notes.txt",
];

/// The name that this byte stands for.
pub fn name(code: u8) -> &'static str {
    NAMES[usize::from(code) % NAMES.len()]
}

/// The bytes that stand for these files. Files of other names are left out, and what is beyond
/// 65,535 bytes of one.
pub fn pack(flags: u8, files: &Files) -> Vec<u8> {
    let mut packed = vec![flags];
    for (name, content) in files {
        let Some(code) = NAMES.iter().position(|known| known == name) else { continue };
        let len = u16::try_from(content.len()).unwrap_or(u16::MAX);
        packed.push(u8::try_from(code).unwrap_or(u8::MAX));
        packed.extend_from_slice(&len.to_le_bytes());
        packed.extend_from_slice(content.get(..len.into()).unwrap_or_default());
    }
    packed
}

/// The files that `packed` stands for, with right checksums if it asks for that.
pub fn unpack(packed: &[u8]) -> Files {
    let mut files = Files::new();
    let Some((flags, mut rest)) = packed.split_first() else { return files };
    while let [code, a, b, after @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*a, *b])).min(after.len());
        let (content, after) = after.split_at(len);
        rest = after;
        let name = name(*code);
        files.retain(|(other, _)| other != name);
        files.push((name.to_owned(), content.to_vec()));
    }
    if flags & CHECKSUMS != 0 {
        let signing = Signing {
            records: flags & RECORDS != 0,
            record_lengths: flags & RECORD_LENGTHS != 0,
            entries: flags & ENTRIES != 0,
        };
        sign::store(&mut files, signing);
    }
    files
}
