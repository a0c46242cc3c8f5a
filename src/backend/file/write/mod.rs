//! Puts, deletes and changes of marks, with one file for each stage, in this order:
//!
//! 1. [`encode`]: checks the caller's input and converts it to [`work`], on the caller's side.
//! 2. [`queue`]: collects the work of many callers into groups, each written by one of them.
//! 3. [`group`]: writes a group and answers its callers. A group is written alone, in as many parts
//!    as [`touched`] requires, or while the previous group is being synced ([`flight`]).
//! 4. [`plan`]: decides what is written ([`plan_put`], [`plan_delete`], [`plan_marks`]).
//! 5. [`roll`]: starts a new segment if the frames do not fit into the current one. Uses the
//!    segment that [`prepare`] made in advance, if there is one.
//! 6. [`append`]: writes the frames to the end of the log.
//! 7. [`sync`]: makes the frames durable.
//! 8. [`publish`]: makes the frames visible in the index.

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
