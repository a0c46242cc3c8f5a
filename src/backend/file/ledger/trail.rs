//! [`Trail`]: where the entries of the audit trail are in its file.

use super::super::layout::HEAD_BYTES;

/// Of so many entries, the offset of one is kept.
const STRIDE: u64 = 64;

/// Where the durable entries of the audit trail are: an eighth of a byte each.
#[derive(Debug)]
pub(super) struct Trail {
    /// Where the last entry ends.
    pub(super) end: u64,
    /// The sequence of the last entry; 0 if there is none.
    pub(super) last: u64,
    /// Where the entries with the sequences 1, 65, 129, ... begin.
    marks: Vec<u64>,
}

impl Trail {
    pub(super) const fn new() -> Self {
        Self { end: HEAD_BYTES, last: 0, marks: Vec::new() }
    }

    /// One more entry, whose frame takes so many bytes.
    pub(super) fn push(&mut self, bytes: u64) {
        if self.last.is_multiple_of(STRIDE) {
            self.marks.push(self.end);
        }
        self.last += 1;
        self.end += bytes;
    }

    /// Where to begin reading for the first entry after `sequence`: at it, or some before it.
    pub(super) fn near(&self, sequence: u64) -> u64 {
        let mark = usize::try_from(sequence / STRIDE).unwrap_or(usize::MAX);
        self.marks.get(mark).copied().unwrap_or(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_at_or_shortly_before_the_entry_that_is_wanted() {
        let mut trail = Trail::new();
        assert_eq!(trail.near(0), HEAD_BYTES);
        for bytes in 1..=200 {
            trail.push(bytes);
        }
        let begin = |sequence: u64| HEAD_BYTES + (1..sequence).sum::<u64>();
        assert_eq!((trail.last, trail.end), (200, begin(201)));
        for (after, from) in [(0, 1), (63, 1), (64, 65), (65, 65), (128, 129), (199, 193)] {
            assert_eq!(trail.near(after), begin(from), "after {after}");
        }
        assert_eq!(trail.near(u64::MAX), trail.end);
    }
}
