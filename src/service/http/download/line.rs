//! [`Line`]: an aggregate in a download.

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{OpaqueState, Point, SnapshotAdmin};
use crate::service::http::problem::HttpProblem;
use crate::timestamp::Timestamp;
use crate::value::canonical;

/// How the aggregates of a kind were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// All that have events or snapshots.
    #[default]
    Everything,
    /// Those that have snapshots: the event source does not list its aggregates.
    Snapshots,
}

/// An aggregate in a download: a JSON object on one line.
pub(super) struct Line {
    pub(super) key: AggregateKey,
    pub(super) found_by: FoundBy,
    pub(super) as_of: Option<Timestamp>,
    /// With its line feed.
    pub(super) text: Vec<u8>,
    /// Whether there is a problem in place of the state.
    pub(super) is_problem: bool,
}

impl Line {
    /// Loads and writes the state at `at`; `None` if the aggregate had no events then.
    ///
    /// An aggregate whose history is at fault, today and at the next attempt, does not keep the
    /// others from being downloaded. Its line says so.
    pub(super) async fn load(
        admin: &dyn SnapshotAdmin,
        key: AggregateKey,
        found_by: FoundBy,
        at: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let mut text = b"{\"type\":".to_vec();
        canonical::string(key.kind(), &mut text);
        text.extend_from_slice(b",\"id\":");
        canonical::string(key.id(), &mut text);
        let loaded = admin.load_opaque(&key, Point::Time(at)).await;
        let state = match loaded {
            Ok(state) if state.version() == 0 => return Ok(None),
            state => state,
        };
        let begun = text.len();
        match state.and_then(|state| add_state(&state, &mut text)) {
            Ok(as_of) => Ok(Some(Self { key, found_by, as_of, text, is_problem: false })),
            Err(error) if is_permanent(&error) => {
                text.truncate(begun);
                text.extend_from_slice(b",\"problem\":");
                canonical::string(HttpProblem::from(error).code(), &mut text);
                text.extend_from_slice(b"}\n");
                Ok(Some(Self { key, found_by, as_of: None, text, is_problem: true }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes the rest of a line, and returns the time of the state.
fn add_state(state: &OpaqueState, text: &mut Vec<u8>) -> Result<Option<Timestamp>, Error> {
    text.extend_from_slice(format!(",\"version\":{}", state.version()).as_bytes());
    if let Some(as_of) = state.as_of() {
        text.extend_from_slice(format!(",\"asOf\":\"{as_of}\"").as_bytes());
    }
    text.extend_from_slice(b",\"state\":");
    state.write_json(text)?;
    text.extend_from_slice(b"}\n");
    Ok(state.as_of())
}

/// Whether the same load fails for the same reason as long as the history is what it is.
fn is_permanent(error: &Error) -> bool {
    use ErrorKind::{BrokenHistory, Encode, Unrecoverable};
    matches!(error.kind(), Unrecoverable | BrokenHistory | Encode)
}
