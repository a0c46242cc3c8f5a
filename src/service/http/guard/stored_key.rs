//! [`ApiKey`] as JSON, alone and in a file.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::error::Category;

use super::api_key::ApiKey;
use super::presented_key::is_id;
use super::principal::Scope;
use super::quota::RequestQuota;
use crate::hex::{hex, unhex};
use crate::timestamp::Timestamp;

/// The format of the document.
const FORMAT: u32 = 1;

/// A key as JSON. An unknown field is refused: it could be a limit whose name is mistyped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    sha256: String,
    name: String,
    scopes: Vec<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<StoredQuota>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredQuota {
    requests: NonZeroU32,
    #[serde(serialize_with = "whole_if_possible")]
    seconds: f64,
}

/// All keys of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument<K> {
    format: u32,
    keys: Vec<K>,
}

/// The part of a document that all formats share.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

/// Reads a document. The error says what is wrong, without any text of the document but ids: a
/// secret may have got into it.
pub(super) fn parse_keys(bytes: &[u8]) -> Result<Vec<ApiKey>, String> {
    let AnyFormat { format } = serde_json::from_slice(bytes).map_err(|error| match &error {
        _ if error.classify() == Category::Data => "it has no format number".to_owned(),
        _ => place(&error),
    })?;
    if format != FORMAT {
        return Err(format!("it has format {format}, and this version reads format {FORMAT}"));
    }
    let document: KeyDocument<StoredKey> =
        serde_json::from_slice(bytes).map_err(|error| place(&error))?;
    let (mut keys, mut ids) = (Vec::new(), HashSet::new());
    for (number, stored) in (1_usize..).zip(document.keys) {
        let id = stored.id.clone();
        let key = ApiKey::try_from(stored).map_err(|why| {
            let named = if is_id(&id) { format!(" ({id})") } else { String::new() };
            format!("key {number}{named}: {why}")
        })?;
        if !ids.insert(id) {
            return Err(format!("key {number} ({}): an earlier key has this id", key.id));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Writes a document.
pub(super) fn keys_to_bytes<'a>(
    keys: impl IntoIterator<Item = &'a ApiKey>,
) -> Result<Vec<u8>, serde_json::Error> {
    let document = KeyDocument { format: FORMAT, keys: keys.into_iter().collect() };
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What is wrong with a document, and where. The message of the parser is not used, because it
/// quotes values.
fn place(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Data => "a field is missing, unknown, twice or of another type",
        Category::Eof => "it ends too early",
        Category::Syntax | Category::Io => "it is no JSON",
    };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

impl Serialize for ApiKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredKey::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(StoredKey::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl From<ApiKey> for StoredKey {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.as_ref().into(),
            sha256: hex(&key.hash),
            name: key.name,
            scopes: key.scopes.to_vec(),
            expires_at: key.expires_at.map(expiry_to_text),
            quota: key.quota.map(|quota| StoredQuota {
                requests: quota.requests,
                seconds: quota.period.as_secs_f64(),
            }),
        }
    }
}

impl TryFrom<StoredKey> for ApiKey {
    type Error = &'static str;

    fn try_from(stored: StoredKey) -> Result<Self, &'static str> {
        if !is_id(&stored.id) {
            return Err("the id is not 12 lower-case hexadecimal digits");
        }
        let hash = unhex(&stored.sha256).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let hash = hash.ok_or("sha256 is not 64 hexadecimal digits")?;
        let mut key = Self::from_stored(stored.id, hash, stored.name).scopes(stored.scopes);
        if let Some(text) = stored.expires_at {
            let time = text.parse::<Timestamp>();
            key = key.expires_at(time.map_err(|_| "expires_at is no time of RFC 3339")?);
        }
        if let Some(StoredQuota { requests, seconds }) = stored.quota {
            let period = Duration::try_from_secs_f64(seconds).ok();
            let period = period.filter(|period| *period >= Duration::from_secs(1));
            let period = period.ok_or("the seconds of the quota are below 1 or too many")?;
            key = key.quota(RequestQuota::new(requests.get(), period));
        }
        Ok(key)
    }
}

/// Writes 60 rather than 60.0.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn whole_if_possible<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let whole = Duration::try_from_secs_f64(*seconds).ok().filter(|it| it.subsec_nanos() == 0);
    match whole {
        Some(whole) => serializer.serialize_u64(whole.as_secs()),
        None => serializer.serialize_f64(*seconds),
    }
}

