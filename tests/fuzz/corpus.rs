//! What fuzzing starts from: the golden files, as inputs of the targets.

use std::fs;
use std::path::{Path, PathBuf};

use snapfold::codec::CodecId;
use snapfold::record::Record;

use crate::bodies::request::{END, get, runtime};
use crate::bodies::shop::{self, KNOWN, PREFIX, Shop};
use crate::bodies::sign::Files;
use crate::bodies::{key_file, packed, payload};

fn fixtures(name: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// The golden records, as inputs of `header` and `record`.
pub fn records() -> Vec<Vec<u8>> {
    let golden = fixtures("format");
    assert!(golden.len() >= 8, "the golden records were not found");
    golden.into_iter().map(|(_, bytes)| [vec![0], bytes].concat()).collect()
}

/// The golden stores, and one whose last segment was just begun.
pub fn stores() -> Vec<Files> {
    let golden = ["v1", "v1_crashed"].map(|name| fixtures(&format!("file_store/{name}")));
    let [mut begun, _] = golden.clone();
    begun.retain(|(name, _)| name != "00000002.idx");
    for (_, bytes) in begun.iter_mut().filter(|(name, _)| name == "00000002.seg") {
        bytes.truncate(48);
    }
    let begun = packed::unpack(&packed::pack(packed::CHECKSUMS | packed::ENTRIES, &begun));
    golden.into_iter().chain([begun]).collect()
}

/// The golden stores, as inputs of `file_store`.
pub fn packed_stores() -> Vec<Vec<u8>> {
    stores().iter().map(|files| packed::pack(0, files)).collect()
}

/// The payloads of the golden records and of samples of further types, as inputs of `payload`.
pub fn payloads() -> Vec<Vec<u8>> {
    let golden = fixtures("format").into_iter().filter_map(|(_, bytes)| {
        let record = Record::from_bytes(bytes);
        let header = record.verify().unwrap();
        let codec = match header.codec {
            CodecId::POSTCARD => 0,
            CodecId::MSGPACK => 1,
            CodecId::JSON => 2,
            CodecId::BINCODE => 3,
            _ => return None,
        };
        let mut input = vec![codec, 0, header.compression.as_byte()];
        input.extend_from_slice(&header.raw_bytes.to_le_bytes());
        input.extend_from_slice(&record.as_bytes()[header.header_bytes()..]);
        Some(input)
    });
    golden.chain(payload::samples()).collect()
}

/// What may follow the URL of an aggregate, or of its project.
pub const AGGREGATE: [&str; 18] = [
    "",
    "?version=3",
    "?at=2023-11-14T22:13:23Z",
    "/versions",
    "/versions?page%5Bsize%5D=1",
    "/versions/2",
    "/timemap?after=1",
    "/diff?from=1&to=3",
    "/diff?from=2",
    "/snapshots?page[size]=1",
    "/snapshots/2-1-0123456789abcdef",
    "/snapshots?before=3",
    "/snapshots",
    "/rebuild",
    "/prune",
    "/versions/1/AAAA",
    "/frog",
    "?at=",
];
pub const PROJECT: [&str; 8] = [
    "/entities",
    "/entities?filter[kind]=shelf&page[size]=1",
    "/download",
    "/download?format=zip&filter%5Bkind%5D=shelf",
    "/download?at=2023-11-14T22:13:22Z",
    "/rebuild",
    "/prune?filter[kind]=shelf",
    "/jobs/AAAAAAAAAAAAAAAAAAAAAA",
];
pub const OPEN: [&str; 4] = ["/openapi.json", "/health", "/problems/not-found", "/problems/x"];
pub const HEADERS: [&str; 20] = [
    "accept: application/vnd.api+json",
    "accept: text/html, */*;q=0.1",
    "accept: application/json;q=0, application/vnd.api+json;ext=\"x\"",
    "accept-encoding: gzip",
    "accept-encoding: gzip;q=0.5, identity;q=0, br",
    "accept-datetime: Tue, 14 Nov 2023 22:13:22 GMT",
    "accept-datetime: Sun, 06 Nov 1994 08:49:37 GMT",
    "accept-datetime: Friday, 31-Dec-99 23:59:59 GMT",
    "if-modified-since: Tue, 14 Nov 2023 22:13:22 GMT",
    "if-none-match: W/\"x\", *",
    "if-match: \"AAAAAAAAAAAAAAAAAAAAAA\"",
    "range: bytes=0-9",
    "range: bytes=-5, 1-2, 900-",
    "if-range: \"x\"",
    "idempotency-key: \"once\"",
    "prefer: respond-async, wait=10",
    "content-type: application/json",
    "content-type: application/vnd.api+json; charset=utf-8",
    "authorization: Basic AAAA",
    "x-forwarded-for: 127.0.0.1",
];
pub const BODIES: [&str; 6] = [
    "",
    "{}",
    "{\"version\":3,\"labels\":[\"release\"],\"fields\":{\"build\":\"7\"},\"reason\":\"r\"}",
    "{\"policy\":\"last 1, daily 7\",\"dryRun\":false}",
    "{\"policy\":\"last 1\",\"plan\":\"0123456789abcdef\"}",
    "{\"version\":99}",
];

/// The URL of a project below the prefix.
pub fn project(tenant: &str) -> String {
    format!("/projects/{}", if tenant.is_empty() { "~" } else { tenant })
}

/// Credentials as headers: none, and those of both keys.
pub fn credentials() -> Vec<String> {
    let keys = [shop::reads(), shop::ops()];
    let keys = keys.map(|key| format!("authorization: Bearer {}\n", key.text));
    [String::new()].into_iter().chain(keys).collect()
}

/// Every route with each key, each header, and what only a server knows: cursors and digests.
pub fn requests() -> Vec<Vec<u8>> {
    let paths = KNOWN.iter().map(|known| known.path.to_owned());
    let paths: Vec<_> = paths.chain(["/projects/north/entities/shelf/nobody".to_owned()]).collect();
    let of_aggregates = paths.iter().flat_map(|path| AGGREGATE.map(|rest| format!("{path}{rest}")));
    let of_projects = ["", "north"]
        .into_iter()
        .flat_map(|it| PROJECT.map(|rest| format!("{}{rest}", project(it))));
    let of_server = runtime().block_on(async {
        let delivery = Shop::new().await.open;
        let path = KNOWN[0].path;
        let mut found = Vec::new();
        for list in ["/versions", "/snapshots"] {
            let page = get(&delivery, &format!("{path}{list}?page[size]=1"), "").await;
            let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            found.push(page["links"]["next"].as_str().unwrap().to_owned());
            found.push(page["data"][0]["links"]["self"].as_str().unwrap().to_owned());
        }
        let state = get(&delivery, path, "").await;
        found.push(state.header("content-location").to_owned());
        found.into_iter().map(|url| url.strip_prefix(PREFIX).unwrap().to_owned())
    });
    let open = OPEN.map(str::to_owned);
    let targets: Vec<_> = of_aggregates.chain(of_projects).chain(of_server).chain(open).collect();

    let mut requests = Vec::new();
    for credentials in credentials() {
        for target in &targets {
            for method in ["GET", "POST", "DELETE"] {
                let policy = if target.contains("prune") { BODIES[3] } else { BODIES[1] };
                let json = "content-type: application/json\n";
                let (headers, body) = if method == "POST" { (json, policy) } else { ("", "") };
                let begin = format!("{method} {PREFIX}{target}\n{credentials}{headers}\n{body}");
                requests.push([&[0], begin.as_bytes()].concat());
            }
        }
        for header in HEADERS {
            for method in ["GET", "HEAD", "OPTIONS"] {
                let path = KNOWN[0].path;
                let text = format!("{method} {path}\n{credentials}{header}\n\n");
                requests.push([&[0], text.as_bytes()].concat());
            }
        }
        // The same write three times, and a job.
        let path = KNOWN[0].path;
        let headers = "content-type: application/json\nidempotency-key: \"a\"\n";
        let text = format!("POST {path}/snapshots\n{credentials}{headers}\n{}", BODIES[2]);
        let job = format!("POST /projects/north/rebuild\n{credentials}prefer: respond-async\n\n");
        let [text, job] = [text.as_bytes(), job.as_bytes()];
        requests.push([&[0], text, &[END], text, &[END], text, &[END], job].concat());
    }
    requests
}

/// A file of API keys, whole and as nobody should write it.
pub fn key_files() -> Vec<Vec<u8>> {
    let whole = key_file::sample();
    let text = String::from_utf8(whole.clone()).unwrap();
    let twice = text.replacen("\"keys\": [", "\"keys\": [], \"keys\": [", 1);
    let other = text.replace("\"format\": 1", "\"format\": 2");
    let ended = text.replace("2027-12-31", "1927-12-31");
    let all = text.replace("2027-12-31", "-009999-01-02").replace(": 60", ": 1e300");
    [whole, b"{\"format\":1,\"keys\":[]}".to_vec()]
        .into_iter()
        .chain([twice, other, ended, all].map(String::into_bytes))
        .collect()
}
