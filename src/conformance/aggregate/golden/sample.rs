//! [`Sample`]: the files of one golden sample.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

use crate::codec::CodecId;
use crate::error::{BoxError, Error, ErrorKind};
use crate::generation::Generation;
use crate::record::Record;

/// The maximum size of a file.
const MAX_BYTES: u64 = 256 << 20;

/// Converts events to lines of text and back.
pub(crate) struct EventText<E> {
    pub(crate) write: Box<Write<E>>,
    pub(crate) read: Box<SampleRead<E>>,
}

type Write<E> = dyn Fn(&E) -> Result<String, BoxError> + Send + Sync;
type SampleRead<E> = dyn Fn(&str) -> Result<E, BoxError> + Send + Sync;

/// The folder of golden samples, and the text form of their events.
pub(crate) struct Golden<E> {
    pub(crate) folder: PathBuf,
    pub(crate) text: EventText<E>,
}

/// A sample as it was read.
pub(super) struct Sample {
    /// The name of both files, without the extension.
    pub(super) name: String,
    pub(super) record: Record,
    /// `None` if the file is missing or is not UTF-8.
    pub(super) events: Option<String>,
}

pub(super) const RECORD: &str = "record";
pub(super) const EVENTS: &str = "events";

/// Returns the prefix that the names of all samples of one generation and codec share.
pub(super) fn prefix(generation: Generation, codec: CodecId) -> String {
    let Generation { schema_version, fingerprint } = generation;
    let codec = codec.to_string().replace(' ', "-");
    format!("schema-{schema_version}-shape-{fingerprint:016x}-{codec}-")
}

/// Returns the anchor that binds the events to the record.
pub(super) fn anchor(events: &str) -> [u8; 8] {
    XxHash3_64::oneshot(events.as_bytes()).to_le_bytes()
}

/// Returns all samples in `folder`, ordered by name. Returns none if the folder does not exist.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Sample>, Error> {
    let failed = |error: std::io::Error| io_failed("read golden samples", folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        if let Some(stem) = stem.filter(|_| path.extension() == Some(OsStr::new(RECORD))) {
            paths.insert(stem, path);
        }
    }
    let sample = |(name, path): (String, PathBuf)| {
        let record = Record::from_bytes(read(&path)?);
        let events = path.with_extension(EVENTS);
        let events = if events.exists() { String::from_utf8(read(&events)?).ok() } else { None };
        Ok(Sample { name, record, events })
    };
    paths.into_iter().map(sample).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| io_failed("read a golden sample", path, error);
    let len = fs::metadata(path).map_err(failed)?.len();
    if len > MAX_BYTES {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "read a golden sample",
            format!("{} is {len} bytes long, but the limit is {MAX_BYTES}", path.display()),
        ));
    }
    fs::read(path).map_err(failed)
}

pub(super) fn io_failed(operation: &'static str, path: &Path, error: std::io::Error) -> Error {
    let message = format!("{} cannot be accessed", path.display());
    Error::new(ErrorKind::InvalidInput, operation, message).with_source(error)
}
