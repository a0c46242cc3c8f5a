//! Values of text, ids and addresses.

use bytes::Bytes;
use compact_str::CompactString;
use ipnet::{IpNet, Ipv4Net};
use secrecy::{ExposeSecret as _, SecretString};
use serde_bytes::ByteBuf;
use smol_str::SmolStr;
use ulid::Ulid;
use url::Url;
use uuid::Uuid;

use crate::specimen;

specimen! {
    Uuid => |g| if g.once_in(4) { g.pick(&[Uuid::nil(), Uuid::max()]) } else { Uuid::from_u128(g.any()) };
    Ulid => |g| Ulid(g.any());
    Bytes => |g| g.any::<Vec<u8>>().into();
    ByteBuf => |g| g.any::<Vec<u8>>().into();
    bstr::BString => |g| g.any::<Vec<u8>>().into();
    Url => |g| g.pick(&["https://a.co/", "https://user@xn--bcher-kva.example:8080/p%20q?x=1#f", "mailto:a@b.co", "data:,x"])
        .parse().unwrap();
    IpNet => |g| g.pick(&["10.0.0.0/8", "10.1.2.3/8", "::/0", "fe80::1/64"]).parse().unwrap();
    Ipv4Net => |g| g.pick(&["10.0.0.0/8", "0.0.0.0/0"]).parse().unwrap();
    semver::Version => |g| g.pick(&["1.0.0", "0.0.0-a.1+b", "18446744073709551615.0.0"]).parse().unwrap();
    semver::VersionReq => |g| g.pick(&["*", "^1.2", ">=1, <3"]).parse().unwrap();
    SmolStr => |g| g.text().into();
    CompactString => |g| g.text().into();
    camino::Utf8PathBuf => |g| g.text().into();
    email_address::EmailAddress => |g| email_address::EmailAddress::new_unchecked(format!("{}@b.co", g.word()));
    SecretString => |g| g.text().into(), same |a, b| a.expose_secret() == b.expose_secret();
    http::Method => |g| g.pick(&[http::Method::GET, http::Method::from_bytes(b"PURGE").unwrap()]);
    http::StatusCode => |g| g.pick(&[http::StatusCode::OK, http::StatusCode::from_u16(999).unwrap()]);
    http::Uri => |g| g.pick(&["https://a.co/x?y=1", "/relative", "*"]).parse().unwrap();
    http::HeaderMap => |g| {
        let mut map = http::HeaderMap::new();
        for _ in 0..g.len() {
            let name = g.pick(&["accept", "x-a", "set-cookie"]);
            map.append(name, http::HeaderValue::from_str(&g.word()).unwrap());
        }
        map
    }, same |a, b| a == b;
}
