//! Stored records, whole and in ranges (RFC 9110, section 14), against a model.

use async_trait::async_trait;
use base64::Engine as _;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use snapfold::engine::SnapshotReader;
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, MemoryStore, SnapshotEngine, SnapshotId, SnapshotStore};

use crate::support::{Answer, Shop, Stock, date, deliver, stock};

const RECORD: &str = "application/vnd.snapfold.record";

/// A snapshot, and a delivery of which it can be copied.
struct Copied {
    shop: Shop,
    delivery: Delivery,
    /// Of somebody who may copy, and of somebody who may read.
    copies: String,
    reads: String,
    path: String,
    record: Vec<u8>,
}

impl Copied {
    async fn new() -> Self {
        let shop = Shop::new();
        shop.grow(&stock("alice"), 60);
        Self::over(shop.clone(), Kinds::new().with(shop.engine).unwrap()).await
    }

    async fn over(shop: Shop, kinds: Kinds) -> Self {
        let key = stock("alice");
        let created = shop.engine.create_with(&key, CreateOptions::new().at_version(50));
        let id = created.await.unwrap().meta().unwrap().id();
        let Lookup::Found(found) = shop.store.get(Query::exact(&key, id)).await.unwrap() else {
            panic!("it was stored")
        };
        let new = |permission| ApiKey::generate("somebody", [Scope::new([permission])]).unwrap();
        let (copy, copies) = new(Permission::Copy);
        let (read, reads) = new(Permission::Read);
        let keys = ApiKeys::new().with(copy).with(read);
        let delivery = Delivery::builder(kinds).authenticator(keys).build().unwrap();
        let generation = id.generation;
        let path = format!(
            "/projects/~/entities/stock/alice/snapshots/50-{}-{:016x}",
            generation.schema_version, generation.fingerprint
        );
        let record = found.record.as_bytes().to_vec();
        Self { shop, delivery, copies, reads, path, record }
    }

    async fn ask(&self, key: &str, method: &str, headers: &[(&str, &[u8])]) -> Answer {
        let mut request = Request::builder().method(method).uri(&self.path);
        request = request.header("authorization", format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        deliver(&self.delivery, request.body(String::new()).unwrap()).await
    }

    /// Asks for the record.
    async fn copy(&self, method: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("accept", RECORD.as_bytes())];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        self.ask(&self.copies, method, &all).await
    }
}

#[tokio::test]
async fn a_record_is_what_is_stored() {
    let copied = Copied::new().await;
    let answer = copied.copy("GET", &[("accept-encoding", "gzip, zstd")]).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &*copied.record));
    let record = Record::from_bytes(answer.body.clone());
    assert_eq!(record.verify().unwrap().version, 50);
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&copied.record));
    for (name, value) in [
        ("content-type", RECORD),
        ("accept-ranges", "bytes"),
        ("repr-digest", &*format!("sha-256=:{hash}:")),
        ("cache-control", "private, max-age=0, must-revalidate"),
        ("vary", "accept, authorization"),
        ("content-length", &*copied.record.len().to_string()),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(!answer.has("content-encoding") && answer.header("etag").starts_with('"'));
    let head = copied.copy("HEAD", &[]).await;
    assert_eq!((head.status, head.headers), (answer.status, answer.headers.clone()));
    assert!(head.body.is_empty());

    // Who does not ask for it gets the document, which is another representation.
    for accept in ["*/*", "application/json", "application/vnd.snapfold.record, */*"] {
        let document = copied.ask(&copied.reads, "GET", &[("accept", accept.as_bytes())]).await;
        assert_eq!(document.header("content-type"), "application/json", "{accept}");
        assert_ne!(document.header("etag"), answer.header("etag"));
        assert_eq!(document.header("vary"), "accept, authorization");
        assert_eq!(document.json()["data"]["attributes"]["storedBytes"], copied.record.len());
    }
}

