//! The laws that need no golden samples.

mod folds;
mod states;
mod upcasts;

pub(super) use folds::{another_thread, own_clone, repeatable, total};
pub(super) use states::{canonical, orders, resumes, survives};
pub(super) use upcasts::{LiveState, live};
