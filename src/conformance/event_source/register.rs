//! The register of all cases of the kit for event sources.

use super::{concurrent, ends, hostile, hybrid, lists, reads};
use crate::conformance::case::Case;

/// The tables of all levels, in order.
const TABLES: &[&[Case]] =
    &[reads::CASES, ends::CASES, lists::CASES, concurrent::CASES, hostile::CASES, hybrid::CASES];

/// Every case of the kit for event sources, in the order in which they run.
pub fn source_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}