#[tokio::test]
async fn what_is_not_stored_is_not_found_and_a_reader_sends_what_is() {
    let mut copied = Copied::new().await;
    let path = copied.path.clone();
    copied.path = path.replace("/50-", "/49-");
    assert_eq!(copied.copy("GET", &[("range", "bytes=0-1")]).await.status, 404);
    let reader = SnapshotReader::<Stock>::builder(copied.shop.store.clone());
    let kinds = Kinds::new().with(reader.build_reader().unwrap()).unwrap();
    let reading = Copied::over(copied.shop, kinds).await;
    assert_eq!(reading.copy("GET", &[]).await.body, copied.record);
}

#[tokio::test]
async fn a_record_needs_its_own_permission() {
    let mut copied = Copied::new().await;
    let accept: &[_] = &[("accept", RECORD.as_bytes())];
    for method in ["GET", "HEAD"] {
        assert_eq!(copied.ask(&copied.reads, method, accept).await.status, 403, "{method}");
        assert_eq!(copied.ask(&copied.reads, method, &[]).await.status, 200, "{method}");
        assert_eq!(copied.ask(&copied.copies, method, accept).await.status, 200, "{method}");
        assert_eq!(copied.ask(&copied.copies, method, &[]).await.status, 403, "{method}");
    }
    // Whether or not it exists.
    let refused = copied.ask(&copied.reads, "GET", accept).await;
    copied.path = copied.path.replace("/50-", "/49-");
    let none = copied.ask(&copied.reads, "GET", accept).await;
    assert_eq!((none.status, none.body), (refused.status, refused.body));
    // A service that is open to everybody sends none.
    let copied = Copied { delivery: copied.shop.open(), ..Copied::new().await };
    assert_eq!(copied.copy("GET", &[]).await.status, 403);
}

/// What a `Range` comes to for a body of `length` bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Whole,
    Part(usize, usize),
    Nothing,
}

fn ranges(length: usize) -> Vec<(Option<String>, Wanted)> {
    let last = length - 1;
    let cases = [
        ("bytes=0-0".to_owned(), Wanted::Part(0, 0)),
        ("bytes=7-20".into(), Wanted::Part(7, 20)),
        ("BYTES=7-20".into(), Wanted::Part(7, 20)),
        ("bytes=7-".into(), Wanted::Part(7, last)),
        ("bytes=0-".into(), Wanted::Part(0, last)),
        ("bytes=-7".into(), Wanted::Part(length - 7, last)),
        (format!("bytes=-{length}"), Wanted::Part(0, last)),
        ("bytes=-99999999999999999999".into(), Wanted::Part(0, last)),
        (format!("bytes={last}-"), Wanted::Part(last, last)),
        (format!("bytes=7-{length}"), Wanted::Part(7, last)),
        ("bytes=7-99999999999999999999".into(), Wanted::Part(7, last)),
        (format!("bytes={length}-"), Wanted::Nothing),
        (format!("bytes={length}-{length}"), Wanted::Nothing),
        ("bytes=99999999999999999999-".into(), Wanted::Nothing),
        ("bytes=-0".into(), Wanted::Nothing),
        ("bytes=20-7".into(), Wanted::Whole),
        ("bytes=0-1,4-5".into(), Wanted::Whole),
        ("bytes=0-1, 999999-".into(), Wanted::Whole),
        ("bytes=999998-,999999-".into(), Wanted::Whole),
        ("bytes=".into(), Wanted::Whole),
        ("bytes=-".into(), Wanted::Whole),
        ("bytes=a-b".into(), Wanted::Whole),
        ("bytes=+7-20".into(), Wanted::Whole),
        ("bytes=7 - 20".into(), Wanted::Whole),
        ("7-20".into(), Wanted::Whole),
        ("lines=7-20".into(), Wanted::Whole),
        (String::new(), Wanted::Whole),
    ];
    let cases = cases.into_iter().map(|(text, wanted)| (Some(text), wanted));
    cases.chain([(None, Wanted::Whole)]).collect()
}

