//! Signatures, and who may have made them.

use http::HeaderMap;
use snapfold::service::webhook::{WebhookEndpoint, WebhookMessage, WebhookSecret};
use snapfold::{ErrorKind, Timestamp};

use crate::support::{SECRET, at, endpoint, secret};

/// The vector that the libraries of the specification test with.
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn sent() -> Timestamp {
    Timestamp::from_seconds(1_649_367_553)
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_649_367_553 + seconds)
}

fn headers(signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", ID.parse().unwrap());
    headers.insert("webhook-timestamp", "1649367553".parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    headers
}

#[test]
fn the_vector_of_the_specification_is_signed_and_verified() {
    assert_eq!(secret().sign(ID, sent(), BODY).unwrap(), SIGNATURE);
    // The fraction of a second plays no part.
    let micros = Timestamp::from_micros(sent().as_micros() + 999_999);
    assert_eq!(secret().sign(ID, micros, BODY).unwrap(), SIGNATURE);
    secret().verify(&headers(SIGNATURE), BODY, sent()).unwrap();
    assert_eq!(secret().reveal(), SECRET);
}

#[test]
fn one_right_signature_among_others_is_enough() {
    let other = WebhookSecret::generate().unwrap().sign(ID, sent(), BODY).unwrap();
    let asymmetric = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
    let all = format!("v2,x {asymmetric} {other} {SIGNATURE}");
    secret().verify(&headers(&all), BODY, sent()).unwrap();
    for wrong in [other.as_str(), "", "v1,", "v1", asymmetric, &SIGNATURE[3..], "v1,!!!!"] {
        let error = secret().verify(&headers(wrong), BODY, sent()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
    }
    // Under the name of another scheme it is none.
    let renamed = SIGNATURE.replace("v1,", "v1a,");
    assert!(secret().verify(&headers(&renamed), BODY, sent()).is_err());
}

#[test]
fn whatever_is_changed_is_noticed() {
    let verify = |change: &dyn Fn(&mut HeaderMap), body: &[u8]| {
        let mut headers = headers(SIGNATURE);
        change(&mut headers);
        secret().verify(&headers, body, sent()).is_ok()
    };
    assert!(verify(&|_| {}, BODY));
    for place in 0..BODY.len() {
        let mut body = BODY.to_vec();
        body[place] ^= 1;
        assert!(!verify(&|_| {}, &body), "{place}");
    }
    assert!(!verify(&|_| {}, &BODY[1..]));
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(!verify(&|headers| drop(headers.remove(name)), BODY));
        let bytes = http::HeaderValue::from_bytes(b"\xff").unwrap();
        assert!(!verify(&|headers| drop(headers.insert(name, bytes.clone())), BODY));
    }
    for time in ["1649367554", "01649367553", "+1649367553", " 1649367553", "", "x", "1649367553.0"]
    {
        let value: http::HeaderValue = time.parse().unwrap();
        let set =
            |headers: &mut HeaderMap| drop(headers.insert("webhook-timestamp", value.clone()));
        assert!(!verify(&set, BODY), "{time}");
    }
    // Each character of the signature counts.
    for place in 3..SIGNATURE.len() - 1 {
        let mut wrong = SIGNATURE.to_owned().into_bytes();
        wrong[place] = if wrong[place] == b'A' { b'B' } else { b'A' };
        let wrong = String::from_utf8(wrong).unwrap();
        assert!(secret().verify(&headers(&wrong), BODY, sent()).is_err(), "{place}");
    }
}

#[test]
fn a_full_stop_in_an_id_cannot_move_the_boundary() {
    // The same bytes are signed for the id `a` at second 1 as for `a.1` at second 2.
    let signed = secret().sign("a", Timestamp::from_seconds(1), b"2.x").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "a.1".parse().unwrap());
    headers.insert("webhook-timestamp", "2".parse().unwrap());
    headers.insert("webhook-signature", signed.parse().unwrap());
    assert!(secret().verify(&headers, b"x", Timestamp::from_seconds(2)).is_err());
    for id in ["a.1", "", "."] {
        assert!(secret().sign(id, sent(), BODY).is_err());
        let made = WebhookMessage::with_body("", "t", "{}").unwrap().id(id);
        assert!(made.check().is_err());
    }
}

