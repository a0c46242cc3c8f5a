//! What describes the service, and needs no credentials.

use std::path::Path;

use serde_json::{Value, json};
use snapfold::service::http::{ApiKeys, Delivery};

use crate::support::{Shop, get, get_with, stock};

fn guarded(shop: &Shop) -> Delivery {
    shop.builder().prefix("/api/v1").authenticator(ApiKeys::new()).build().unwrap()
}

/// Run with `UPDATE_GOLDEN=1` to write what the service says today.
#[tokio::test]
async fn the_openapi_document_is_the_one_in_the_docs() {
    let builder = Shop::new().builder().prefix("/api/v1").authenticator(ApiKeys::new());
    let delivery = builder.inspector(true).build().unwrap();
    let answer = get(&delivery, "/api/v1/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&answer.json()).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(answer.json(), golden, "run with UPDATE_GOLDEN=1, and look at the difference");
}

#[tokio::test]
async fn an_open_service_asks_for_no_key_in_its_description() {
    let document = get(&Shop::new().open(), "/openapi.json").await.json();
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
    assert_eq!(document["components"]["securitySchemes"], Value::Null);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert_eq!(operation["security"], json!([]), "{method} {path}");
            assert_eq!(operation["responses"]["401"], Value::Null, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn health_tells_that_the_service_answers_and_nothing_else() {
    let answer = get(&guarded(&Shop::new()), "/api/v1/health").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"{"status":"ok"}"#));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_problem_is_described_where_its_type_says() {
    let shop = Shop::new();
    let delivery = guarded(&shop);
    let path = "/api/v1/projects/~/entities/stock/apple";
    let problem = get(&delivery, path).await;
    assert_eq!(problem.status, 401);
    let problem = problem.json();
    let described = get(&delivery, problem["type"].as_str().unwrap()).await;
    assert_eq!(described.status, 200);
    for member in ["type", "title", "status"] {
        assert_eq!(described.json()[member], problem[member]);
    }
    assert_ne!(described.json()["remedy"], "");
    assert_eq!(get(&delivery, "/api/v1/problems/frog").await.status, 404);
    // The path of an aggregate whose kind has the name of such a resource is another one.
    shop.grow(&stock("openapi.json"), 1);
    assert_eq!(get(&shop.open(), "/projects/~/entities/stock/openapi.json").await.status, 200);
}

#[tokio::test]
async fn descriptions_can_be_revalidated() {
    let delivery = guarded(&Shop::new());
    for path in ["/api/v1/openapi.json", "/api/v1/problems/conflict"] {
        let first = get(&delivery, path).await;
        assert_eq!(first.header("cache-control"), "max-age=60");
        let again = get_with(&delivery, path, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!(again.status, 304, "{path}");
    }
}

#[tokio::test]
async fn a_path_in_another_form_is_moved_for_an_hour() {
    let moved = get(&Shop::new().open(), "/projects/~/entities/stock/%61").await;
    assert_eq!(moved.status, 301);
    assert_eq!(moved.header("cache-control"), "max-age=3600");
}
