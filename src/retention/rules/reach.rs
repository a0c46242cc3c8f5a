//! Which snapshots keep the versions of a period within reach.

use crate::timestamp::Timestamp;

/// Returns the places of the snapshots that are needed so that each version from the beginning of
/// the period on that has one of `snapshots` at most `events` below it keeps such a one.
///
/// `snapshots` are versions, highest first, with the time of each unless that is in the future. The
/// period begins at `oldest` (inclusive). See `PolicyBuilder::reachable` for the definition.
pub(super) fn needed(
    snapshots: &[(u64, Option<Timestamp>)],
    oldest: Timestamp,
    events: u64,
) -> Vec<usize> {
    let mut needed = Vec::new();
    let Some(start) = start(snapshots, oldest) else { return needed };
    // The highest snapshot that follows the last needed one without a gap.
    let mut candidate: Option<(usize, u64)> = None;
    // The first version that is out of reach of the last needed snapshot.
    let mut beyond: Option<u64> = None;
    let upwards = snapshots.iter().enumerate().take(start.saturating_add(1)).rev();
    for (place, (version, _)) in upwards {
        let follows = |beyond: Option<u64>| beyond.is_some_and(|beyond| *version <= beyond);
        if !follows(beyond) {
            // There is a gap, unless the candidate closes it.
            if let Some((place, version)) = candidate.take() {
                needed.push(place);
                beyond = Some(version.saturating_add(events).saturating_add(1));
            }
        }
        if follows(beyond) {
            candidate = Some((place, *version));
        } else {
            needed.push(place);
            beyond = Some(version.saturating_add(events).saturating_add(1));
        }
    }
    needed.extend(candidate.map(|(place, _)| place));
    needed
}

/// Returns the place of the snapshot that was the newest one when the period began.
fn start(snapshots: &[(u64, Option<Timestamp>)], oldest: Timestamp) -> Option<usize> {
    let is_within = |(_, time): &(u64, Option<Timestamp>)| time.is_some_and(|time| time >= oldest);
    let lowest = snapshots.iter().rposition(is_within);
    let below = lowest.map_or(0, |lowest| lowest.saturating_add(1));
    let mut rest = snapshots.iter().enumerate().skip(below);
    let before = rest.find(|(_, (_, time))| time.is_some()).map(|(place, _)| place);
    before.or(lowest).or_else(|| (!snapshots.is_empty()).then_some(0))
}
