//! Publishing in one call, with a form.

use std::fmt::Write as _;

use http::Request;
use serde_json::{Value, json};
use snapfold::artifact::Artifact;
use snapfold::publication::{PublicationFailure, PublicationStatus};
use snapfold::service::http::{Permission, Scope};
use snapfold::service::publish::PublishOptions;
use tower_service::Service as _;

use super::press::{Press, call, one};
use crate::support::Answer;

const PATH: &str = "/api/projects/north/publications";
const FORM: &str = "multipart/form-data; boundary=XX";

/// A part: its name, its file name if it has one, its type and its content.
type FormPart<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a str);

fn form(parts: &[FormPart<'_>]) -> String {
    let mut body = String::new();
    for (name, file, media, content) in parts {
        write!(body, "--XX\r\nContent-Disposition: form-data; name=\"{name}\"").unwrap();
        if let Some(file) = file {
            write!(body, "; filename=\"{file}\"").unwrap();
        }
        if let Some(media) = media {
            write!(body, "\r\nContent-Type: {media}").unwrap();
        }
        write!(body, "\r\n\r\n{content}\r\n").unwrap();
    }
    body + "--XX--\r\n"
}

fn said(document: &Value) -> String {
    document.to_string()
}

const PLOT: FormPart<'_> = ("plot", Some("plot.svg"), Some("image/svg+xml"), "<svg/>");
const CODE: FormPart<'_> = ("code", Some("code.py"), None, "print(1)");

async fn send(press: &Press, headers: &[(&str, &str)], body: String) -> Answer {
    let mut all = vec![("authorization", &*press.ops), ("content-type", FORM)];
    all.extend(headers);
    call(&press.delivery, "POST", PATH, &all, body.into()).await
}

#[tokio::test]
async fn a_form_publishes_in_one_call() {
    for signs in [false, true] {
        let press = Press::with(signs, PublishOptions::new());
        let about = said(&json!({ "title": "My plot", "tags": ["ml"] }));
        let document = ("publication", None, Some("application/json"), &*about);
        let answer = send(&press, &[], form(&[document, PLOT, CODE])).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let data = &answer.json()["data"];
        assert_eq!(data["attributes"]["status"], "completed");
        assert_eq!(data["attributes"]["title"], "My plot");
        let id = data["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), one(id).replacen("/projects", "/api/projects", 1));
        let plot = press.get(&format!("{}/artifacts/plot", one(id))).await;
        if signs {
            assert_eq!(plot.status, 302);
        } else {
            assert_eq!(plot.status, 200);
            assert_eq!(plot.text(), "<svg/>");
            assert_eq!(plot.header("content-type"), "image/svg+xml");
            let code = press.get(&format!("{}/artifacts/code", one(id))).await;
            assert_eq!(code.header("content-type"), Artifact::UNKNOWN_TYPE);
        }
        assert_eq!(press.notes.taken(), ["generating", "completed"]);
    }
}

#[tokio::test]
async fn a_form_may_have_nothing_but_files_or_nothing_but_the_document() {
    let press = Press::new();
    let answer = send(&press, &[], form(&[PLOT])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = send(&press, &[], form(&[("publication", None, None, "{}")])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = send(&press, &[], form(&[])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn what_is_declared_must_come_and_nothing_else() {
    let press = Press::new();
    let plot = Artifact::of(b"<svg/>");
    let sha256 = plot.id.to_string();
    let right = json!({ "size": 6, "sha256": sha256, "contentType": "image/svg+xml" });
    let publish = async |artifacts: Value, parts: &[FormPart<'_>]| {
        let about = said(&json!({ "artifacts": artifacts }));
        let mut all = vec![("publication", None, None, &*about)];
        all.extend(parts);
        send(&press, &[], form(&all)).await
    };
    for (artifacts, parts, status, wrong) in [
        (json!({ "plot": right, "code": true }), &[PLOT, CODE][..], 201, json!(null)),
        (json!({ "plot": true }), &[PLOT, CODE], 422, json!(null)),
        (json!({ "plot": true, "code": true }), &[PLOT], 409, json!({ "code": "missing" })),
        (json!({ "plot": { "size": 7 } }), &[PLOT], 422, json!(null)),
        (json!({ "plot": { "sha256": "0".repeat(64) } }), &[PLOT], 422, json!(null)),
        // It is there already, so that its content is not read.
        (
            json!({ "plot": { "size": 7, "sha256": sha256 } }),
            &[PLOT],
            422,
            json!({ "plot": "wrong-size" }),
        ),
        (json!({ "plot": { "contentType": "image/png" } }), &[PLOT], 415, json!(null)),
        (json!({ "plot": true, "gone": false }), &[PLOT], 201, json!(null)),
    ] {
        let answer = publish(artifacts.clone(), parts).await;
        assert_eq!(answer.status, status, "{artifacts}: {answer:?}");
        if status != 201 {
            assert_eq!(answer.json()["artifacts"], wrong, "{answer:?}");
        }
    }
    let seen = press.shelf.all().await;
    let refused = PublicationStatus::Failed(PublicationFailure::Refused);
    let completed = PublicationStatus::Completed;
    let count = |status| seen.iter().filter(|it| it.status == status).count();
    assert_eq!((seen.len(), count(completed), count(refused)), (3, 2, 1));
}

#[tokio::test]
async fn a_form_that_is_malformed_publishes_nothing() {
    let press = Press::new();
    let whole = form(&[("publication", None, None, "{}"), PLOT, CODE]);
    for end in 0..whole.len() - "--\r\n".len() {
        let answer = send(&press, &[], whole[..end].to_owned()).await;
        assert_eq!(answer.status, 400, "{end}: {answer:?}");
    }
    let names: Vec<_> = (0..65).map(|n| format!("a{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (&**name, Some("x"), None, "x")).collect();
    let late = [PLOT, ("publication", None, None, "{}")];
    for (body, status) in [
        (form(&[PLOT, PLOT]), 400),
        (form(&late), 400),
        (form(&[("title", None, None, "My plot")]), 400),
        (form(&[("publication", None, None, "[]")]), 400),
        (form(&[("publication", None, None, &format!("\"{}\"", "x".repeat(600 << 10)))]), 413),
        (form(&[("../plot", Some("x"), None, "x")]), 400),
        (form(&[("", Some("x"), None, "x")]), 400),
        (form(&[("plot", Some("x"), Some("a\u{e9}b"), "x")]), 400),
        (form(&many), 422),
        (format!("--XX\r\nContent-Disposition: form-data; {}", "x".repeat(2 << 20)), 413),
        ("x".repeat(2 << 20), 413),
        (String::new(), 400),
    ] {
        let answer = send(&press, &[], body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for (media, status) in [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/mixed; boundary=XX", 415),
    ] {
        let headers = [("authorization", &*press.ops), ("content-type", media)];
        let answer = call(&press.delivery, "POST", PATH, &headers, form(&[PLOT]).into()).await;
        assert_eq!(answer.status, status, "{media}: {answer:?}");
    }
    let coded = send(&press, &[("content-encoding", "gzip")], form(&[PLOT])).await;
    assert_eq!(coded.status, 415);
    assert!(press.shelf.all().await.is_empty());
}

#[tokio::test]
async fn an_artifact_has_at_most_as_many_bytes_as_the_options_say() {
    let options = PublishOptions::new().max_undeclared_bytes(1_000).max_bytes(2_000);
    let press = Press::with(false, options);
    let large = "x".repeat(2_001);
    let artifact = Artifact::of(large.as_bytes());
    let declared = json!({ "size": artifact.size, "sha256": artifact.id.to_string() });
    let about = said(&json!({ "artifacts": { "plot": declared } }));
    let document = ("publication", None, None, &*about);
    let answer = send(&press, &[], form(&[document, ("plot", Some("x"), None, &large)])).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let kept = snapfold::artifact::ArtifactStore::head(&press.artifacts, "north", &artifact.id);
    assert_eq!(kept.await.unwrap(), None);
    let content = "x".repeat(1_001);
    let part = ("plot", Some("x"), None, &*content);
    assert_eq!(send(&press, &[], form(&[part])).await.status, 413);
    let artifact = Artifact::of(content.as_bytes());
    let declared = json!({ "size": artifact.size, "sha256": artifact.id.to_string() });
    let about = said(&json!({ "artifacts": { "plot": declared } }));
    let answer = send(&press, &[], form(&[("publication", None, None, &about), part])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_key_makes_a_form_once() {
    let press = Press::new();
    let key = [("idempotency-key", "run-1")];
    let first = send(&press, &key, form(&[PLOT])).await;
    let again = send(&press, &key, form(&[PLOT])).await;
    assert_eq!(first.status, 201);
    assert_eq!(again.status, 200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.json(), again.json());
    let other = ("plot", Some("plot.svg"), Some("image/svg+xml"), "<svg></svg>");
    assert_eq!(send(&press, &key, form(&[other])).await.status, 422);
    assert_eq!(press.shelf.all().await.len(), 1);
}

#[tokio::test]
async fn who_may_not_publish_stores_nothing() {
    let press = Press::new();
    let reader = press.key("reader", Scope::new([Permission::Read]).tenants(["north"]));
    let foreign = press.key("foreign", Scope::new(Permission::ALL.to_vec()).tenants(["south"]));
    for (key, status) in [("Bearer snf_wrong", 401), (&*reader, 403), (&*foreign, 403)] {
        let headers = [("authorization", key), ("content-type", FORM)];
        let answer = call(&press.delivery, "POST", PATH, &headers, form(&[PLOT]).into()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert!(press.shelf.all().await.is_empty());
    let plot = Artifact::of(b"<svg/>");
    let kept = snapfold::artifact::ArtifactStore::head(&press.artifacts, "north", &plot.id).await;
    assert_eq!(kept.unwrap(), None);
}

#[tokio::test]
async fn what_is_refused_at_the_end_has_failed_and_nobody_sees_it() {
    let press = Press::new();
    // Somebody deletes the artifact while the publication is begun.
    let plot = Artifact::of(b"<svg/>").id;
    let artifacts = press.artifacts.clone();
    let request = Request::post(PATH)
        .header("authorization", &*press.ops)
        .header("content-type", FORM)
        .body(form(&[PLOT]))
        .unwrap();
    let mut delivery = press.delivery.clone();
    let thief = tokio::spawn(async move {
        loop {
            snapfold::artifact::ArtifactStore::delete(&artifacts, "north", &plot).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let response = delivery.call(request).await.unwrap();
    thief.abort();
    assert_eq!(response.status(), 409);
    let all = press.shelf.all().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].status, PublicationStatus::Failed(PublicationFailure::Refused));
}

#[tokio::test]
async fn the_other_form_names_its_project_in_the_document() {
    let press = Press::new();
    let path = "/api/snapshots/publish";
    let headers = [("authorization", &*press.ops), ("content-type", FORM)];
    let ask = async |body: String| call(&press.delivery, "POST", path, &headers, body.into()).await;
    let about = said(&json!({ "project_id": "north", "title": "T", "other": 1 }));
    let document = ("publication", None, Some("application/json"), &*about);
    let answer = ask(form(&[document, PLOT, CODE])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["snapshot_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({ "snapshot_id": id, "status": "ok" }));
    assert_eq!(press.get(&format!("{}/artifacts/plot", one(&id))).await.text(), "<svg/>");
    let foreign = said(&json!({ "project_id": "south" }));
    for (body, status) in [
        (form(&[PLOT]), 400),
        (form(&[PLOT, document]), 400),
        (form(&[("publication", None, None, "{}"), PLOT]), 400),
        (form(&[document, PLOT, document]), 400),
        (form(&[("publication", None, None, &foreign), PLOT]), 403),
        (form(&[document, PLOT])[..250].to_owned(), 400),
    ] {
        let answer = ask(body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(press.shelf.all().await.len(), 1);
}

#[tokio::test]
async fn a_large_artifact_that_is_stored_already_can_be_sent_again() {
    let press = Press::new();
    let large = "x".repeat(900 << 10);
    let artifact = Artifact::of(large.as_bytes());
    let declared = json!({ "size": artifact.size, "sha256": artifact.id.to_string() });
    let about = said(&json!({ "artifacts": { "large": declared, "code": true } }));
    let parts = [("publication", None, None, &*about), ("large", Some("x"), None, &*large), CODE];
    for _ in 0..2 {
        // The second time, nobody reads its content.
        let answer = send(&press, &[], form(&parts)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}