/// Checks an answer to a request whose preconditions hold.
fn check_part(answer: &Answer, record: &[u8], wanted: Wanted, asked: &str) {
    let length = record.len();
    let (status, range, body) = match wanted {
        Wanted::Whole => (200, None, record),
        Wanted::Part(first, last) => {
            (206, Some(format!("bytes {first}-{last}/{length}")), &record[first..=last])
        }
        Wanted::Nothing => (416, Some(format!("bytes */{length}")), &[][..]),
    };
    assert_eq!(answer.status.as_u16(), status, "{asked}");
    let found = answer.headers.get("content-range").map(|value| value.to_str().unwrap());
    assert_eq!(found, range.as_deref(), "{asked}");
    if status == 416 {
        assert_eq!(answer.json()["type"], "/problems/range-not-satisfiable");
        return;
    }
    assert_eq!(&*answer.body, body, "{asked}");
    assert_eq!(answer.header("content-length"), body.len().to_string());
}

#[tokio::test]
async fn ranges_and_all_conditions_are_answered_as_the_rfc_says() {
    let copied = Copied::new().await;
    let whole = copied.copy("GET", &[]).await;
    let tag = whole.header("etag");
    let (weak, list) = (format!("W/{tag}"), format!("{tag}, {tag}"));
    let (day, now) = (date(50), date(99_999_999));
    // Whether the range counts.
    let if_ranges = [
        (None, true),
        (Some(tag), true),
        (Some(&*weak), false),
        (Some("\"other\""), false),
        (Some(&*list), false),
        (Some("*"), false),
        (Some(&*day), false),
        (Some(&*now), false),
        (Some(""), false),
    ];
    // The status, if it is not for the range to decide.
    let conditions = [
        (None, None, None),
        (Some(tag), None, None),
        (Some("\"other\""), None, Some(412)),
        (Some(&*weak), None, Some(412)),
        (None, Some("\"other\""), None),
        (None, Some(tag), Some(304)),
        (None, Some(&*weak), Some(304)),
        (Some("\"other\""), Some(tag), Some(412)),
    ];
    let (ranges, mut parts) = (ranges(copied.record.len()), 0);
    for (if_match, none_match, status) in conditions {
        for ((range, wanted), (if_range, counts)) in
            ranges.iter().flat_map(|range| if_ranges.map(|it| (range, it)))
        {
            let headers = [
                ("if-match", if_match),
                ("if-none-match", none_match),
                ("range", range.as_deref()),
                ("if-range", if_range),
            ];
            let headers: Vec<_> =
                headers.into_iter().filter_map(|(name, it)| Some((name, it?))).collect();
            let asked = format!("{headers:?}");
            for method in ["GET", "HEAD"] {
                let answer = copied.copy(method, &headers).await;
                match status {
                    Some(status) => {
                        assert_eq!(answer.status.as_u16(), status, "{method} {asked}");
                        assert!(!answer.has("content-range"));
                    }
                    // Only a GET has ranges.
                    None if method == "HEAD" => {
                        assert_eq!(
                            (answer.status, &answer.headers),
                            (whole.status, &whole.headers)
                        );
                    }
                    None => {
                        let wanted = if counts { *wanted } else { Wanted::Whole };
                        check_part(&answer, &copied.record, wanted, &asked);
                        if wanted != Wanted::Nothing {
                            let mut expected = whole.headers.clone();
                            for name in ["content-length", "content-range"] {
                                expected.remove(name);
                                expected.extend(answer.headers.get(name).map(|value| {
                                    (http::HeaderName::from_static(name), value.clone())
                                }));
                            }
                            assert_eq!(answer.headers, expected, "{asked}");
                        }
                        parts += u32::from(answer.status == 206);
                    }
                }
            }
        }
    }
    assert!(parts > 50, "{parts}");
    // Two of them are not one.
    let twice = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
    assert_eq!(copied.copy("GET", &twice).await.status, 200);
    let twice = [("range", "bytes=0-1"), ("if-range", tag), ("if-range", tag)];
    assert_eq!(copied.copy("GET", &twice).await.status, 200);
}

