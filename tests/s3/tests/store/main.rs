//! The store in object storage on real servers. Needs `scripts/with-s3`.

#[path = "../../../bucket_site/mod.rs"]
mod bucket_site;
mod engine;
mod hostile;
mod kill;
mod kit;
mod node;
mod races;
mod relay;
mod tool;
