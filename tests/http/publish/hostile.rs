//! What nobody should send, and who may do what.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use snapfold::service::http::{Permission, Scope};

use super::press::{ORIGIN, Press, href, one};

#[tokio::test]
async fn texts_of_any_characters_come_back() {
    let press = Press::new();
    for text in [
        "",
        "\u{0}",
        "<script>",
        "\u{202e}\u{10ffff}",
        "a\r\nb: c",
        "'; DROP TABLE",
        "\u{65}\u{301}",
    ] {
        let tags = if text.is_empty() { json!([]) } else { json!([text, "x"]) };
        let body = json!({ "title": text, "tags": tags, "collection": text, "runUrl": text });
        let answer = press.post("/projects/north/publications", &body).await;
        assert_eq!(answer.status, 201, "{text:?}: {answer:?}");
        let id = answer.json()["data"]["id"].as_str().unwrap().to_owned();
        press.finalize(&id).await;
        let seen = press.get(&one(&id)).await.json();
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&seen["data"]["attributes"][name], value);
        }
        let hex: Vec<_> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let query = hex.concat();
        let path = format!("/projects/north/publications?filter[collection]={query}");
        assert_eq!(press.get(&path).await.json()["data"][0]["id"], json!(id), "{text:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_malformed_begins_nothing() {
    let press = Press::new();
    for body in [
        "",
        "[]",
        "{",
        r#"{"titel":"x"}"#,
        r#"{"title":7}"#,
        r#"{"tags":["a","a"]}"#,
        r#"{"tags":[""]}"#,
        r#"{"prNumber":-1}"#,
        r#"{"artifacts":{"a":7}}"#,
        r#"{"artifacts":{"a":"x"}}"#,
        r#"{"artifacts":{"a":true,"a":true}}"#,
        r#"{"artifacts":{"../a":true}}"#,
        r#"{"artifacts":{"a":{"sha":"x"}}}"#,
        r#"{"artifacts":{"a":{"sha256":"x"}}}"#,
        r#"{"artifacts":{"a":{"size":-1}}}"#,
        r#"{"artifacts":{"a":{"contentType":"a\nb"}}}"#,
    ] {
        let answer = press.ask("POST", "/projects/north/publications", &press.ops, &[], body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    let form = [("content-type", "text/plain")];
    let mut headers = vec![("authorization", &*press.ops)];
    headers.extend(form);
    let path = "/api/projects/north/publications";
    let answer = super::press::call(&press.delivery, "POST", path, &headers, "{}".into()).await;
    assert_eq!(answer.status, 415);
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(512 << 10));
    let answer = press.ask("POST", "/projects/north/publications", &press.ops, &[], large).await;
    assert_eq!(answer.status, 413);
    assert!(press.shelf.all().await.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_is_answered(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            (1_usize..5_000).prop_map(|depth| b"{\"artifacts\":".repeat(depth)),
            "\\PC{0,40}".prop_map(|text| json!({ "project_id": "north", "title": text }).to_string().into_bytes()),
        ],
        value in prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..40),
        segment in "[!-~&&[^/?#\\[\\]\\\\^`{|}<>\"%]]{1,20}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let press = Press::new();
            for (method, path) in [
                ("POST", "/projects/north/publications".to_owned()),
                ("POST", "/snapshots/publish".to_owned()),
                ("POST", "/snapshots/finalize".to_owned()),
                ("GET", format!("/projects/north/publications/{segment}")),
                ("POST", format!("/projects/north/publications/{segment}/finalize")),
                ("DELETE", format!("/projects/north/publications/{segment}")),
                ("GET", format!("/projects/north/publications/{segment}/artifacts/{segment}")),
                ("PUT", format!("/projects/north/uploads/{segment}/{segment}?{segment}")),
                ("PUT", format!("/projects/{segment}/uploads/{segment}/{segment}?exp=1&kid=test&sig={segment}")),
            ] {
                let name = if value.len() % 2 == 0 { "idempotency-key" } else { "content-length" };
                let text = String::from_utf8_lossy(&value).into_owned();
                let text = if text.is_ascii() { text } else { "x".to_owned() };
                let answer = press.ask(method, &path, &press.ops, &[(name, &text)], body.clone()).await;
                assert!(answer.status.as_u16() < 500, "{method} {path}: {answer:?}");
            }
        });
    }
}