fn header_text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8];
    let like_a_range = "[bB]ytes ?= ?[0-9]{0,22} ?-? ?[0-9]{0,22}(,[0-9 ]{0,4}-[0-9 ]{0,4}){0,3}";
    prop_oneof![
        prop::collection::vec(byte, 0..40),
        like_a_range.prop_map(String::into_bytes),
        "bytes=[0-9,-]{0,2000}".prop_map(String::into_bytes),
    ]
}

#[test]
fn any_range_is_answered_with_what_it_says_or_with_the_whole() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let copied = runtime.block_on(Copied::new());
    let (record, length) = (&copied.record, copied.record.len());
    let ask = |range: &[u8]| {
        let headers = [("accept", RECORD.as_bytes()), ("range", range)];
        runtime.block_on(copied.ask(&copied.copies, "GET", &headers))
    };
    proptest!(|(text in header_text())| {
        let answer = ask(&text);
        let wanted = match answer.status.as_u16() {
            200 => Wanted::Whole,
            206 => {
                let range = answer.header("content-range").strip_prefix("bytes ").unwrap();
                let (first, rest) = range.split_once('-').unwrap();
                let (last, _) = rest.split_once('/').unwrap();
                Wanted::Part(first.parse().unwrap(), last.parse().unwrap())
            }
            _ => Wanted::Nothing,
        };
        check_part(&answer, record, wanted, &format!("{text:?}"));
    });
    let places = || prop_oneof![0..length * 2, Just(usize::MAX)];
    proptest!(|(first in places(), more in places(), form in 0..3)| {
        let last = first.saturating_add(more);
        let from = |first: usize, last: usize| {
            let is_within = first < length;
            if is_within { Wanted::Part(first, last.min(length - 1)) } else { Wanted::Nothing }
        };
        let (text, wanted) = match form {
            0 => (format!("bytes={first}-{last}"), from(first, last)),
            1 => (format!("bytes={first}-"), from(first, length)),
            _ if first == 0 => ("bytes=-0".to_owned(), Wanted::Nothing),
            _ => (format!("bytes=-{first}"), from(length.saturating_sub(first), length)),
        };
        check_part(&ask(text.as_bytes()), record, wanted, &text);
    });
}

/// A store that returns another record than the one that is asked for.
#[derive(Clone, Debug)]
struct Mistaken(MemoryStore, Option<Record>);

#[async_trait]
impl SnapshotStore for Mistaken {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.0.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let mut lookup = self.0.get(query).await?;
        if let (Lookup::Found(found), Some(other)) = (&mut lookup, &self.1) {
            found.record = other.clone();
        }
        Ok(lookup)
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.0.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.0.delete(key, selection, options).await
    }
}

#[tokio::test]
async fn no_record_is_sent_that_is_damaged_or_of_another_snapshot() {
    let copied = Copied::new().await;
    let (shop, mut others) = (&copied.shop, Vec::new());
    // Of somebody else, and of another version.
    shop.grow(&stock("bob"), 60);
    for (key, version) in [(stock("bob"), 50), (stock("alice"), 40)] {
        let options = CreateOptions::new().at_version(version);
        let created = shop.engine.create_with(&key, options).await.unwrap();
        let id = created.meta().unwrap().id();
        let Lookup::Found(found) = shop.store.get(Query::exact(&key, id)).await.unwrap() else {
            panic!("it was stored")
        };
        others.push(found.record.as_bytes().to_vec());
    }
    // Damaged in the header, in the payload, and cut.
    for place in [30, copied.record.len() - 1] {
        let mut damaged = copied.record.clone();
        damaged[place] ^= 1;
        others.push(damaged);
    }
    others.push(copied.record[..copied.record.len() - 1].to_vec());
    for (status, record) in others.into_iter().map(|it| (500, it)).chain([(200, copied.record)]) {
        let store = Mistaken(shop.store.clone(), Some(Record::from_bytes(record.clone())));
        let engine = SnapshotEngine::<Stock>::builder(shop.stocks.clone(), store).build().unwrap();
        let mistaken = Copied::over(shop.clone(), Kinds::new().with(engine).unwrap()).await;
        let answer = mistaken.copy("GET", &[]).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.body == record, status == 200);
    }
}
