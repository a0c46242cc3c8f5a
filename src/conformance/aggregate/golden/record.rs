//! Recording golden samples of the current generation: [`record`].

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::sample::{EVENTS, EventText, Golden, RECORD, anchor, io_failed, prefix, read_all};
use super::source::recorded_at;
use crate::codec::Codec;
use crate::compress::Compression;
use crate::conformance::aggregate::law_case::LawCase;
use crate::conformance::aggregate::under_test::AggregateUnderTest;
use crate::error::{BoxError, Error, ErrorKind};
use crate::generation::Generation;
use crate::record::{Record, RecordBuilder};
use crate::state::Aggregate;

/// The number of histories that become samples.
const SAMPLES: usize = 8;

/// Writes samples of `generation` unless some exist, and returns how many it wrote.
pub(crate) fn record<A: Aggregate>(
    case: &LawCase<A>,
    golden: &Golden<A::Event>,
    generation: Generation,
) -> Result<usize, Error> {
    let prefix = prefix(generation, case.subject.codec.id());
    if read_all(&golden.folder)?.iter().any(|sample| sample.name.starts_with(&prefix)) {
        return Ok(0);
    }
    let folder = &golden.folder;
    fs::create_dir_all(folder).map_err(|error| io_failed(RECORDING, folder, error))?;
    let histories = case.histories.iter().filter(|history| !history.events.is_empty());
    let mut written = 0;
    for history in histories.take(SAMPLES) {
        let (events, record) = sample(&case.subject, &history.events, &golden.text, generation)?;
        let path = folder.join(format!("{prefix}{written:02}"));
        // The record is written last, because a sample without a record is ignored.
        write(&path.with_extension(EVENTS), events.as_bytes())?;
        write(&path.with_extension(RECORD), record.as_bytes())?;
        written += 1;
    }
    Ok(written)
}

const RECORDING: &str = "record golden samples";

fn sample<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    events: &[A::Event],
    text: &EventText<A::Event>,
    generation: Generation,
) -> Result<(String, Record), Error> {
    let failed = |message: String| Error::new(ErrorKind::Encode, RECORDING, message);
    let boxed = |message: &str, error: BoxError| failed(message.to_owned()).with_source(error);
    let mut lines = String::new();
    let mut read_back = Vec::with_capacity(events.len());
    for event in events {
        let line =
            (text.write)(event).map_err(|e| boxed("an event cannot be written as a string", e))?;
        if line.contains(['\n', '\r']) {
            return Err(failed("the string of an event contains a line break".to_owned()));
        }
        let event = (text.read)(&line)
            .map_err(|e| boxed("an event cannot be read back from its string", e))?;
        read_back.push(event);
        lines.push_str(&line);
        lines.push('\n');
    }
    let folded = |events: &[A::Event]| {
        subject.fold(events).map_err(|panicked| failed(format!("apply panics with {panicked}")))
    };
    if let Some(difference) = subject.difference(&folded(events)?, &folded(&read_back)?) {
        return Err(failed(format!(
            "events that are written and read back fold to a different state: {difference}"
        )));
    }
    // Some events follow the snapshot, so that loads continue after it.
    let at = events.len() - events.len() / 3;
    let state = folded(events.get(..at).unwrap_or_default())?;
    let raw = subject.encode(&state).map_err(|e| boxed("a state cannot be encoded", e))?;
    let version = at as u64;
    let record = RecordBuilder::new(subject.key.clone(), generation, version, recorded_at(version))
        .codec(subject.codec.id())
        .compression(Compression::none())
        .anchor(anchor(&lines))
        .build(&raw)?;
    Ok((lines, record))
}

/// Writes a file, but never overwrites one. A file that an interrupted recording left is accepted
/// if it is identical.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = match file {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = fs::read(path).is_ok_and(|there| there == bytes);
            if there { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    };
    written.map_err(|error| io_failed(RECORDING, path, error))
}
