//! Signed and public downloads.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::*;

#[tokio::test]
async fn a_signed_download_has_the_type_the_name_and_ranges() {
    let (site, right) = (Site::new(), content(5_000, 1));
    let artifact = Artifact::of(&right).content_type("image/png");
    site.store().put("t", &artifact, in_one_piece(right.clone())).await.unwrap();
    let name = "plot \"1\" + 5%; \u{e9}/b.png";
    let signed = site.store().download("t", &artifact.id, MINUTE, Some(name)).await.unwrap();
    let answer = site.get(&signed.url).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_TYPE], "image/png");
    let expected = "attachment; filename=\"plot _1_ + 5_; _/b.png\"; \
                    filename*=UTF-8''plot%20%221%22%20%2B%205%25%3B%20%C3%A9%2Fb.png";
    assert_eq!(answer.headers()[CONTENT_DISPOSITION], expected);
    assert_eq!(answer.bytes().await.unwrap(), right);

    for (range, status, part) in [
        ("bytes=10-19", 206, 10..20),
        ("bytes=4990-", 206, 4_990..5_000),
        ("bytes=4990-9999", 206, 4_990..5_000),
        ("bytes=5000-", 416, 0..0),
    ] {
        let range = [("range", range.to_owned())];
        let answer = site.request("GET", &signed.url, &range, Bytes::new()).await;
        assert_eq!(answer.status(), status, "{range:?}");
        if status == 206 {
            assert_eq!(answer.bytes().await.unwrap(), right.slice(part));
        }
    }
}

#[tokio::test]
async fn a_signed_download_is_good_for_nothing_else() {
    let (site, right) = (Site::new(), content(100, 1));
    let artifact = Artifact::of(&right);
    for tenant in ["t", "s"] {
        site.store().put(tenant, &artifact, in_one_piece(right.clone())).await.unwrap();
    }
    let signed = site.store().download("t", &artifact.id, MINUTE, Some("a.png")).await.unwrap();
    let url = signed.url;
    let bare = url.split('?').next().unwrap();
    assert_eq!(told(site.get(bare).await).await, "403 AccessDenied");
    for (from, to) in [("/a/t/", "/a/s/"), ("a.png", "b.png"), ("Expires=60", "Expires=99")] {
        let other = url.replace(from, to);
        assert!(other != url);
        assert_eq!(told(site.get(&other).await).await, "403 SignatureDoesNotMatch", "{to}");
    }
    for method in ["PUT", "DELETE"] {
        let answer = site.request(method, &url, &[], right.clone()).await;
        assert_eq!(told(answer).await, "403 SignatureDoesNotMatch", "{method}");
    }
    site.holds(&artifact.id, Some(&right)).await;
}

/// As the docs advise: a policy that lets everybody read artifacts, but no uploads.
#[tokio::test]
async fn a_public_download_needs_no_signature() {
    let (site, right) = (Site::new(), content(100, 1));
    let artifact = Artifact::of(&right).content_type("image/png");
    let store = site.store().public_at(&site.server.bucket_url());
    store.put("a b", &artifact, in_one_piece(right.clone())).await.unwrap();
    let public = store.download("a b", &artifact.id, MINUTE, None).await.unwrap();
    assert_eq!(public.expires_at, None);
    assert!(!public.url.contains('?'), "{}", public.url);
    assert_eq!(told(site.get(&public.url).await).await, "403 AccessDenied");

    let resource = format!("arn:aws:s3:::{}/{}/a/*", site.server.bucket(), site.root);
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*",
        "Action":"s3:GetObject","Resource":"{resource}"}}]}}"#
    );
    let change = site.of_bucket(Method::PUT, &[("policy", "")]).await;
    let answer = site.request("PUT", &change, &[], policy).await;
    assert!(answer.status().is_success(), "{}", told(answer).await);
    let answer = site.get(&public.url).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "image/png");
    assert_eq!(answer.bytes().await.unwrap(), right);

    let signed = site.sign(Upload::new("a b", "u", &artifact)).await;
    assert_eq!(site.send(&signed, right).await, "200");
    let bare = signed.url.split('?').next().unwrap();
    assert_eq!(told(site.get(bare).await).await, "403 AccessDenied");
    let change = site.of_bucket(Method::DELETE, &[("policy", "")]).await;
    assert!(site.request("DELETE", &change, &[], Bytes::new()).await.status().is_success());
}
