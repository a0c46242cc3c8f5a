//! The register of all cases in the kit for event sources.

use super::{concurrent, ends, hostile, hybrid, lists, reads};
use crate::conformance::case::Case;

/// The tables of all levels, in order.
const TABLES: &[&[Case]] =
    &[reads::CASES, ends::CASES, lists::CASES, concurrent::CASES, hostile::CASES, hybrid::CASES];

/// Returns every case in the kit for event sources, in the order in which they run.
pub fn source_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}
