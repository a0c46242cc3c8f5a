//! The names of parameters that several routes have.

pub(super) const FILTER_KIND: &str = "filter[kind]";
pub(super) const PAGE_SIZE: &str = "page[size]";
pub(super) const PAGE_AFTER: &str = "page[after]";
