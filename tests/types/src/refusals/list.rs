//! The refusals, reason by reason.

use super::Refusal;

/// Every refusal of the catalogue.
pub const REFUSALS: &[Refusal] = &[];
