//! The text form of retention policies.
//!
//! Guards against: a policy that comes back from its text as another one; a wrong text that is
//! accepted, or refused without saying where; a policy that keeps nothing by mistake.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use crate::property::runner;
use snapfold::ErrorKind;
use snapfold::retention::{Policy, PolicyBuilder, Retention};

const DAY: Duration = Duration::from_secs(86_400);

fn rule() -> impl Strategy<Value = (String, u64, u64, u8)> {
    let label = prop_oneof![
        "[a-z]{1,8}",
        "\\PC{0,12}",
        "[ ,\"\\\\\n\ta\u{e9}]{0,8}",
        Just("all".to_owned()),
        Just("last 4".to_owned()),
    ];
    let number = || {
        prop_oneof![
            1..100_u64,
            Just(u64::MAX),
            Just(u64::MAX - 1),
            any::<u64>().prop_map(|n| n | 1)
        ]
    };
    (label, number(), number(), 0..11_u8)
}

/// Microseconds, often a whole number of some unit.
fn period(number: u64) -> Duration {
    let units = [1, 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000, 31_536_000_000_000];
    let unit = units[usize::try_from(number % 6).unwrap()];
    Duration::from_micros(number.saturating_mul(unit))
}

fn with(builder: PolicyBuilder, (label, n, m, which): (String, u64, u64, u8)) -> PolicyBuilder {
    match which {
        0 => builder.all(),
        1 => builder.last(n),
        2 => builder.within(period(n)),
        3 => builder.hourly(n),
        4 => builder.daily(n),
        5 => builder.weekly(n),
        6 => builder.monthly(n),
        7 => builder.yearly(n),
        8 => builder.every_versions(n),
        9 => builder.label(label),
        _ => builder.reachable(n - 1, period(m)),
    }
}

#[test]
fn every_policy_comes_back_from_its_text_and_through_serde() {
    let zones = if cfg!(feature = "schedules") {
        vec!["UTC", "utc", "Europe/Berlin", "america/new_york", "Australia/Lord_Howe", "Etc/GMT+5"]
    } else {
        vec!["UTC", "utc"]
    };
    let superseded = prop_oneof![
        Just(Duration::MAX),
        Just(Duration::ZERO),
        Just(7 * DAY),
        Just(Duration::from_micros(u64::MAX)),
        any::<u64>().prop_map(period),
        any::<u64>().prop_map(Duration::from_nanos),
    ];
    let cases = (
        prop::collection::vec(rule(), 0..12),
        prop::option::of(prop::sample::select(zones)),
        prop::option::of(superseded),
    );
    let mut runner = runner(0x7e97, 1_000, 10_000);
    let test = |(rules, zone, superseded): (Vec<_>, Option<&str>, Option<Duration>)| {
        let mut builder = Policy::builder();
        if rules.is_empty() {
            builder = builder.nothing();
        }
        builder = rules.into_iter().fold(builder, with);
        builder = zone.into_iter().fold(builder, PolicyBuilder::zone);
        builder = superseded.into_iter().fold(builder, PolicyBuilder::superseded);
        let policy = builder.build().unwrap();
        let text = policy.to_string();
        prop_assert!(text.len() <= Policy::MAX_BYTES);
        let back: Policy = text.parse().unwrap();
        prop_assert_eq!(&back, &policy, "{}", &text);
        prop_assert_eq!(back.to_string(), text);
        prop_assert_eq!(back.keep_superseded(), policy.keep_superseded());
        if let Some(superseded) = superseded.filter(|period| period.subsec_nanos() % 1_000 == 0) {
            prop_assert_eq!(back.keep_superseded(), superseded);
        }
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        Ok(())
    };
    runner.run(&cases, test).unwrap();
}

