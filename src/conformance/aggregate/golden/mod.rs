//! Golden samples: snapshots with their events, kept across releases.
//!
//! A sample is two files: the record of a snapshot, and all events of its aggregate as text, one
//! per line. The record's anchor is a checksum of that text, so that changes to either file are
//! detected.

mod judge;
mod record;
mod sample;
mod source;

pub(super) use judge::{Reading, judge};
pub(super) use record::record;
pub(super) use sample::{EventText, Golden};