/// A time that RFC 3339 cannot write becomes the last or the first one that it can.
fn expiry_to_text(time: Timestamp) -> String {
    /// 9999-12-30T22:00:00Z, and the beginning of 1970.
    const ENDS: [i64; 2] = [253_402_207_200, 0];
    let [last, first] = ENDS.map(Timestamp::from_seconds);
    time.clamp(first, last).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::permission::Permission;
    use super::*;

    fn scopes() -> impl Strategy<Value = Scope> {
        let texts = || prop::collection::vec(any::<String>(), 0..3);
        let permissions = prop::sample::subsequence(Permission::ALL, 0..=Permission::ALL.len());
        (permissions, prop::option::of(texts()), prop::option::of(texts())).prop_map(
            |(permissions, tenants, kinds)| {
                let scope = Scope::new(permissions);
                let scope = match tenants {
                    Some(tenants) => scope.tenants(tenants),
                    None => scope.all_tenants(),
                };
                kinds.map_or(scope.clone(), |kinds| scope.kinds(kinds))
            },
        )
    }

    fn keys() -> impl Strategy<Value = ApiKey> {
        let quota = (1..u32::MAX, 1_000..7_776_000_000_u64)
            .prop_map(|(n, ms)| RequestQuota::new(n, Duration::from_millis(ms)));
        let micros = 0..253_402_207_200_000_000_i64;
        (
            "[0-9a-f]{12}",
            any::<[u8; 32]>(),
            any::<String>(),
            prop::collection::vec(scopes(), 0..3),
            prop::option::of(micros.prop_map(Timestamp::from_micros)),
            prop::option::of(quota),
        )
            .prop_map(|(id, hash, name, scopes, expires_at, quota)| ApiKey {
                expires_at,
                quota,
                ..ApiKey::from_stored(id, hash, name).scopes(scopes)
            })
    }

    proptest! {
        #[test]
        fn keys_come_back_as_they_were_stored(keys in prop::collection::vec(keys(), 0..4)) {
            let bytes = keys_to_bytes(&keys).unwrap();
            prop_assert_eq!(parse_keys(&bytes).unwrap(), keys);
        }

        #[test]
        fn no_document_panics(key in keys(), bytes in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
            let _ = parse_keys(&bytes);
            let mut document = keys_to_bytes([&key]).unwrap();
            let at = at.index(document.len());
            let end = (at + bytes.len()).min(document.len());
            document.splice(at..end, bytes);
            if let Err(error) = parse_keys(&document) {
                prop_assert!(!error.contains(&hex(&key.hash)[..20]), "{}", error);
            }
        }
    }

    #[test]
    fn a_bad_document_is_refused_with_what_is_wrong_and_no_value_of_it() {
        let secret = "feedc0de".repeat(8);
        let key = |fields: &str| format!("{{\"format\": 1, \"keys\": [{{{fields}}}]}}");
        let id = "\"id\": \"0123456789ab\", \"name\": \"n\", \"scopes\": []";
        let hash = format!("\"sha256\": \"{secret}\"");
        let scope = "{\"permissions\": [\"read\"], \"tenants\": \"all\", \"kinds\": \"all\"}";
        let with_scope = |scope: &str| {
            key(&format!("\"id\": \"0123456789ab\", \"name\": \"\", {hash}, \"scopes\": [{scope}]"))
        };
        assert!(parse_keys(key(&format!("{id}, {hash}")).as_bytes()).is_ok());
        assert!(parse_keys(with_scope(scope).as_bytes()).is_ok());
        let field = "a field is missing, unknown, twice or of another type";
        for (document, expected) in [
            (String::new(), "line 1, column 0: it ends too early"),
            (format!("{secret}\n"), "line 1, column 2: it is no JSON"),
            (format!("{{\"{secret}\": 1}}"), "no format number"),
            (
                "{\"format\": 2, \"keyring\": 7}".to_owned(),
                "it has format 2, and this version reads",
            ),
            (format!("{{\"format\": \"{secret}\"}}"), "no format number"),
            (format!("{{\"format\": 1, \"keys\": \"{secret}\"}}"), field),
            (key(&format!("{id}, {hash}, \"{secret}\": 1")), field),
            (key(&format!("{id}, {hash}, \"expire_at\": \"{secret}\"")), field),
            (key(&format!("{id}, {hash}, {hash}")), field),
            (key(id), field),
            (key(&format!("{id}, \"sha256\": \"{secret}0\"")), "key 1 (0123456789ab): sha256"),
            (key(&format!("{id}, {hash}, \"expires_at\": \"{secret}\"")), "expires_at is no time"),
            (key(&format!("{id}, {hash}, \"quota\": {{\"requests\": 0, \"seconds\": 1}}")), field),
            (
                key(&format!("{id}, {hash}, \"quota\": {{\"requests\": 1, \"seconds\": 0.5}}")),
                "the seconds of the quota",
            ),
            (
                key(&format!("\"id\": \"{secret}\", \"name\": \"n\", \"scopes\": [], {hash}")),
                "key 1: the id is not 12",
            ),
            (with_scope(&scope.replace("read", &secret)), field),
            (with_scope(&scope.replace("all", &secret)), field),
            // What a scope does not limit, it says.
            (with_scope("{\"permissions\": [\"read\"], \"tenants\": \"all\"}"), field),
            (with_scope("{\"permissions\": [\"read\"], \"kinds\": \"all\"}"), field),
            (
                format!("{{\"format\": 1, \"keys\": [{{{id}, {hash}}}, {{{id}, {hash}}}]}}"),
                "key 2 (0123456789ab): an earlier key has this id",
            ),
        ] {
            let error = parse_keys(document.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{document}: {error}");
            assert!(!error.contains("feedc0de"), "{error}");
        }
    }

    /// The format is for ever: these bytes are read, and the same keys are written so.
    #[test]
    fn format_1_is_what_it_was() {
        let hash = [0xab; 32];
        let scope = Scope::new([Permission::Read, Permission::Diagnose]).tenants(["", "north"]);
        let limited = ApiKey::from_stored("0123456789ab", hash, "limited")
            .scopes([scope.kinds(["account"])])
            .expires_at("2027-01-01T00:00:00.5Z".parse().unwrap())
            .quota(RequestQuota::new(100, Duration::from_millis(1_500)));
        let all = ApiKey::from_stored("ba9876543210", hash, "all")
            .scopes([Scope::new([]).all_tenants()])
            .quota(RequestQuota::new(1, Duration::from_secs(60)));
        let hash = "ab".repeat(32);
        let limited_text = format!(
            r#"{{"id":"0123456789ab","sha256":"{hash}","name":"limited","scopes":[{{"permissions":["read","diagnose"],"tenants":["","north"],"kinds":["account"]}}],"expires_at":"2027-01-01T00:00:00.5Z","quota":{{"requests":100,"seconds":1.5}}}}"#
        );
        let all_text = format!(
            r#"{{"id":"ba9876543210","sha256":"{hash}","name":"all","scopes":[{{"permissions":[],"tenants":"all","kinds":"all"}}],"quota":{{"requests":1,"seconds":60}}}}"#
        );
        let document = format!(r#"{{"format":1,"keys":[{limited_text},{all_text}]}}"#);
        assert_eq!(parse_keys(document.as_bytes()).unwrap(), [limited.clone(), all.clone()]);
        let written: serde_json::Value =
            serde_json::from_slice(&keys_to_bytes([&limited, &all]).unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&document).unwrap());
        assert_eq!(serde_json::to_string(&all).unwrap(), all_text);
    }

    #[test]
    fn an_expiry_beyond_the_calendar_stays_in_the_future_and_one_before_it_in_the_past() {
        for (time, expected) in
            [(Timestamp::MAX, "9999-12-30T22:00:00Z"), (Timestamp::MIN, "1970-01-01T00:00:00Z")]
        {
            let key = ApiKey::from_stored("0123456789ab", [0; 32], "n").expires_at(time);
            let bytes = keys_to_bytes([&key]).unwrap();
            let read = parse_keys(&bytes).unwrap().remove(0);
            assert_eq!(read.expires_at.unwrap().to_string(), expected);
        }
    }
}
