//! Maintenance of a store: space, copies, checks and repair.
//!
//! For open stores, the [`keeper`] is a background thread that calls the other modules when
//! necessary, [`compact`] reclaims the space used by deleted snapshots, and [`backup`] copies the
//! store. For closed stores, there are [`inspect`], [`verify`] and [`repair`]. The last two are
//! based on [`examine`].

pub(super) mod backup;
pub(super) mod compact;
mod examine;
pub(super) mod inspect;
pub(super) mod keeper;
pub(super) mod repair;
pub(super) mod verify;
