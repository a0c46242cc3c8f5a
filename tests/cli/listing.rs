//! `ls`, `show`, `stats`, `timeline`, and their help.

use crate::application;
use crate::support::{GENERATION, Shop, account, builder, command, finish};

#[test]
fn ls_shows_kinds_then_aggregates_then_snapshots() {
    let shop = Shop::new();
    let kinds = shop.json(&["ls"]);
    let account_kind = &kinds["kinds"][0];
    assert_eq!(account_kind["kind"], "account");
    assert_eq!(account_kind["sizes"]["aggregates"], 2);
    assert_eq!(account_kind["sizes"]["snapshots"], 12);
    assert_eq!(kinds["kinds"][2]["tenant"], "north");
    assert_eq!(kinds["total"]["snapshots"], 14);
    let of_tenant = shop.json(&["ls", "--tenant", "north"]);
    assert_eq!(of_tenant["total"]["snapshots"], 1);

    let aggregates = shop.json(&["ls", "account"]);
    assert_eq!(aggregates["aggregates"].as_array().unwrap().len(), 3);
    let alice = shop.json(&["ls", "account", "--prefix", "al", "--tenant", ""]);
    assert_eq!(alice["aggregates"][0]["snapshots"], 11);
    assert_eq!(alice["aggregates"][0]["newest_version"], 1_000);

    let versions = [1_000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 50];
    assert_eq!(shop.versions(), versions);
    let text = shop.text(&["ls", "account", "alice"]);
    assert!(text.contains("generation A: schema 1 shape 000000000000abcd"), "{text}");
    assert!(text.contains("generation B: schema 1 shape 0000000000001234"), "{text}");
    assert!(text.contains("json") && text.contains("lz4"), "{text}");
}

