//! [`align`]: which elements of two lists belong together.

use std::collections::HashMap;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::StateValue;

/// If more elements than this differ in both lists together, they are compared by position. The
/// cost of an alignment grows with the square of this number.
const MAX_ALIGNED: usize = 4_096;

/// A range of elements of the earlier list that became a range of the later one. Both may be empty,
/// but not at the same time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReplacedRange {
    pub(super) earlier: Range<usize>,
    pub(super) later: Range<usize>,
}

/// Returns the parts in which two lists differ, in order.
pub(super) fn align(earlier: &[StateValue], later: &[StateValue]) -> Vec<ReplacedRange> {
    let same = |(a, b): &(&StateValue, &StateValue)| a == b;
    let head = earlier.iter().zip(later).take_while(same).count();
    let (a, b) = (earlier.get(head..).unwrap_or(&[]), later.get(head..).unwrap_or(&[]));
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    let a = a.get(..a.len().saturating_sub(tail)).unwrap_or(&[]);
    let b = b.get(..b.len().saturating_sub(tail)).unwrap_or(&[]);
    let moved = |range: Range<usize>| range.start + head..range.end + head;
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    if a.is_empty() || b.is_empty() || a.len() + b.len() > MAX_ALIGNED {
        return vec![ReplacedRange { earlier: moved(0..a.len()), later: moved(0..b.len()) }];
    }
    let mut numbers = ValueNumbers::default();
    let (numbered_a, numbered_b) = (numbers.of_all(a), numbers.of_all(b));
    let ops = capture_diff_slices(Algorithm::Myers, &numbered_a, &numbered_b);
    let differs = |op: &DiffOp| !matches!(op, DiffOp::Equal { .. });
    let replaced =
        |op: DiffOp| ReplacedRange { earlier: moved(op.old_range()), later: moved(op.new_range()) };
    ops.into_iter().filter(differs).map(replaced).collect()
}

/// Gives equal values equal numbers, which are cheap to compare.
#[derive(Default)]
struct ValueNumbers(HashMap<String, usize>);

impl ValueNumbers {
    fn of_all(&mut self, values: &[StateValue]) -> Vec<usize> {
        let number = |value: &StateValue| {
            let next = self.0.len();
            // The debug form tells all types apart. It does not tell NaNs apart, which therefore
            // count as unchanged here.
            *self.0.entry(format!("{value:?}")).or_insert(next)
        };
        values.iter().map(number).collect()
    }
}
