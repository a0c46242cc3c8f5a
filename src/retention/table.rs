//! A [`RetentionPlan`] as a table for people.

use std::fmt;

use super::{Judged, RetentionPlan};
use crate::generation::Generation;

/// Lines are at most this long, unless a single word does not fit.
const WIDTH: usize = 80;

impl RetentionPlan {
    /// Returns the size of the records that are deleted, in bytes. Saturates at `u64::MAX`.
    ///
    /// A store may free more, because it has framing or pages of its own, or free it later.
    pub fn freed_bytes(&self) -> u64 {
        bytes(self.dropped())
    }

    /// Returns the size of the records that are kept, in bytes. Saturates at `u64::MAX`.
    pub fn kept_bytes(&self) -> u64 {
        bytes(self.kept())
    }

    /// Returns the generations in the order of their highest versions.
    fn generations(&self) -> Vec<Generation> {
        let mut generations = Vec::new();
        for judged in &self.judged {
            if !generations.contains(&judged.id.generation) {
                generations.push(judged.id.generation);
            }
        }
        generations
    }
}

fn bytes<'j>(judged: impl Iterator<Item = &'j Judged>) -> u64 {
    judged.fold(0, |sum, judged| sum.saturating_add(judged.stored_bytes))
}

/// Formats the plan as a table of at most 80 columns: for each generation its snapshots, highest
/// version first, with the action, the version, the size in bytes and the reason; at the end the
/// sums. Long reasons take several lines.
impl fmt::Display for RetentionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let versions = self.judged.iter().map(|judged| digits(judged.id.version)).max();
        let sizes = self.judged.iter().map(|judged| digits(judged.stored_bytes)).max();
        let versions = versions.unwrap_or(0).max("version".len());
        let sizes = sizes.unwrap_or(0).max("bytes".len());
        for generation in self.generations() {
            writeln!(f, "{generation}")?;
            writeln!(f, "      {:>versions$}  {:>sizes$}  reason", "version", "bytes")?;
            for judged in self.judged.iter().filter(|it| it.id.generation == generation) {
                let Judged { action, id, stored_bytes, reason } = judged;
                let action = action.to_string();
                write!(f, "{action:<4}  {:>versions$}  {stored_bytes:>sizes$}", id.version)?;
                write_reason(f, reason, 6 + versions + 2 + sizes)?;
            }
        }
        writeln!(
            f,
            "kept: {} ({} bytes), dropped: {} ({} bytes)",
            self.kept().count(),
            self.kept_bytes(),
            self.dropped().count(),
            self.freed_bytes()
        )
    }
}

/// Writes the words of a reason from two columns after `left` on, in as many lines as they need.
fn write_reason(f: &mut fmt::Formatter<'_>, reason: &str, left: usize) -> fmt::Result {
    let mut column = left;
    for word in reason.split_whitespace() {
        let width = word.chars().count();
        let is_first = column == left;
        if !is_first && column.saturating_add(1).saturating_add(width) > WIDTH {
            write!(f, "\n{:left$}", "")?;
            column = left;
        }
        let space = if column == left { "  " } else { " " };
        write!(f, "{space}{word}")?;
        column = column.saturating_add(space.len()).saturating_add(width);
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AggregateKey;
    use crate::record::SnapshotMeta;
    use crate::retention::{Policy, RetentionContext};
    use crate::timestamp::Timestamp;

    fn meta(fingerprint: u64, version: u64, bytes: u64) -> SnapshotMeta {
        let key = AggregateKey::new("account", "a").unwrap();
        let generation = Generation { schema_version: 1, fingerprint };
        let hours = i64::try_from(version).unwrap() * 3_600;
        let mut meta = SnapshotMeta::new(key, generation, version, Timestamp::from_seconds(hours));
        meta.stored_bytes = bytes;
        meta
    }

    #[test]
    fn a_plan_is_a_table_of_80_columns_and_says_what_it_frees() {
        let metas = [meta(1, 10, 900), meta(1, 20, 1_000), meta(2, 30, 7), meta(1, 28, u64::MAX)];
        let policy: Policy = "last 2, hourly 2, daily 1, weekly 1, yearly 1".parse().unwrap();
        let context = RetentionContext::new(Timestamp::from_seconds(40 * 3_600));
        let plan = RetentionPlan::new(&metas, &policy, &context);
        assert_eq!((plan.freed_bytes(), plan.kept_bytes()), (900, u64::MAX));
        let table = "\
schema 1 shape 0000000000000002
      version                 bytes  reason
keep       30                     7  the newest of its generation; last 2:
                                     number 1; hourly 2: the newest of
                                     1970-01-02 06:00; daily 1: the newest of
                                     1970-01-02; weekly 1: the newest of
                                     1970-W01; yearly 1: the newest of 1970
schema 1 shape 0000000000000001
      version                 bytes  reason
keep       28  18446744073709551615  the newest of its generation; last 2:
                                     number 1; hourly 2: the newest of
                                     1970-01-02 04:00; daily 1: the newest of
                                     1970-01-02; weekly 1: the newest of
                                     1970-W01; yearly 1: the newest of 1970
keep       20                  1000  last 2: number 2; hourly 2: the newest of
                                     1970-01-01 20:00
drop       10                   900  no policy keeps it
kept: 3 (18446744073709551615 bytes), dropped: 1 (900 bytes)
";
        assert_eq!(plan.to_string(), table);
        assert!(table.lines().all(|line| line.len() <= WIDTH));
        let empty = RetentionPlan::default().to_string();
        assert_eq!(empty, "kept: 0 (0 bytes), dropped: 0 (0 bytes)\n");
    }
}
