//! [`shrink`]: finds the fewest events that still break a law.

/// The maximum number of attempts to reduce a history.
const MAX_TRIES: u32 = 500;

/// A violation of a law.
#[derive(Clone, Debug)]
pub(super) struct ShrinkFault {
    /// A fault in a smaller history counts only if it is of the same sort, because a history with a
    /// missing event may break the law in other ways.
    pub(super) sort: String,
    pub(super) text: String,
}

impl ShrinkFault {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { sort: String::new(), text: text.into() }
    }
}

/// Returns the positions of a minimal set of events (within [`MAX_TRIES`]), and the fault that they
/// show. `fault` is the fault that all `events` show.
pub(super) fn shrink<'e, E>(
    events: &[&'e E],
    fault: ShrinkFault,
    mut probe: impl FnMut(&[&'e E]) -> Option<ShrinkFault>,
) -> (Vec<usize>, ShrinkFault) {
    let mut kept: Vec<usize> = (0..events.len()).collect();
    let mut fault = fault;
    let mut tries = 0;
    let mut size = kept.len();
    while size > 0 {
        let before = kept.len();
        // Removes events from the end first, so that shorter prefixes are found first.
        let mut end = kept.len();
        while end > 0 && tries < MAX_TRIES {
            let start = end.saturating_sub(size);
            let rest = kept.iter().enumerate().filter(|(at, _)| !(start..end).contains(at));
            let fewer: Vec<usize> = rest.map(|(_, position)| *position).collect();
            let left: Vec<&E> = fewer.iter().filter_map(|at| events.get(*at).copied()).collect();
            tries += 1;
            match probe(&left) {
                Some(found) if found.sort == fault.sort => {
                    kept = fewer;
                    fault = found;
                }
                _ => {}
            }
            end = start.min(kept.len());
        }
        let stuck = kept.len() == before;
        size = if stuck || size > kept.len() { size.min(kept.len().max(1)) / 2 } else { size };
    }
    (kept, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest(events: &[u32], fails: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        let all: Vec<&u32> = events.iter().collect();
        let probe = |left: &[&u32]| {
            fails(&left.iter().map(|e| **e).collect::<Vec<_>>()).then(|| ShrinkFault::new(""))
        };
        let (kept, _) = shrink(&all, ShrinkFault::new(""), probe);
        kept.into_iter().map(|at| events[at]).collect()
    }

    #[test]
    fn only_the_events_that_matter_are_left() {
        let events: Vec<u32> = (0..200).collect();
        let fails = |left: &[u32]| left.contains(&17) && left.contains(&130);
        assert_eq!(smallest(&events, fails), [17, 130]);
        assert_eq!(smallest(&events, |_| true), [0_u32; 0]);
        assert_eq!(smallest(&events, |left| left.len() >= 3).len(), 3);
    }

    #[test]
    fn a_fault_of_another_sort_is_not_followed() {
        let events = [1, 2, 3, 4];
        let all: Vec<&i32> = events.iter().collect();
        let fault = |sort: &str| ShrinkFault { sort: sort.to_owned(), text: String::new() };
        let probe = |left: &[&i32]| {
            let sort = if left.contains(&&3) { "ours" } else { "other" };
            Some(fault(sort))
        };
        assert_eq!(shrink(&all, fault("ours"), probe).0, [2]);
    }
}
