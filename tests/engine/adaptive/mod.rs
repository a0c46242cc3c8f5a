//! The adaptive trigger: what it decides, what the engine learns for it, and what that is worth.

#![allow(clippy::cast_precision_loss, reason = "small numbers")]

mod decisions;
mod learning;
mod machine;
mod mixes;
mod oracle;
mod simulation;
