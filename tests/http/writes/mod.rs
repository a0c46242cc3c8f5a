//! Writes.

mod deleting;
mod hostile;
mod jobs;
mod once;
mod pruning;
mod taking;
mod trail;
mod yard;
