//! What keeps a store in order: space, copies, checks and repair.
//!
//! On an open store: the [`keeper`], a thread that calls the others when there is something to do;
//! [`compact`], which gives the space of deleted snapshots back; [`backup`]. On a closed one:
//! [`inspect`], [`verify`] and [`repair`]; the last two go by [`examine`].

pub(super) mod backup;
pub(super) mod compact;
mod examine;
pub(super) mod inspect;
pub(super) mod keeper;
pub(super) mod repair;
pub(super) mod verify;
