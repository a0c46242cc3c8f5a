//! Puts, deletes and changes of marks, one file for each stage that they pass. In that order:
//!
//! 1. [`encode`]: checks what a caller wants, and makes [`work`] of it, on the caller's side.
//! 2. [`queue`]: gathers the work of many callers into groups; one of them writes a group.
//! 3. [`group`]: takes a group from here to its answers, alone ([`touched`]: in how many parts) or
//!    while the one before is synced ([`flight`]).
//! 4. [`plan`]: decides what of it is written ([`plan_put`], [`plan_delete`], [`plan_marks`]).
//! 5. [`roll`]: begins a new segment when the frames do not fit into this one; one that [`prepare`]
//!    made ahead, if there is one.
//! 6. [`append`]: writes the frames to the end of the log.
//! 7. [`sync`]: makes them durable.
//! 8. [`publish`]: makes them visible in the index.

mod append;
pub(super) mod encode;
pub(super) mod flight;
pub(super) mod group;
mod plan;
mod plan_delete;
mod plan_marks;
mod plan_put;
mod prepare;
mod publish;
pub(super) mod queue;
mod roll;
mod sync;
#[cfg(test)]
mod tests;
mod touched;
pub(super) mod work;
