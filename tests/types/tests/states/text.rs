//! Text, bytes, ids, addresses: what is mostly a string with rules.

use std::process::ExitCode;

use bytes::Bytes;
use compact_str::CompactString;
use ipnet::{IpNet, Ipv4Net};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};
use serde_bytes::ByteBuf;
use smol_str::SmolStr;
use snapfold_types::{cases, state, states};
use ulid::Ulid;
use url::Url;
use uuid::Uuid;

/// A secret that is stored: secrecy leaves that to the application.
fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose_secret().serialize(serializer)
}

state! {
    struct Login { user: String, #[serde(serialize_with = "exposed")] token: SecretString, n: u32 }
    struct HttpBits {
        #[serde(with = "http_serde::method")] method: http::Method,
        #[serde(with = "http_serde::status_code")] status: http::StatusCode,
        #[serde(with = "http_serde::uri")] uri: http::Uri,
    }
    struct Headers { #[serde(with = "http_serde::header_map")] headers: http::HeaderMap, n: u32 }
    struct UuidSimple { #[serde(with = "uuid::serde::simple")] id: Uuid, n: u32 }
    struct UuidCompact { #[serde(with = "uuid::serde::compact")] id: Uuid, n: u32 }
    struct BytesOption { #[serde(with = "serde_bytes")] raw: Option<Vec<u8>>, n: u32 }
    struct BytesArray { #[serde(with = "serde_bytes")] hash: [u8; 32], n: u32 }
}

fn main() -> ExitCode {
    states::run(cases! {
        Uuid as "uuid::Uuid", Option<Uuid> as "Option of Uuid",
        UuidSimple as "uuid::serde::simple", UuidCompact as "uuid::serde::compact",
        Ulid as "ulid::Ulid",
        Bytes as "bytes::Bytes", ByteBuf as "serde_bytes::ByteBuf",
        BytesOption as "serde_bytes of Option", BytesArray as "serde_bytes of array",
        bstr::BString,
        Url as "url::Url", IpNet as "ipnet::IpNet", Ipv4Net as "ipnet::Ipv4Net",
        semver::Version, semver::VersionReq,
        SmolStr, CompactString, camino::Utf8PathBuf,
        email_address::EmailAddress as "EmailAddress",
        Login as "secrecy::SecretString",
        HttpBits as "http_serde method, uri", Headers as "http_serde header_map",
    })
}