#[test]
fn lists_continue_where_they_ended() {
    let shop = Shop::new();
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = vec!["ls", "account", "--limit", "1"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let page = shop.json(&arguments);
        let aggregates = page["aggregates"].as_array().unwrap();
        ids.extend(aggregates.iter().map(|of| of["key"]["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
        assert!(ids.len() < 10);
    }
    ids.sort();
    assert_eq!(ids, ["alice", "alice", "bob"]);

    let page = shop.json(&["ls", "account", "alice", "--limit", "3"]);
    assert_eq!(page["next_below"], 800);
    let rest = shop.json(&["ls", "account", "alice", "--below", "800"]);
    assert_eq!(rest["snapshots"].as_array().unwrap().len(), 8);
    assert_eq!(rest["snapshots"][0]["version"], 700);
    let printed = shop.run(&["ls", "account", "--after", "nonsense"]);
    assert_eq!(printed.code, 2, "{}", printed.err);
}

#[test]
fn show_has_every_field_and_the_state_as_it_was_written() {
    let shop = Shop::new();
    let newest = shop.json(&["show", "account", "alice"]);
    assert_eq!(newest["snapshot"]["version"], 1_000);
    assert_eq!(newest["state"]["version"], 1_000);
    assert_eq!(newest["snapshot"]["compression"], "lz4");
    let older = shop.text(&["show", "account", "alice", "--version", "50"]);
    assert!(older.contains("schema 1 shape 0000000000001234"), "{older}");
    // A number of this size is no number of Rust. It must keep its digits.
    assert!(older.contains(r#""big": 123456789012345678901234567890,"#), "{older}");
    let time = shop.json(&["show", "account", "alice", "--time", "2026-06-02T00:00:00Z"]);
    let version = time["snapshot"]["version"].as_u64().unwrap();
    assert!((300..=600).contains(&version), "{version}");
    assert_eq!(shop.run(&["show", "account", "alice", "--version", "55"]).code, 1);
    assert_eq!(shop.run(&["show", "account", "nobody"]).code, 1);
    assert_eq!(shop.run(&["show", "account", "alice", "--time", "noon"]).code, 2);

    let sealed = builder(&account("carol"), GENERATION, 1)
        .codec(snapfold::codec::CodecId::POSTCARD)
        .origin("node-7")
        .label("release")
        .build(b"x")
        .unwrap();
    shop.put(vec![sealed]);
    let text = shop.text(&["show", "account", "carol"]);
    assert!(text.contains("node-7") && text.contains("release"), "{text}");
    assert!(text.contains("the codec postcard needs the application's code"), "{text}");
}

#[test]
fn stats_add_up() {
    let shop = Shop::new();
    let stats = shop.json(&["stats", "--largest", "1"]);
    let sum: u64 = stats["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["sizes"]["stored_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(stats["total"]["stored_bytes"], sum);
    assert_eq!(stats["largest"].as_array().unwrap().len(), 1);
    assert_eq!(stats["largest"][0]["key"]["id"], "alice");
}

#[test]
fn the_timeline_places_marks_by_version_and_shows_what_a_policy_drops() {
    let shop = Shop::new();
    let mut command = command(&["timeline", "account", "alice", "--keep", "last 2"]);
    let printed = finish(command.env("SNAPFOLD_STORE", shop.url()).env("COLUMNS", "64"));
    let lines: Vec<_> = printed.out.lines().collect();
    let marks = lines.iter().position(|line| line.contains("000000000000abcd")).unwrap() + 1;
    // 60 columns for 0 to 1000: one mark per 6 columns, the newest at the right end.
    let columns: Vec<_> =
        lines[marks].char_indices().filter(|(_, c)| *c != ' ').map(|(at, _)| at).collect();
    assert_eq!(columns.len(), 10, "{}", printed.out);
    assert_eq!(columns.last(), Some(&63), "{}", printed.out);
    let drops = lines[marks + 1];
    assert_eq!(drops.matches('x').count(), 8, "{}", printed.out);
    // The two newest are kept.
    assert!(drops.trim_end().len() <= 4 + 49, "{drops}");
    assert!(printed.out.contains("drops 8 of 11 snapshots"), "{}", printed.out);
    let json = shop.json(&["timeline", "account", "alice", "--keep", "last 2"]);
    assert_eq!(json["dropped"].as_array().unwrap().len(), 8);
}

#[test]
fn tables_fit_eighty_columns_and_have_one_line_per_row_without_a_width() {
    let shop = Shop::new();
    let long = "an-id-without-any-place-to-break-it-".repeat(6);
    let mut record = builder(&account(&long), GENERATION, 9_000_000_000);
    for n in 0..6 {
        record = record.label(format!("a label with words {n}"));
    }
    shop.put(vec![record.build(b"{}").unwrap()]);
    for arguments in [
        &["ls"][..],
        &["ls", "account"],
        &["ls", "account", &long],
        &["show", "account", &long],
        &["stats"],
        &["timeline", "account", &long, "--keep", "last 1"],
        &["prune", "account", "--keep", "last 1, every 200 versions, daily 9, weekly 9"],
        &["check"],
        &["--help"],
        &["prune", "--help"],
        &["ls", "-h"],
    ] {
        let mut command = command(arguments);
        let printed = finish(command.env("SNAPFOLD_STORE", shop.url()).env("COLUMNS", "80"));
        assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.err);
        assert!(!printed.out.is_empty());
        for line in printed.out.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            assert!(!line.contains('\u{1b}'), "{arguments:?}: {line}");
        }
    }
    // On a narrower screen each cell has a line.
    let mut narrow = command(&["ls", "account", "alice"]);
    let narrow = finish(narrow.env("SNAPFOLD_STORE", shop.url()).env("COLUMNS", "44")).out;
    assert!(narrow.lines().all(|line| line.len() <= 44), "{narrow}");
    assert_eq!(narrow.lines().filter(|line| line.starts_with("VERSION ")).count(), 11, "{narrow}");
    let plain = shop.text(&["ls", "account"]);
    assert_eq!(plain.lines().count(), 1 + 4, "{plain}");
    assert!(plain.contains(&long));
}

/// The names of the commands that a help lists.
fn commands_in(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
    let commands = commands.split("\n\n").next().unwrap();
    let lines = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Returns every command of a tool, those within others included.
fn all_commands(help_of: impl Fn(&[&str]) -> String) -> Vec<Vec<String>> {
    let (mut all, mut open) = (Vec::new(), vec![Vec::new()]);
    while let Some(path) = open.pop() {
        let arguments: Vec<_> = path.iter().map(String::as_str).chain(["-h"]).collect();
        for name in commands_in(&help_of(&arguments)) {
            open.push([path.clone(), vec![name]].concat());
        }
        all.push(path);
    }
    all
}

#[test]
fn every_help_fits_eighty_columns() {
    let shop = Shop::empty();
    let run = |arguments: &[&str]| application::run_at_80(&shop, arguments);
    let commands = all_commands(|arguments| run(arguments).out);
    assert!(commands.len() >= 35, "{commands:?}");
    for of in ["savepoint take", "archive restore", "bench", "audit verify"] {
        assert!(commands.iter().any(|path| path.join(" ") == of), "{of}: {commands:?}");
    }
    for path in &commands {
        for help in ["-h", "--help"] {
            let arguments: Vec<_> = path.iter().map(String::as_str).chain([help]).collect();
            let printed = run(&arguments);
            assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.err);
            assert!(printed.out.contains("Usage:"), "{arguments:?}: {}", printed.out);
            for line in printed.out.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
        }
    }
}

#[test]
fn every_command_explains_itself() {
    let help = finish(&mut command(&["--help"])).out;
    let names = commands_in(&help);
    assert!(names.len() >= 17, "{names:?}");
    for name in &names {
        let help = finish(&mut command(&[name, "--help"]));
        assert_eq!(help.code, 0);
        assert!(help.out.contains("Example: "), "{name} has no example");
        let man = finish(&mut command(&["man", name]));
        assert!(man.out.contains(&format!("snapfold\\-{name}")), "{name}: {}", man.out);
    }
    // Without arguments the help is short, and the code is that of wrong usage.
    for with_store in [false, true] {
        let mut command = command(&[]);
        if with_store {
            command.env("SNAPFOLD_STORE", "file:nowhere");
        }
        let printed = finish(&mut command);
        assert_eq!(printed.code, 2);
        assert!(printed.err.contains("timeline") && printed.err.contains("Exit codes"));
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = finish(&mut command(&["completions", shell]));
        assert!(script.code == 0 && script.out.contains("timeline"), "{shell}");
    }
}
