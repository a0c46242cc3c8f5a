//! Types of the standard library.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ffi::CString;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::{NonZeroI64, NonZeroU8, NonZeroU32, NonZeroU128, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use super::types;
use crate::numbers::{AnyF32, AnyF64};
use crate::specimen;

specimen! {
    Ipv4Addr => |g| Ipv4Addr::from_bits(g.any());
    Ipv6Addr => |g| Ipv6Addr::from_bits(g.any());
    IpAddr => |g| if g.once_in(2) { IpAddr::V4(g.any()) } else { IpAddr::V6(g.any()) };
    SocketAddr => |g| SocketAddr::new(g.any(), g.any());
    SocketAddrV6 => |g| SocketAddrV6::new(g.any(), g.any(), 0, 0);
    Duration => |g| Duration::new(g.scaled(), g.any::<u32>() % 1_000_000_000);
    SystemTime => |g| SystemTime::UNIX_EPOCH + Duration::new(g.scaled() >> 2, g.any::<u32>() % 1_000_000_000);
    PathBuf => |g| PathBuf::from(g.text());
    CString => |g| CString::new(g.text().replace('\0', "0")).unwrap();
    Arc<AtomicU64> => |g| Arc::new(AtomicU64::new(g.any())),
        same |a, b| a.load(Ordering::Relaxed) == b.load(Ordering::Relaxed);
}

types! {
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
}
