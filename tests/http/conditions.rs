//! Preconditions, in all combinations, against a model of RFC 9110, section 13.2.2.

use crate::support::{Shop, date, get, send, stock};

const ALICE: &str = "/projects/~/entities/stock/alice";

/// A value of `If-Match` or `If-None-Match`: whether it names the state strongly, and weakly.
struct Tags {
    value: Option<String>,
    strong: bool,
    weak: bool,
}

/// A value of a date header: how it compares with the state. `None` if it must be ignored.
struct Date {
    value: Option<String>,
    is_at_or_after_the_state: Option<bool>,
}

/// The status that section 13.2.2 prescribes for a GET or a HEAD.
fn model(if_match: &Tags, unmodified: &Date, none_match: &Tags, modified: &Date) -> u16 {
    // Step 1 and 2.
    if if_match.value.is_some() {
        if !if_match.strong {
            return 412;
        }
    } else if unmodified.is_at_or_after_the_state == Some(false) {
        return 412;
    }
    // Step 3 and 4.
    if none_match.value.is_some() {
        if none_match.weak {
            return 304;
        }
    } else if modified.is_at_or_after_the_state == Some(true) {
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
    let dates = || {
        let date = |value: String, after| Date {
            value: Some(value),
            is_at_or_after_the_state: Some(after),
        };
        [
            Date { value: None, is_at_or_after_the_state: None },
            date(date_of(99), false),
            date(date_of(100), true),
            date(date_of(101), true),
            Date { value: Some("yesterday".into()), is_at_or_after_the_state: None },
        ]
    };
    let mut seen = [0_u32; 3];
    for (if_match, none_match) in
        tags().iter().flat_map(|a| tags().into_iter().map(move |b| (a, b)))
    {
        for unmodified in &dates() {
            for modified in &dates() {
                let headers = [
                    ("if-match", &if_match.value),
                    ("if-unmodified-since", &unmodified.value),
                    ("if-none-match", &none_match.value),
                    ("if-modified-since", &modified.value),
                ];
                let headers: Vec<_> =
                    headers.iter().filter_map(|(name, it)| Some((*name, it.as_deref()?))).collect();
                let expected = model(if_match, unmodified, &none_match, modified);
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

fn date_of(second: u64) -> String {
    date(second)
}
