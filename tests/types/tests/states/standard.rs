//! Types of the standard library.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ffi::CString;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::{NonZeroI64, NonZeroU8, NonZeroU32, NonZeroU128, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use snapfold_types::{AnyF32, AnyF64, cases, states};

fn main() -> ExitCode {
    states::run(cases! {
        bool,
        u8, u16, u32, u64, u128, usize,
        i8, i16, i32, i64, i128, isize,
        f32, f64,
        AnyF32 as "f32 with NaN, inf",
        AnyF64 as "f64 with NaN, inf",
        char,
        String,
        (),
        Option<u32>,
        Option<String>,
        Option<Option<u32>>,
        Option<()>,
        Option<Option<Option<bool>>>,
        Result<u32, String>,
        Box<u64>, Arc<u64>, Arc<str>, Box<str>,
        Cow<'static, str>,
        [u32; 3], [u8; 32], [String; 2], [u32; 0],
        (u32,), (u32, String), (u8, i64, bool, char),
        Range<u32>, RangeInclusive<i64>, Bound<u32>,
        Duration, SystemTime,
        NonZeroU8, NonZeroU32, NonZeroI64, NonZeroU128,
        Option<NonZeroU32>,
        Wrapping<u32>, Saturating<i32>, Reverse<u32>,
        PhantomData<String>,
        PathBuf, CString,
        IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6,
        Option<IpAddr>,
        Arc<Mutex<u32>>, Arc<RwLock<String>>, Arc<AtomicU64>,
    })
}
