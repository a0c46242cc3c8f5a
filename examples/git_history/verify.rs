//! Selects points of the history, and checks them.

use std::collections::BTreeSet;

use snapfold::Loaded;

use crate::args::At;
use crate::error::Error;
use crate::history::History;
use crate::oracle;
use crate::random::Random;
use crate::tree::Tree;

const DAY: i64 = 24 * 60 * 60;

/// `count` random versions, or all versions if there are not more.
pub(crate) fn random_versions(history: &History, count: u64, random: &mut Random) -> Vec<At> {
    let head = history.len();
    if count >= head {
        return (1..=head).map(At::Version).collect();
    }
    let mut versions = BTreeSet::new();
    while (versions.len() as u64) < count {
        versions.insert(1 + random.below(head));
    }
    versions.into_iter().map(At::Version).collect()
}

/// `count` random instants: every other one anywhere from a day before the first commit to a day
/// after the last, the others within a second of a commit, to find off-by-one errors.
pub(crate) fn random_instants(history: &History, count: u64, random: &mut Random) -> Vec<At> {
    let Some((first, last)) = history.time_range() else { return Vec::new() };
    let instant = |index| {
        if index % 2 == 0 {
            return random.between(first.saturating_sub(DAY), last.saturating_add(DAY));
        }
        let version = 1 + random.below(history.len());
        history.time(version).unwrap_or(last).saturating_add(random.between(-1, 1))
    };
    (0..count).map(instant).map(At::Instant).collect()
}

/// The version at a point of the history.
pub(crate) fn version_of(history: &History, at: At) -> Result<u64, Error> {
    match at {
        At::Version(version) if version > history.len() => {
            Err(Error::BeyondHead { version, head: history.len() })
        }
        At::Version(version) => Ok(version),
        At::Instant(time) => Ok(history.version_at(time)),
    }
}

/// Fails unless the loaded version is `version`, with the tree that git has there.
pub(crate) fn check_loaded(
    history: &History,
    version: u64,
    loaded: &Loaded<Tree>,
) -> Result<(), Error> {
    if loaded.version != version {
        let difference = format!("version {} was loaded instead", loaded.version);
        return Err(mismatch(history, version, difference));
    }
    check(history, version, &loaded.state)
}

/// Fails unless `tree` is the one that git has at `version`.
pub(crate) fn check(history: &History, version: u64, tree: &Tree) -> Result<(), Error> {
    match oracle::difference(history.git(), history.commit_id(version), tree)? {
        None => Ok(()),
        Some(difference) => Err(mismatch(history, version, difference)),
    }
}

fn mismatch(history: &History, version: u64, difference: String) -> Error {
    let commit = history.commit_id(version).map_or("(none)".to_owned(), |id| id.to_string());
    Error::Mismatch { version, commit, difference }
}
