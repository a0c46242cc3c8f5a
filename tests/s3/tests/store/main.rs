//! The store in object storage on real servers. Needs `scripts/with-s3`.

mod engine;
mod hostile;
mod kill;
mod kit;
mod node;
mod races;
mod relay;
mod tool;
