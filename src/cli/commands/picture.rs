//! [`Picture`]: the snapshots of a generation on one line, along an axis of versions.

use crate::cli::output::Tone;
use crate::record::SnapshotMeta;

/// The versions from the left end to the right end of a line.
#[derive(Clone, Copy)]
pub(super) struct VersionAxis {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The number of columns; at least 2.
    pub(super) columns: usize,
}

/// A line of marks, each with its tone. Where several snapshots fall on one column, it has the mark
/// of the most important one.
pub(super) struct Picture {
    cells: Vec<Option<SnapshotSign>>,
}

/// The sign of a snapshot. A later one is more important.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SnapshotSign {
    Retired,
    Delta,
    Small,
    Medium,
    Large,
    Pinned,
}

impl VersionAxis {
    /// Returns the column of a version.
    pub(super) fn column(&self, version: u64) -> usize {
        let width = u128::from(self.last.saturating_sub(self.first));
        let from = u128::from(version.clamp(self.first, self.last).saturating_sub(self.first));
        let last = self.columns.saturating_sub(1);
        let column = (from * last as u128 + width / 2).checked_div(width).unwrap_or(0);
        usize::try_from(column).unwrap_or(last).min(last)
    }

    /// Returns two lines: the ticks, and the versions below them.
    pub(super) fn lines(&self) -> (String, String) {
        let mut ticks = vec!['-'; self.columns];
        let mut labels = String::new();
        let mut label = |version: u64| {
            let (column, text) = (self.column(version), version.to_string());
            // A label ends with the line, and two labels stand apart.
            let start = column.min(self.columns.saturating_sub(text.len()));
            let is_free = labels.is_empty() || start > labels.len() + 1;
            if !is_free {
                return;
            }
            if let Some(tick) = ticks.get_mut(column) {
                *tick = '+';
            }
            labels.extend(std::iter::repeat_n(' ', start.saturating_sub(labels.len())));
            labels.push_str(&text);
        };
        let width = self.last.saturating_sub(self.first);
        for part in 0..4 {
            let at = u128::from(width) * part / 4;
            label(self.first.saturating_add(u64::try_from(at).unwrap_or(u64::MAX)));
        }
        label(self.last);
        (ticks.into_iter().collect(), labels)
    }
}

impl SnapshotSign {
    /// Returns the sign of a snapshot, by its size in parts of the largest one.
    pub(super) fn of(meta: &SnapshotMeta, largest: u64) -> Self {
        if meta.is_pinned() {
            return Self::Pinned;
        }
        if meta.is_retired() {
            return Self::Retired;
        }
        if meta.base.is_some() {
            return Self::Delta;
        }
        match u128::from(meta.stored_bytes) * 3 / u128::from(largest.max(1)) {
            0 => Self::Small,
            1 => Self::Medium,
            _ => Self::Large,
        }
    }

    pub(super) const fn letter(self) -> char {
        match self {
            Self::Retired => 'R',
            Self::Delta => 'd',
            Self::Small => '.',
            Self::Medium => 'o',
            Self::Large => 'O',
            Self::Pinned => 'P',
        }
    }

    pub(super) const fn tone(self) -> Tone {
        match self {
            Self::Retired => Tone::Bad,
            Self::Delta => Tone::Faint,
            Self::Small | Self::Medium | Self::Large => Tone::Plain,
            Self::Pinned => Tone::Good,
        }
    }
}

impl Picture {
    /// Draws the snapshots of one generation.
    pub(super) fn new<'m>(
        axis: &VersionAxis,
        metas: impl Iterator<Item = &'m SnapshotMeta>,
        largest: u64,
    ) -> Self {
        let mut cells = vec![None; axis.columns];
        for meta in metas {
            if let Some(cell) = cells.get_mut(axis.column(meta.version)) {
                *cell = (*cell).max(Some(SnapshotSign::of(meta, largest)));
            }
        }
        Self { cells }
    }

    /// Returns the runs of equal tone, from left to right, without the spaces at the end.
    pub(super) fn runs(&self) -> Vec<(Tone, String)> {
        let end = self.cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut runs: Vec<(Tone, String)> = Vec::new();
        for cell in self.cells.iter().take(end) {
            let (tone, letter) =
                cell.map_or((Tone::Plain, ' '), |sign| (sign.tone(), sign.letter()));
            match runs.last_mut() {
                Some((of, text)) if *of == tone => text.push(letter),
                _ => runs.push((tone, letter.to_string())),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_its_ends_at_its_ends_for_all_versions() {
        for (first, last) in [(0, 1), (1, u64::MAX), (7, 7), (100, 1_200), (0, u64::MAX)] {
            for columns in [2, 10, 80] {
                let axis = VersionAxis { first, last, columns };
                assert_eq!(axis.column(first), 0);
                assert_eq!(axis.column(last), if first == last { 0 } else { columns - 1 });
                assert!(axis.column(u64::MAX / 2) < columns);
            }
            let (ticks, labels) = VersionAxis { first, last, columns: 60 }.lines();
            assert_eq!(ticks.len(), 60);
            assert!(labels.len() <= 60, "{labels}");
            assert!(labels.starts_with(&first.to_string()), "{labels}");
            assert!(
                labels.split(' ').all(|label| label.is_empty() || label.parse::<u64>().is_ok())
            );
        }
    }
}
