//! The kit for stores: one module per level, and the register of all cases.

mod concurrent;
mod core;
mod delete;
mod delete_many;
mod durable;
mod engine;
mod history;
mod hostile;
mod marks;
mod rewrites;
mod scale;

use super::case::Case;

/// The tables of all levels, in order.
const TABLES: &[&[Case]] = &[
    core::CASES,
    core::put::CASES,
    core::keys::CASES,
    history::CASES,
    history::list::CASES,
    delete::CASES,
    delete_many::CASES,
    durable::CASES,
    concurrent::writers::CASES,
    concurrent::readers::CASES,
    concurrent::cancel::CASES,
    hostile::CASES,
    hostile::limits::CASES,
    hostile::damage::CASES,
    scale::CASES,
    marks::CASES,
    marks::limits::CASES,
    marks::put::CASES,
    marks::effects::CASES,
    marks::bases::CASES,
    marks::durable::CASES,
    marks::races::CASES,
    rewrites::CASES,
    engine::CASES,
];

/// Returns every case in the kit for stores, in the order in which they run.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}