/// Every route of publications with every kind of principal. The routes come from the description,
/// which is made from their table.
#[tokio::test]
async fn every_cell_of_route_and_principal_is_as_specified() {
    let mut cells = 0;
    let description = Press::new().get("/openapi.json").await.json();
    for (path, item) in description["paths"].as_object().unwrap() {
        if !(path.contains("publication") || path.starts_with("/snapshots/")) {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let is_signed = operation["security"] == json!([]);
            let needed = match (&*method.to_uppercase(), path.contains("finalize")) {
                ("GET", _) => Permission::Read,
                _ => Permission::Publish,
            };
            let mut principals = vec![
                ("no key".to_owned(), None, 401),
                ("other project".to_owned(), Some(all().tenants(["south", ""])), 403),
                ("other kind".to_owned(), Some(all().tenants(["north"]).kinds(["stock"])), 403),
                ("nothing".to_owned(), Some(Scope::new([]).all_tenants()), 403),
                ("everything".to_owned(), Some(all().all_tenants()), 200),
            ];
            for permission in Permission::ALL {
                let status = if *permission == needed { 200 } else { 403 };
                let scope = Scope::new([*permission]).tenants(["north"]);
                principals.push((permission.name().to_owned(), Some(scope), status));
            }
            for (name, scope, expected) in principals {
                let press = Press::new();
                let (id, artifacts) = press.begin(json!({ "a": true })).await;
                let (other, _) = press.begin(json!({})).await;
                press.put(&href(&artifacts, "a"), &[], "1").await;
                if needed == Permission::Read {
                    press.finalize(&id).await;
                }
                let url = if is_signed {
                    let (_, artifacts) = press.begin(json!({ "a": true })).await;
                    href(&artifacts, "a").strip_prefix(&format!("{ORIGIN}/api")).unwrap().to_owned()
                } else {
                    path.replace("{project}", "north")
                        .replace("{publication}", &id)
                        .replace("{artifact}", "a")
                };
                let body = match &*operation["operationId"].as_str().unwrap().to_owned() {
                    "publish" => json!({}).to_string(),
                    "publishSnapshot" => json!({ "project_id": "north" }).to_string(),
                    "finalizeSnapshot" => {
                        json!({ "project_id": "north", "snapshot_id": id }).to_string()
                    }
                    "putArtifact" => "1".to_owned(),
                    _ => String::new(),
                };
                let before = press.shelf.all().await;
                let key = scope.map_or(String::new(), |scope| press.key("k", scope));
                let length = [("content-length", "1")];
                let length = if is_signed { &length[..] } else { &[] };
                let method = method.to_uppercase();
                let answer = press.ask(&method, &url, &key, length, body.clone()).await;
                let status = answer.status.as_u16();
                let is_done = matches!(status, 200 | 201);
                let expected = if is_signed { 200 } else { expected };
                let is_right = if expected == 200 { is_done } else { status == expected };
                assert!(is_right, "{method} {path} by {name}: {answer:?}");
                let is_changed = press.shelf.all().await != before;
                let changes = expected == 200 && method != "GET";
                assert_eq!(is_changed, changes, "{method} {path} by {name}");
                // Who is refused learns nothing about what exists.
                if expected != 200 {
                    let unknown = url.replace(&id, "019889be-bc00-7000-8000-000000000000");
                    let unknown = press.ask(&method, &unknown, &key, length, body).await;
                    assert_eq!((unknown.status, unknown.body), (answer.status, answer.body));
                }
                let _ = &other;
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 9 * (5 + Permission::ALL.len()));
}

fn all() -> Scope {
    Scope::new(Permission::ALL.to_vec())
}

/// Run with `UPDATE_GOLDEN=1` to write what the service says today.
#[tokio::test]
async fn the_description_of_publications_is_the_one_in_the_docs() {
    let mut described = Press::new().get("/openapi.json").await.json();
    let plain = crate::support::Shop::new().open();
    let plain = crate::support::get(&plain, "/openapi.json").await.json();
    // What a service without publications describes as well is in the other file.
    let known = |of: &Value, place: &str, name: &str| !of.pointer(place).unwrap()[name].is_null();
    for place in ["/paths", "/components/schemas"] {
        let members = described.pointer_mut(place).unwrap().as_object_mut().unwrap();
        members.retain(|name, _| !known(&plain, place, name));
    }
    described["components"].as_object_mut().unwrap().remove("responses");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi-publish.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&described).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(described, golden, "run with UPDATE_GOLDEN=1, and look at the difference");
}

#[tokio::test]
async fn without_a_publisher_there_are_no_publications() {
    let delivery = crate::support::Shop::new().open();
    for (method, path) in [
        ("GET", "/projects/~/publications"),
        ("POST", "/snapshots/publish"),
        ("OPTIONS", "/snapshots/publish"),
        ("PUT", "/projects/~/uploads/x/y"),
    ] {
        let answer = crate::support::send(&delivery, method, path, &[]).await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}

#[test]
fn an_origin_is_a_scheme_and_a_host() {
    for origin in [
        "",
        "api.example.com",
        "https://",
        "ftp://x",
        "https://x/",
        "https://x?y",
        "https://a b",
        "https://u@x",
    ] {
        let press = Press::new();
        let urls = snapfold::service::publish::UploadUrls::new(
            snapfold::service::publish::UploadKeys::new("k", [1; 32]).unwrap(),
            std::sync::Arc::new(press.clock.clone()),
        );
        let builder = crate::support::Shop::new().builder().authenticator(press.keys.clone());
        let built = builder.publisher(press.publisher, std::sync::Arc::new(urls), origin).build();
        assert_eq!(built.unwrap_err().kind(), snapfold::ErrorKind::InvalidInput, "{origin}");
    }
}
