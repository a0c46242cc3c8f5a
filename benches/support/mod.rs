//! What the benches share: three aggregates of different size, a log of their events, and loaders
//! written by hand.

pub mod by_hand;
pub mod event_log;
pub mod states;
