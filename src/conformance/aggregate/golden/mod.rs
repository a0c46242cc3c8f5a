//! Golden samples: snapshots and the events behind them, kept from release to release.
//!
//! A sample is two files: the record of a snapshot, and all events of its aggregate as text, one
//! on each line. The record's anchor is a checksum of that text, so that neither file can be
//! changed unnoticed.

mod judge;
mod record;
mod sample;
mod source;

pub(super) use judge::{Reading, judge};
pub(super) use record::record;
pub(super) use sample::{EventText, Golden};