#[test]
fn a_webhook_is_accepted_for_five_minutes() {
    let headers = headers(SIGNATURE);
    for (seconds, is_accepted) in
        [(-301, false), (-300, true), (0, true), (300, true), (301, false)]
    {
        let verified = secret().verify(&headers, BODY, later(seconds));
        assert_eq!(verified.is_ok(), is_accepted, "{seconds}");
    }
    for extreme in [Timestamp::from_micros(i64::MIN), Timestamp::MAX] {
        assert!(secret().verify(&headers, BODY, extreme).is_err());
    }
    let mut extreme = headers.clone();
    for second in [i64::MIN, i64::MAX] {
        extreme.insert("webhook-timestamp", second.into());
        assert!(secret().verify(&extreme, BODY, sent()).is_err());
    }
}

#[test]
fn a_secret_has_24_to_64_bytes_and_is_not_printed() {
    let generated = WebhookSecret::generate().unwrap();
    let text = generated.reveal();
    assert_eq!(text.parse::<WebhookSecret>().unwrap().reveal(), text);
    assert_ne!(WebhookSecret::generate().unwrap().reveal(), text);
    for (bytes, is_right) in [(23, false), (24, true), (64, true), (65, false), (0, false)] {
        assert_eq!(WebhookSecret::from_bytes(vec![7; bytes]).is_ok(), is_right, "{bytes}");
    }
    let long = format!("whsec_{}", "A".repeat(1 << 20));
    for text in ["", "whsec_", &SECRET[6..], "whsec_!!!!", "whsec_QUJD", "whsk_QUJD", &long] {
        let error = text.parse::<WebhookSecret>().unwrap_err().to_string();
        assert!(text.len() < 7 || !error.contains(&text[6..]), "{error}");
    }
    let shown = format!("{generated:?} {:?}", endpoint("a"));
    assert!(!shown.contains(&text[6..]) && !shown.contains(&SECRET[6..]), "{shown}");
}

#[test]
fn an_endpoint_is_checked() {
    let url = |url: &str| WebhookEndpoint::new("a", "", url, secret()).check().is_ok();
    assert!(url("https://example.com/x?y=z") && url("http://[::1]:8080"));
    let long = format!("https://example.com/{}", "x".repeat(2_100));
    for wrong in [
        "",
        "/x",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://a:b@example.com",
        "https:///x",
        "file:///etc/passwd",
        "https://exa mple.com",
        &long,
    ] {
        assert!(!url(wrong), "{wrong}");
    }
    for id in ["", "a b", "a/b", "\u{e4}", &"x".repeat(65)] {
        assert!(endpoint("a").check().is_ok());
        assert!(WebhookEndpoint::new(id, "", "https://example.com", secret()).check().is_err());
    }
    let mut none = endpoint("a");
    none.secrets.clear();
    assert!(none.check().is_err());
    let mut ending = endpoint("a");
    ending.secrets[0].1 = Some(at(0));
    assert!(ending.check().is_err());
    let many = (0..9).fold(endpoint("a"), |it, n| it.rotate(secret(), at(n)));
    assert_eq!(many.secrets.len(), WebhookEndpoint::MAX_SECRETS);
    many.check().unwrap();
    assert!(endpoint("a").types(vec!["x"; 101]).check().is_err());
}

#[test]
fn an_endpoint_wants_types_or_groups_of_them() {
    let some = endpoint("a").types(["user.created", "invoice.*"]);
    for (name, is_wanted) in [
        ("user.created", true),
        ("user.created.now", false),
        ("user", false),
        ("invoice.paid", true),
        ("invoice.paid.late", true),
        ("invoice", false),
        ("invoices.paid", false),
    ] {
        assert_eq!(some.wants(name), is_wanted, "{name}");
        assert!(endpoint("a").wants(name));
    }
    // A star elsewhere stands for itself.
    assert!(!endpoint("a").types(["*", "invo*"]).wants("invoice"));
    assert!(!endpoint("a").types(Vec::<String>::new()).wants("invoice"));
}
