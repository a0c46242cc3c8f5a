//! Values of types of the standard library.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

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
