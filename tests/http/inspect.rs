//! The page of the inspector, as a browser gets it. `scripts/test-inspector` opens it in one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use snapfold::service::http::{ApiKeys, Delivery};

use crate::support::{Shop, get, get_with, send};

fn guarded(is_served: bool) -> Delivery {
    let builder = Shop::new().builder().prefix("/api/v1").authenticator(ApiKeys::new());
    builder.inspector(is_served).build().unwrap()
}

/// What stands between two texts, and how often the first one occurs.
fn between<'a>(page: &'a str, begin: &str, end: &str) -> (&'a str, usize) {
    let (_, rest) = page.split_once(begin).unwrap();
    (rest.split_once(end).unwrap().0, page.matches(begin).count())
}

#[tokio::test]
async fn without_the_option_there_is_no_page() {
    let shop = Shop::new();
    for delivery in [guarded(false), shop.builder().authenticator(ApiKeys::new()).build().unwrap()]
    {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            for path in ["/api/v1/inspect", "/inspect"] {
                assert_eq!(send(&delivery, method, path, &[]).await.status, 404, "{method} {path}");
            }
        }
        let document = get(&delivery, "/openapi.json").await;
        assert!(!document.text().contains("inspect"), "{document:?}");
    }
}

#[tokio::test]
async fn nothing_runs_in_the_page_but_its_own_script() {
    let answer = get(&guarded(true), "/api/v1/inspect").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let page = answer.text();
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let (style, styles) = between(page, "<style>", "</style>");
    let (script, scripts) = between(page, "<script type=\"module\">", "</script>");
    assert_eq!((styles, scripts), (1, 1));
    assert_eq!((page.matches("<style").count(), page.matches("<script").count()), (1, 1));
    let (style, script) = (hash(style), hash(script));
    assert_eq!(
        answer.header("content-security-policy"),
        format!(
            "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        )
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_page_is_small_and_loads_nothing_else() {
    let answer = get(&guarded(true), "/api/v1/inspect").await;
    let page = answer.text();
    assert!(page.len() < 60_000, "{} bytes", page.len());
    // The only URL in it is a name.
    let urls = page.matches("://").count();
    assert_eq!((urls, page.matches("'http://www.w3.org/2000/svg'").count()), (1, 1));
    for forbidden in
        ["src=", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacent", "eval("]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let mut words = page.split_ascii_whitespace();
    let handler = words.find(|word| word.starts_with("on") && word.contains("=\""));
    assert_eq!(handler, None);
}

#[tokio::test]
async fn a_browser_that_has_the_page_gets_no_body() {
    let delivery = guarded(true);
    let path = "/api/v1/inspect";
    let first = get(&delivery, path).await;
    let head = send(&delivery, "HEAD", path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), first.body.len().to_string());
    assert_eq!(head.header("etag"), first.header("etag"));
    let again = get_with(&delivery, path, &[("if-none-match", first.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    // The browser takes the headers of this answer for those of the page that it has.
    for name in ["etag", "content-security-policy", "x-content-type-options", "cache-control"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    let other = get_with(&delivery, path, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.status, 200);
    assert_eq!(send(&delivery, "POST", path, &[]).await.status, 405);
}

#[tokio::test]
async fn the_page_needs_no_key_and_is_the_same_for_everybody() {
    let shop = Shop::new();
    let open = shop.builder().inspector(true).open_to_everybody().build().unwrap();
    let page = get(&guarded(true), "/api/v1/inspect").await;
    assert_eq!(page.body, get(&open, "/inspect").await.body);
    // A server removes the prefix from the path, or does not.
    assert_eq!(get(&guarded(true), "/inspect").await.body, page.body);
    assert!(get(&open, "/openapi.json").await.json()["paths"]["/inspect"]["get"].is_object());
}
