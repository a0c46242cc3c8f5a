//! Only tests: see `tests/features.rs`.
