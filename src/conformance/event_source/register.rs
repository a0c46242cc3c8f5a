//! All cases of the kit for event sources.

use super::{concurrent, ends, hostile, hybrid, lists, reads};
use crate::conformance::case::Case;

/// The tables of all rooms, in the order of the levels.
const TABLES: &[&[Case]] =
    &[reads::CASES, ends::CASES, lists::CASES, concurrent::CASES, hostile::CASES, hybrid::CASES];

/// Every case of the kit for event sources, in the order in which they are run: a register of what
/// it proves.
pub fn source_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}
