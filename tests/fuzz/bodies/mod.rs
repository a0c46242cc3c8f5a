//! What each fuzz target does with the bytes that it is given. One body is run by two drivers:
//! `tests/fuzz` on every test run, with random bytes and mutations of real files, and
//! `fuzz/fuzz_targets` for as long as one likes, under cargo-fuzz.
//!
//! A body panics if a promise is broken and does nothing else. Its own allocations count towards
//! the bound, so it holds little.

pub mod file_store;
pub mod header;
pub mod key_file;
pub mod packed;
pub mod payload;
pub mod record;
#[path = "../../record_bytes/mod.rs"]
mod record_bytes;
pub mod request;
mod scratch;
pub mod shop;
pub mod sign;
mod states;

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub body: fn(&[u8]),
    /// The most memory that one input may take, in bytes.
    pub limit: usize,
}

pub const HEADER: Target = Target { name: "header", body: header::run, limit: 8 << 20 };
pub const RECORD: Target = Target { name: "record", body: record::run, limit: 8 << 20 };
// A segment is read in pieces of 1 MiB, and looked at several times over.
pub const FILE_STORE: Target =
    Target { name: "file_store", body: file_store::run, limit: 32 << 20 };
pub const PAYLOAD: Target = Target { name: "payload", body: payload::run, limit: payload::LIMIT };
// Two deliveries, and a compressor for each thread.
pub const REQUEST: Target = Target { name: "request", body: request::run, limit: 32 << 20 };
pub const KEY_FILE: Target = Target { name: "key_file", body: key_file::run, limit: 32 << 20 };

impl Target {
    /// Runs the body; panics if it does, or if it takes more memory than it may.
    ///
    /// One body at a time, as memory is counted for the whole process.
    pub fn run(&self, input: &[u8]) {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        (self.body)(input);
        let taken = ALLOCATED.peak_usage().saturating_sub(before);
        let (name, limit) = (self.name, self.limit);
        assert!(taken <= limit, "{name}: {taken} bytes of memory were taken, the limit is {limit}");
    }
}

/// The value of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits, and has nothing to wait for"),
    }
}
