//! snapfold

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the engine calls it at registration")]
pub(crate) mod shape;
