//! Bodies and headers that nobody should send.

use proptest::prelude::*;

use super::yard::{Yard, alice, call};

fn routes() -> Vec<(&'static str, String)> {
    vec![
        ("POST", alice("snapshots")),
        ("DELETE", format!("{}?before=2", alice("snapshots"))),
        ("DELETE", alice("snapshots/2-1-0000000000000000")),
        ("POST", alice("rebuild")),
        ("POST", alice("prune")),
        ("POST", "/projects/north/rebuild".to_owned()),
        ("POST", "/projects/north/prune".to_owned()),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i128>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        "\\PC{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""last 1""#.to_owned()),
        Just("true".to_owned()),
    ];
    let name = prop_oneof![
        Just("version".to_owned()),
        Just("labels".to_owned()),
        Just("fields".to_owned()),
        Just("policy".to_owned()),
        Just("dryRun".to_owned()),
        Just("plan".to_owned()),
        Just("reason".to_owned()),
        "[a-z]{0,4}",
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            members.prop_map(|members| {
                let each = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", each.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => json().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..64),
        1 => (1_usize..5_000).prop_map(|depth| [b"{\"a\":".repeat(depth), b"[".repeat(depth)].concat()),
    ]
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_is_answered(
        body in body(),
        names in prop::collection::vec((0_usize..6, header()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let yard = Yard::new();
            let key = yard.alice(3, &[2]).await;
            let known =
                ["idempotency-key", "prefer", "if-match", "if-none-match", "content-type", "accept"];
            for (method, path) in routes() {
                let mut request = http::Request::builder().method(method).uri(&path)
                    .header("authorization", &yard.ops);
                if !names.iter().any(|(name, _)| known[*name] == "content-type") {
                    request = request.header("content-type", "application/json");
                }
                for (name, value) in &names {
                    let value = http::HeaderValue::from_bytes(value).unwrap();
                    request = request.header(known[*name], value);
                }
                let (parts, ()) = request.body(()).unwrap().into_parts();
                let headers: Vec<_> = parts.headers.iter().collect();
                let answer = sent(&yard, method, &path, &headers, &body).await;
                let status = answer.status.as_u16();
                assert!(status < 500, "{method} {path}: {answer:?}");
                if status >= 400 {
                    let json = answer.json();
                    let problem = json.get("errors").map_or(&json, |errors| &errors[0]);
                    assert!(problem["title"].is_string(), "{answer:?}");
                    let media = answer.header("content-type");
                    assert!(media == "application/problem+json" || media == "application/vnd.api+json");
                }
            }
            yard.check_loads(&key, 3).await;
        });
    }
}

async fn sent(
    yard: &Yard,
    method: &str,
    path: &str,
    headers: &[(&http::HeaderName, &http::HeaderValue)],
    body: &[u8],
) -> crate::support::Answer {
    use tower_service::Service as _;
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, (*value).clone());
    }
    // `String` bodies are UTF-8, these need not be.
    let body = Raw(Some(bytes::Bytes::copy_from_slice(body)));
    let Ok(answer) = yard.delivery.clone().call(request.body(body).unwrap()).await;
    let (parts, mut body) = answer.into_parts();
    let mut read = Vec::new();
    let mut body = std::pin::Pin::new(&mut body);
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await
    {
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    crate::support::Answer { status: parts.status, headers: parts.headers, body: read.into() }
}

/// Any bytes as a body.
struct Raw(Option<bytes::Bytes>);

impl http_body::Body for Raw {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

#[tokio::test]
async fn a_path_with_other_forms_is_not_written_twice() {
    let yard = Yard::new();
    yard.alice(3, &[]).await;
    let other = alice("snapshots").replace("alice", "%61lice");
    let headers = [("authorization", &*yard.ops)];
    let moved = call(&yard.delivery, "POST", &other, &headers, String::new()).await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (308, &*alice("snapshots")));
}
