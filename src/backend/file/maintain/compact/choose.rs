//! Decides which segments to compact, based only on numbers.

/// The numbers of a segment that matter for compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: u32,
    /// Whether the segment can be rewritten: it is sealed and not known to be damaged.
    pub(super) movable: bool,
    pub(crate) bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) puts: u64,
    pub(crate) live_puts: u64,
    pub(crate) delete_bytes: u64,
    pub(crate) min_put_seq: u64,
    pub(crate) max_delete_seq: u64,
}

impl Candidate {
    fn has_dead_puts(&self) -> bool {
        self.live_puts < self.puts
    }

    /// Returns the maximum number of bytes that would have to be copied.
    fn kept_bytes(&self, all: &[Self]) -> u64 {
        let others = all.iter().filter(|other| other.id != self.id);
        let deletes = if needed(self.max_delete_seq, others) { self.delete_bytes } else { 0 };
        self.live_bytes + deletes
    }
}

/// Returns whether a delete with this sequence number may still cover a dead put in one of
/// `segments`. Without such a delete, the put would reappear at the next open.
pub(crate) fn needed<'a>(
    delete_seq: u64,
    segments: impl IntoIterator<Item = &'a Candidate>,
) -> bool {
    segments.into_iter().any(|other| other.has_dead_puts() && other.min_put_seq < delete_seq)
}

/// Selects the segments to rewrite together into one segment of up to `room` bytes. Takes those
/// with the largest dead fraction, which must be at least `compact_at`.
pub(super) fn choose(all: &[Candidate], compact_at: f64, room: u64) -> Vec<u32> {
    let mut eligible: Vec<(u64, &Candidate)> = all
        .iter()
        .filter(|candidate| candidate.movable && candidate.bytes > 0)
        .map(|candidate| (candidate.kept_bytes(all), candidate))
        .filter(|(kept, candidate)| is_worth(*kept, candidate.bytes, compact_at))
        .collect();
    // Sorts by the fraction to keep, in fixed-point arithmetic.
    eligible.sort_by_key(|(kept, candidate)| {
        (u128::from(*kept) << 64) / u128::from(candidate.bytes.max(1))
    });
    let mut left = room;
    let mut chosen = Vec::new();
    for (kept, candidate) in eligible {
        if kept <= left {
            left -= kept;
            chosen.push(candidate.id);
        }
    }
    chosen
}

#[expect(clippy::cast_precision_loss, reason = "a ratio near a threshold may fall either way")]
fn is_worth(kept: u64, bytes: u64, compact_at: f64) -> bool {
    let dead = bytes.saturating_sub(kept);
    // Every segment has a head and a seal.
    let fixed = crate::backend::file::format::HEAD_BYTES + crate::backend::file::format::SEAL_BYTES;
    dead > fixed && (kept == 0 || dead as f64 >= bytes as f64 * compact_at)
}

#[cfg(test)]
mod tests {
    //! If a delete is dropped too early, deleted snapshots reappear. If a segment is never chosen,
    //! the disk fills up.

    use super::*;

    fn candidate(id: u32, live: u64) -> Candidate {
        Candidate {
            id,
            movable: true,
            bytes: 1000,
            live_bytes: live,
            puts: 10,
            live_puts: live / 100,
            delete_bytes: 0,
            min_put_seq: u64::from(id) * 100,
            max_delete_seq: 0,
        }
    }

    #[test]
    fn the_deadest_come_first_and_only_as_many_as_there_is_room_for() {
        let all = [candidate(1, 600), candidate(2, 800), candidate(3, 0), candidate(4, 300)];
        assert_eq!(choose(&all, 0.3, 10_000), [3, 4, 1]);
        assert_eq!(choose(&all, 0.3, 300), [3, 4]);
        assert_eq!(choose(&all, 0.3, 0), [3]);
        assert_eq!(choose(&all, 0.9, 10_000), [3]);
        let active = Candidate { movable: false, ..candidate(3, 0) };
        assert!(choose(&[active], 0.3, 10_000).is_empty());
    }

    #[test]
    fn a_delete_is_needed_as_long_as_an_older_dead_put_lies_elsewhere() {
        let deletes = |seq| Candidate {
            puts: 0,
            live_puts: 0,
            delete_bytes: 800,
            min_put_seq: u64::MAX,
            max_delete_seq: seq,
            ..candidate(9, 0)
        };
        let dead = candidate(5, 900);
        let whole = candidate(5, 1000);
        assert!(needed(501, [&dead]));
        assert!(!needed(500, [&dead]));
        assert!(!needed(501, [&whole]));
        assert!(choose(&[deletes(501), dead], 0.3, 10_000).is_empty());
        assert_eq!(choose(&[deletes(501), whole], 0.3, 10_000), [9]);
        assert_eq!(choose(&[deletes(500), dead], 0.3, 10_000), [9]);
    }
}
