//! Whole requests to a delivery that is open to everybody and to one with keys. Any request has an
//! answer that is no failure of the server, a state is that of a replay, and nobody sees what the key
//! of the request does not open.

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::{Body, Frame};
use serde_json::Value;
use snapfold::Timestamp;
use snapfold::service::http::Delivery;
use tower_service::Service as _;

use super::shop::{self, KEY_LEN, KNOWN, Known, PREFIX, Shop, marker};

/// Ends a request, where another one follows.
pub const END: u8 = 0x1e;
const MAX_REQUESTS: usize = 4;

/// The input: flags, and up to four requests as HTTP/1.1 has them, with LF at the end of each line.
/// The flag 1 puts the checksums of keys right.
pub fn run(input: &[u8]) {
    let Some((flags, text)) = input.split_first() else { return };
    let requests: Vec<_> = text.split(|byte| *byte == END).take(MAX_REQUESTS).collect();
    let requests: Vec<_> = requests.iter().filter_map(|text| Asked::read(text, *flags)).collect();
    runtime().block_on(async {
        let shop = Shop::new().await;
        for asked in &requests {
            let answer = asked.send(&shop.open).await;
            check(asked, &answer);
            let is_read = asked.is_read() || asked.method == Method::OPTIONS;
            assert!(is_read || !answer.status.is_success(), "{asked:?} {answer:?}");
        }
        for asked in &requests {
            let answer = asked.send(&shop.guarded).await;
            check(asked, &answer);
            check_key(asked, &answer);
        }
    });
}

/// The answer to a simple GET of a target below the prefix.
pub async fn get(delivery: &Delivery, target: &str, credentials: &str) -> Answer {
    let text = format!("GET {PREFIX}{target}\nauthorization: {credentials}\n\n");
    Asked::read(text.as_bytes(), 0).unwrap().send(delivery).await
}

