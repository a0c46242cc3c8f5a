//! Preconditions, in all combinations, against a model of RFC 9110, section 13.2.2.

use crate::support::{Shop, date, get, send, stock};

const ALICE: &str = "/projects/~/entities/stock/alice";

/// A value of `If-Match` or `If-None-Match`: whether it names the state strongly, and weakly.
struct Tags {
    value: Option<String>,
    strong: bool,
    weak: bool,
}

/// The status that section 13.2.2 prescribes for a GET or a HEAD of a resource without a modification
/// date: sections 13.1.3 and 13.1.4 demand that the conditions by date are ignored then.
fn model(if_match: &Tags, none_match: &Tags) -> u16 {
    // Step 1.
    if if_match.value.is_some() && !if_match.strong {
        return 412;
    }
    // Step 3.
    if none_match.value.is_some() && none_match.weak {
        return 304;
    }
    200
}

#[tokio::test]
async fn every_combination_is_answered_as_the_rfc_says() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 100);
    let delivery = shop.open();
    let tag = get(&delivery, ALICE).await.header("etag").to_owned();
    let tags = || {
        let tags = |value: String, strong, weak| Tags { value: Some(value), strong, weak };
        [
            Tags { value: None, strong: false, weak: false },
            tags("*".into(), true, true),
            tags(tag.clone(), true, true),
            tags(format!("W/{tag}"), false, true),
            tags("\"other\"".into(), false, false),
            tags(format!("\"other\", {tag}"), true, true),
            tags(format!("\"a,b\",W/\"x\" , W/{tag}"), false, true),
            tags("\"\"".into(), false, false),
        ]
    };
    let dates =
        [None, Some(date(99)), Some(date(100)), Some(date(101)), Some("yesterday".to_owned())];
    let mut seen = [0_u32; 3];
    for (if_match, none_match) in
        tags().iter().flat_map(|a| tags().into_iter().map(move |b| (a, b)))
    {
        for unmodified in &dates {
            for modified in &dates {
                let headers = [
                    ("if-match", &if_match.value),
                    ("if-unmodified-since", unmodified),
                    ("if-none-match", &none_match.value),
                    ("if-modified-since", modified),
                ];
                let headers: Vec<_> =
                    headers.iter().filter_map(|(name, it)| Some((*name, it.as_deref()?))).collect();
                let expected = model(if_match, &none_match);
                for method in ["GET", "HEAD"] {
                    let answer = send(&delivery, method, ALICE, &headers).await;
                    assert_eq!(answer.status.as_u16(), expected, "{method} {headers:?}");
                    assert_eq!(answer.body.is_empty(), method == "HEAD" || expected == 304);
                }
                seen[match expected {
                    200 => 0,
                    304 => 1,
                    _ => 2,
                }] += 1;
            }
        }
    }
    assert_eq!(seen.iter().sum::<u32>(), 8 * 8 * 5 * 5);
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}