/// Texts of clauses and other words. About one in ten is a policy.
#[test]
fn any_text_is_refused_or_comes_back() {
    let clause = prop_oneof![
        "(last|daily|WEEKLY|yearly) ?(all|[0-9]{1,3})",
        "(within|superseded) [0-9]{1,20} ?(us|s|m|h|d|w|y|mo)",
        "every [0-9]{1,22} versions",
        "label (\"[^\"]{0,3}\"|\\PC{0,3})",
        "reachable [0-9]{1,3} within ([0-9]{1,3}[hdw]){1,3}",
        "all|nothing|zone|zone utc|superseded|forever|pinned",
        "\\PC{0,3}",
    ];
    let clause = (clause, prop::sample::select(vec![", ", ",", " ,\n", ", ", " "]));
    let cases = prop::collection::vec(clause, 0..5).prop_map(|clauses| {
        let text: String = clauses.into_iter().map(|(clause, after)| clause + after).collect();
        text.trim_end_matches([',', ' ', '\n']).to_owned()
    });
    let accepted = Cell::new(0);
    let test = |text: String| {
        match text.parse::<Policy>() {
            Ok(policy) => {
                accepted.set(accepted.get() + 1);
                prop_assert_eq!(policy.to_string().parse::<Policy>().unwrap(), policy);
            }
            Err(error) => prop_assert!(error.to_string().contains("column "), "{}", error),
        }
        Ok(())
    };
    runner(0x7e98, 6_000, 10_000).run(&cases, test).unwrap();
    assert!(accepted.get() > 600, "{} were accepted", accepted.get());
}

#[test]
fn space_case_and_sums_do_not_matter() {
    for (text, canonical) in [
        ("LAST4,Daily 7", "last 4, daily 7"),
        ("  last\n4 ,\tdaily7  ", "last 4, daily 7"),
        ("within 1d12h", "within 36h"),
        ("within 1 D 12 H", "within 36h"),
        ("within 52w1d", "within 1y"),
        ("within 90m", "within 90m"),
        ("within 0d7us", "within 7us"),
        ("every 0010 VERSIONS", "every 10 versions"),
        ("reachable 0 within 30d", "reachable 0 within 30d"),
        ("daily All, last 18446744073709551615", "daily all, last all"),
        ("label Release-1.0", "label Release-1.0"),
        ("label \"plain\"", "label plain"),
        (
            "label \"a, b\", label \"say \\\"x\\\\\\\"\"",
            "label \"a, b\", label \"say \\\"x\\\\\\\"\"",
        ),
        ("label \"\"", "label \"\""),
        ("zone UTC, all", "all"),
        ("superseded 7d, nothing", "nothing"),
        ("superseded 168h, all", "all"),
        ("superseded 0s, all", "all, superseded 0s"),
        ("nothing, superseded Forever", "nothing, superseded forever"),
        ("daily 7, daily 7", "daily 7, daily 7"),
    ] {
        let policy: Policy = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(policy.to_string(), canonical, "{text}");
    }
    assert_eq!(Policy::default().to_string(), "last 4, daily 7, weekly 4, monthly 12");
    assert_eq!(Policy::default().keep_superseded(), 7 * DAY);
}

