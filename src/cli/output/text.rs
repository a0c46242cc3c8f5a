//! Texts for people: escaped ids, sizes, ages and times.

use std::time::Duration;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// Returns a text of unknown origin in a form that a terminal only prints: control characters and
/// those without a shape of their own are escaped, as `\n` or `\u{1b}`. A backslash is doubled, so
/// that different texts stay different.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// Returns an id as [`shown`] does, or `""` if it is empty.
pub(crate) fn shown_id(id: &str) -> String {
    if id.is_empty() { "\"\"".to_owned() } else { shown(id) }
}

/// Returns a key in one line: `account alice`, or `account alice of tenant north`.
pub(crate) fn shown_key(key: &AggregateKey) -> String {
    let tenant = match key.tenant() {
        "" => String::new(),
        tenant => format!(" of tenant {}", shown(tenant)),
    };
    format!("{} {}{tenant}", shown_id(key.kind()), shown_id(key.id()))
}

/// Returns an error with its causes in one line. Foreign causes may contain anything.
pub(crate) fn shown_error(error: &Error) -> String {
    let text = format!("{error:#}");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a size in bytes in at most 6 characters: `999`, `1.2K`, `34.5M`. Units are powers of
/// 1,024.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000 {
        return bytes.to_string();
    }
    let (mut unit, mut tenths) = ('K', u128::from(bytes) * 10 / 1_024);
    for larger in ['M', 'G', 'T', 'P', 'E'] {
        if tenths < 10_000 {
            break;
        }
        (unit, tenths) = (larger, tenths / 1_024);
    }
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

/// Returns how long ago a time was, in the largest unit that is not 0: `42s`, `5m`, `3h`, `12d`,
/// `2y`; `future` for a time after `now`.
pub(crate) fn age(time: Timestamp, now: Timestamp) -> String {
    if time > now { "future".to_owned() } else { span(now.since(time)) }
}

/// Returns a duration in its largest unit.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(365 * 86_400, 'y'), (86_400, 'd'), (3_600, 'h'), (60, 'm')];
    match units.into_iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Returns a time in UTC to the minute, in 16 characters: `2026-11-30 02:31`. `unknown` for the last
/// time of all, which an event without a time has.
pub(crate) fn minute(time: Timestamp) -> String {
    if time == Timestamp::MAX {
        return "unknown".to_owned();
    }
    let text = time.to_string();
    match text.get(..16) {
        Some(start) if text.ends_with('Z') => start.replace('T', " "),
        // The year has more than four digits.
        _ => "far away".to_owned(),
    }
}

/// Returns `one` or `many` with the number before it: `1 snapshot`, `2 snapshots`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    let mut digits = number.to_string();
    let mut at = digits.len();
    while at > 3 {
        at -= 3;
        digits.insert(at, ',');
    }
    format!("{digits} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_interpret_is_escaped_and_nothing_is_ambiguous() {
        assert_eq!(shown("a'b\"c"), "a'b\"c");
        assert_eq!(shown("\u{1b}[2J\n"), "\\u{1b}[2J\\n");
        assert_eq!(shown("\\u{1b}"), "\\\\u{1b}");
        // C1 controls, and characters that turn the direction of a line.
        assert!(!shown("\u{9b}\u{202e}\u{2066}\u{feff}\u{200b}").contains(|c: char| !c.is_ascii()));
        assert_eq!(shown("\u{e4}\u{4e2d}"), "\u{e4}\u{4e2d}");
        assert_eq!(shown_id(""), "\"\"");
    }

    #[test]
    fn sizes_and_ages_are_short_at_every_magnitude() {
        let sizes = [0, 999, 1_000, 1_024, 1_023_948, 5 << 20, 3 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0", "999", "0.9K", "1.0K", "999.9K", "5.0M", "3.0G", "15.9E"]);
        for power in 0..64 {
            assert!(size((1 << power) - 1).len() <= 6, "{}", size((1 << power) - 1));
        }
        let now = Timestamp::from_seconds(400 * 86_400);
        let ages = [0, 59, 60, 7_200, 90_000, 400 * 86_400]
            .map(|seconds| age(Timestamp::from_seconds(400 * 86_400 - seconds), now));
        assert_eq!(ages, ["0s", "59s", "1m", "2h", "1d", "1y"]);
        assert_eq!(age(Timestamp::MAX, now), "future");
        assert_eq!(span(Duration::MAX).chars().last(), Some('y'));
    }

    #[test]
    fn counts_and_minutes_are_plain() {
        assert_eq!(count(1_234_567, "a", "b"), "1,234,567 b");
        assert_eq!(count(1, "a", "b"), "1 a");
        assert_eq!(minute(Timestamp::from_seconds(0)), "1970-01-01 00:00");
        assert_eq!(minute(Timestamp::MAX), "unknown");
        assert_eq!(minute(Timestamp::from_micros(i64::MAX - 1)), "far away");
        assert_eq!(minute(Timestamp::MIN), "far away");
    }
}
