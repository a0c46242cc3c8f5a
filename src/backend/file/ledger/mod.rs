//! Schedules, statistics and an audit trail in files.
//!
//! `docs/format-file-store.md` specifies every byte. Two logs of checksummed entries: `audit` only
//! grows and is read from its file; `state` says what schedules and statistics became, is held
//! in [`maps`], and is written anew when most of it is out of date.
//!
//! A write goes: [`group`] (callers that wait share one sync), [`log`] (one write, one sync), then
//! it is visible.

mod core;
mod entry;
#[cfg(test)]
mod faults;
mod group;
mod handle;
mod log;
mod manifest;
mod maps;
mod names;
mod open;
mod page;
mod rewrite;
mod trail;

pub use handle::FileLedger;
