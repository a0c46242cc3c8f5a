//! The result: two columns, with readable numbers.

use std::fmt;
use std::time::Duration;

/// The widest line that fits everywhere.
const WIDTH: usize = 80;

/// Rows of a label and a value.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, String)>,
}

impl Table {
    pub(crate) fn row(&mut self, label: &'static str, value: impl Into<String>) -> &mut Self {
        self.rows.push((label, value.into()));
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in &self.rows {
            let room = WIDTH.saturating_sub(labels + 2);
            writeln!(f, "{label:labels$}  {}", shortened(value, room))?;
        }
        Ok(())
    }
}

/// At most `room` characters of `text`. The front is cut, because the end of a path is more
/// informative.
fn shortened(text: &str, room: usize) -> String {
    let surplus = text.chars().count().saturating_sub(room);
    if surplus == 0 {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(surplus + 3).collect();
    format!("...{kept}")
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits and a suitable unit, from `1 us` to minutes.
pub(crate) fn duration(time: Duration) -> String {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => digits(micros, 1_000, "ms"),
        1_000_000..120_000_000 => digits(micros, 1_000_000, "s"),
        _ => format!("{} min {} s", count(micros / 60_000_000), micros / 1_000_000 % 60),
    }
}

/// A number of bytes in a suitable unit.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => digits(bytes, 1_024, "KiB"),
        1_048_576..1_073_741_824 => digits(bytes, 1_048_576, "MiB"),
        _ => digits(bytes, 1_073_741_824, "GiB"),
    }
}

/// The time at `seconds` after 1970, as RFC 3339.
pub(crate) fn time(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// The factor by which `long` is longer than `short`.
pub(crate) fn ratio(long: Duration, short: Duration) -> String {
    let ratio = long.as_secs_f64() / short.as_secs_f64().max(1e-9);
    if ratio < 10.0 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") }
}

/// `amount` in units of `unit`, with at least three digits.
fn digits(amount: u64, unit: u64, name: &str) -> String {
    let decimals = match amount / unit {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = amount as f64 / unit as f64;
    format!("{value:.decimals$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let counts = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in counts {
            assert_eq!(count(number), text);
        }
        let durations = [
            (17, "17 us"),
            (1_500, "1.50 ms"),
            (45_600, "45.6 ms"),
            (999_000, "999 ms"),
            (1_234_000, "1.23 s"),
            (200_000_000, "3 min 20 s"),
        ];
        for (micros, text) in durations {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
        let sizes = [
            (1_023, "1023 B"),
            (1_536, "1.50 KiB"),
            (300 * 1_024 * 1_024, "300 MiB"),
            (u64::MAX, "17179869184 GiB"),
        ];
        for (size, text) in sizes {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_table_is_aligned_and_at_most_80_columns_wide() {
        let mut table = Table::default();
        table.row("a", "1").row("label", format!("{}end", "long ".repeat(40)));
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a      1");
        assert!(lines[1].starts_with("label  ...") && lines[1].ends_with("long end"));
        assert_eq!(lines[1].len(), 80);
    }
}
