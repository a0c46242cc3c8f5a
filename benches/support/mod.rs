//! What the benches share: three aggregates of different size, their events, and loaders written
//! by hand.

pub mod by_hand;
pub mod states;