#[test]
fn errors_name_the_column_and_what_was_expected() {
    for (text, column, what) in [
        ("", 1, "expected a rule (last, within, hourly"),
        ("   ", 4, "found the end"),
        ("last 4,", 8, "expected a rule"),
        ("last 4,, daily 7", 8, "found \",\""),
        ("dayly 7", 1, "found \"dayly\""),
        ("pinned", 1, "expected a rule"),
        ("last 4, dayly 7", 9, "found \"dayly\""),
        ("last 4 daily 7", 8, "expected a comma or the end, found \"daily\""),
        ("last", 5, "expected a number or `all`, found the end"),
        ("last x", 6, "expected a number or `all`, found \"x\""),
        ("last -1", 6, "found \"-1\""),
        ("last 0", 6, "0 keeps nothing"),
        ("daily 000", 7, "0 keeps nothing"),
        ("last 18446744073709551616", 6, "the number is too large"),
        ("every 5", 8, "expected `versions`, found the end"),
        ("every 5 version", 9, "expected `versions`, found \"version\""),
        ("every all versions", 7, "expected a number of versions"),
        ("every 0 versions", 7, "0 keeps nothing"),
        ("within", 7, "expected a duration, such as 30d, found the end"),
        ("within 5", 9, "expected a unit (us, s, m, h, d, w, y), found the end"),
        ("within 5 parsecs", 10, "found \"parsecs\""),
        ("within 6months", 9, "months differ in length"),
        ("within 1.5d", 9, "expected a unit"),
        ("within 0s", 8, "a duration of 0 keeps nothing"),
        ("within 1d, within 584943y", 19, "the duration is too long"),
        ("within 18446744073709551615us1us", 8, "the duration is too long"),
        ("reachable within 3d", 11, "expected a number of events"),
        ("reachable 5", 12, "expected `within`"),
        ("label", 6, "expected a label"),
        ("label ,", 7, "expected a label, found \",\""),
        ("label \"a", 9, "expected a closing quote, found the end"),
        ("label \"a\\n\"", 9, "expected `\\\"` for a quote"),
        ("label \"a\" b", 11, "expected a comma or the end"),
        // Columns count characters, not bytes.
        ("label \"\u{e9}\u{1f600}\", last x", 18, "expected a number"),
        ("nothing, last 4", 10, "`nothing` stands alone"),
        ("last 4, nothing", 9, "`nothing` stands alone"),
        ("superseded 8d", 14, "it would keep nothing"),
        ("zone UTC", 9, "it would keep nothing"),
        ("all, superseded", 16, "expected a duration, such as 14d, or `forever`"),
        ("all, superseded 3", 18, "expected a unit"),
        ("all, superseded 1d, superseded 2d", 21, "given twice"),
        ("all, zone", 10, "expected a time zone"),
        ("all, zone UTC, zone UTC", 16, "given twice"),
        ("all, zone Mars/Olympus", 11, "time zone \"Mars/Olympus\""),
    ] {
        let error = text.parse::<Policy>().expect_err(text);
        let expected = format!("column {column}: ");
        let message = error.to_string();
        assert!(message.contains(&expected) && message.contains(what), "{text:?}: {message}");
        let needs_feature = text.contains("Mars") && !cfg!(feature = "schedules");
        assert_eq!(error.kind() == ErrorKind::FeatureDisabled, needs_feature, "{text:?}");
        assert!(serde_json::from_value::<Policy>(text.into()).is_err());
    }
    let long = format!("last 1, label {}", "x".repeat(Policy::MAX_BYTES));
    assert!(long.parse::<Policy>().unwrap_err().to_string().contains("the limit is 900"));
}

#[cfg(not(feature = "schedules"))]
#[test]
fn a_zone_names_the_feature_that_it_needs() {
    let error = "daily 7, zone Europe/Berlin".parse::<Policy>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FeatureDisabled);
    assert!(error.to_string().contains("column 15") && error.to_string().contains("\"schedules\""));
    let error = Policy::builder().daily(7).zone("Europe/Berlin").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FeatureDisabled);
}

#[test]
fn a_policy_that_keeps_nothing_is_only_built_with_that_word() {
    let refused: [(PolicyBuilder, &str); 9] = [
        (Policy::builder(), "nothing"),
        (Policy::builder().superseded(DAY).zone("UTC"), "nothing"),
        (Policy::builder().last(0), "`last 0` keeps nothing"),
        (Policy::builder().daily(7).yearly(0), "`yearly 0` keeps nothing"),
        (Policy::builder().within(Duration::from_nanos(999)), "`within 0s` keeps nothing"),
        (Policy::builder().every_versions(0), "`every 0 versions` keeps nothing"),
        (Policy::builder().reachable(5, Duration::ZERO), "`reachable 5 within 0s` keeps nothing"),
        (Policy::builder().nothing().last(4), "stands alone"),
        (Policy::builder().label("x".repeat(Policy::MAX_BYTES)), "the limit is 900"),
    ];
    for (builder, what) in refused {
        let error = builder.build().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    assert_eq!(Policy::builder().nothing().build().unwrap().to_string(), "nothing");
    assert_eq!(
        Policy::builder().reachable(0, DAY).build().unwrap().to_string(),
        "reachable 0 within 1d"
    );
}