/// Bodies are read within a time, and writes are spawned.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[derive(Debug)]
struct Asked {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// `None` if a server would not pass it on. Headers that it would not pass on are left out.
    fn read(text: &[u8], flags: u8) -> Option<Self> {
        let (head, body) = match text.windows(2).position(|two| two == b"\n\n") {
            Some(end) => (&text[..end], &text[end + 2..]),
            None => (text, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
        let method = Method::from_bytes(first.next()?).ok()?;
        let target = Uri::try_from(first.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            let mut value = value.trim_ascii().to_vec();
            if flags & 1 != 0
                && let Some(at) = value.windows(4).position(|four| four == b"snf_")
                && let Some(key) = value.get_mut(at..at + KEY_LEN)
            {
                shop::sign(key);
            }
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
                headers.append(name, value);
            }
        }
        Some(Self { method, target, headers, body: Bytes::copy_from_slice(body) })
    }

    async fn send(&self, delivery: &Delivery) -> Answer {
        let mut request = Request::new(Content(Some(self.body.clone())));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        let Ok(answer) = delivery.clone().call(request).await;
        let (parts, mut body) = answer.into_parts();
        let mut read = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        Answer { status: parts.status, headers: parts.headers, body: read.into() }
    }

    fn is_read(&self) -> bool {
        [Method::GET, Method::HEAD].contains(&self.method)
    }

    /// The path below the prefix.
    fn path(&self) -> &str {
        let path = self.target.path();
        path.strip_prefix(PREFIX).unwrap_or(path)
    }

    /// Whether one of its credentials has this text. Whether that admits it is not for this check.
    fn has_key(&self, text: &str) -> bool {
        let given = self.headers.get_all("authorization").into_iter();
        let mut texts = given.filter_map(|value| value.to_str().ok());
        texts.any(|value| value.contains(text))
    }

    /// Whether an answer that repeats a part of the request may have this text.
    fn names(&self, text: &str) -> bool {
        format!("{self:?}").contains(text)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body without its content coding.
    fn plain(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            // It was cut.
            "gzip" if self.status == StatusCode::PARTIAL_CONTENT => self.body.to_vec(),
            "gzip" if !self.body.is_empty() => {
                let mut plain = Vec::new();
                GzDecoder::new(&*self.body).read_to_end(&mut plain).unwrap();
                plain
            }
            _ => self.body.to_vec(),
        }
    }
}

/// What holds for both deliveries.
fn check(asked: &Asked, answer: &Answer) {
    let status = answer.status;
    // What was captured is served and not written.
    let is_fine = status.as_u16() < 500 || status.as_u16() == 501 && !asked.is_read();
    assert!(is_fine, "{asked:?} {answer:?}");
    let is_head = asked.method == Method::HEAD;
    assert!(!is_head || answer.body.is_empty(), "{asked:?} {answer:?}");
    let length = answer.header("content-length");
    let is_stated = length.is_empty() || is_head || length == answer.body.len().to_string();
    assert!(is_stated, "{asked:?} {answer:?}");
    if status.as_u16() >= 400 && !is_head {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        let problem = problem.get("errors").map_or(&problem, |errors| &errors[0]);
        assert!(problem["title"].is_string(), "{asked:?} {answer:?}");
    }
    for tenant in ["", "north", "south"] {
        let project = if tenant.is_empty() { "~" } else { tenant };
        let is_its = asked.path().starts_with(&format!("/projects/{project}/"));
        let is_leaked = !is_its && shows(asked, answer, tenant);
        assert!(!is_leaked, "a state of {tenant:?}: {asked:?} {answer:?}");
    }
    if status.is_success() && !is_head && asked.is_read() {
        check_state(asked, answer);
    }
}

/// Whether the answer has the marker of a tenant, which the request has not.
fn shows(asked: &Asked, answer: &Answer, tenant: &str) -> bool {
    let marker = marker(tenant);
    let shown = String::from_utf8_lossy(&answer.plain()).contains(&marker)
        || format!("{:?}", answer.headers).contains(&marker);
    shown && !asked.names(&marker)
}

/// What the delivery with keys tells to whom.
fn check_key(asked: &Asked, answer: &Answer) {
    let (reads, ops) = (asked.has_key(&shop::reads().text), asked.has_key(&shop::ops().text));
    let path = asked.path();
    let needs_none = ["/openapi.json", "/health"].contains(&path)
        || path.starts_with("/problems/")
        || asked.method == Method::OPTIONS;
    // None, one that only reads, and one that opens `north`.
    let may = ops && path.starts_with("/projects/north/")
        || reads && path.starts_with("/projects/north/") && asked.is_read();
    let is_answered = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
    assert!(!is_answered || needs_none || may, "{asked:?} {answer:?}");
    let is_of_shelves = path.starts_with("/projects/north/entities/shelf/")
        || asked.target.query().is_some_and(|query| query.contains("shelf"));
    assert!(!is_answered || needs_none || ops || is_of_shelves, "{asked:?} {answer:?}");
    for tenant in ["", "north", "south"] {
        let is_leaked = shows(asked, answer, tenant) && !(may && tenant == "north");
        assert!(!is_leaked, "a state of {tenant:?}: {asked:?} {answer:?}");
    }
}

/// A state is that of a replay.
fn check_state(asked: &Asked, answer: &Answer) {
    let path = asked.path();
    let below = |one: &Known| {
        let rest = path.strip_prefix(one.path)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let found = KNOWN.iter().find_map(|one| Some((one, below(one)?)));
    let is_of_states = path.starts_with("/projects/") && path.contains("/entities/");
    let Some((known, rest)) = found else {
        // Nobody has an empty list of snapshots.
        let is_empty = path.ends_with("/snapshots");
        assert!(!is_of_states || is_empty, "a state of nobody: {asked:?} {answer:?}");
        return;
    };
    let segments: Vec<_> = rest.split('/').skip(1).collect();
    let version: u64 = match segments[..] {
        [] => {
            let place = answer.header("content-location");
            place.rsplit('/').nth(1).unwrap().parse().unwrap()
        }
        ["versions", version] | ["versions", version, _] => version.parse().unwrap(),
        _ => return,
    };
    if segments.is_empty() {
        let is_right = match asked.target.query().unwrap_or_default().split_once('=') {
            Some(("version", asked)) => asked.parse() == Ok(version),
            Some(("at", time)) if known.folds() => {
                time.parse::<Timestamp>().is_err()
                    || known.version_at(time.parse().unwrap()) == version
            }
            Some(_) => true,
            None => known.may_be_now(version),
        };
        assert!(is_right, "{asked:?} {answer:?}");
    }
    let state = known.replayed(version);
    let plain = String::from_utf8_lossy(&answer.plain()).into_owned();
    match (answer.status, answer.header("content-type")) {
        (StatusCode::OK, "application/json") => {
            assert_eq!(plain, state, "{asked:?} {answer:?}");
        }
        (StatusCode::OK, "application/vnd.api+json") => {
            let document: Value = serde_json::from_str(&plain).unwrap();
            let state: Value = serde_json::from_str(&state).unwrap();
            assert_eq!(document["data"]["attributes"]["state"], state, "{asked:?} {answer:?}");
            assert_eq!(document["meta"]["version"], version, "{asked:?} {answer:?}");
        }
        // Which part it is, only the header of a single range says.
        (StatusCode::PARTIAL_CONTENT, "application/json")
            if answer.header("content-encoding").is_empty() =>
        {
            let range = answer.header("content-range").strip_prefix("bytes ").unwrap();
            let (first, rest) = range.split_once('-').unwrap();
            let (last, _) = rest.split_once('/').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(*answer.body, state.as_bytes()[first..=last], "{asked:?} {answer:?}");
        }
        (StatusCode::PARTIAL_CONTENT, _) => {}
        other => panic!("{other:?}: {asked:?} {answer:?}"),
    }
}

/// The body of a request.
struct Content(Option<Bytes>);

impl Body for Content {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
