//! See `tests/fuzz/bodies/request.rs`.

#![no_main]

#[allow(dead_code, unreachable_pub, reason = "each target uses a part")]
#[path = "../../tests/fuzz/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::REQUEST.run(input));
