//! Where a store is, and what must never be printed.

use snapfold::file::FileStore;

use crate::support::{Shop, command, finish};

#[test]
fn a_password_is_never_printed() {
    for (arguments, url) in [
        (&["ls"][..], "postgres://u:hunter2@127.0.0.1:1/d"),
        (&["ls"], "postgres://u:hunter2@127.0.0.1:1/d?sslmode=nonsense"),
        (&["ls"], "postgres://u:hunter2@127.0.0.1:port/d"),
        (&["ls"], "postgres://127.0.0.1:1/d?user=u&password=hunter2"),
        (&["migrate"], "postgres://u:hunter2@127.0.0.1:1/d"),
        (&["check"], "postgres://u:hunter%32@127.0.0.1:1/hunter2"),
        (&["ls"], "mysql://u:hunter2@h/d"),
        (&["ls"], "u:hunter2@h/d"),
        (&["ls"], "postgres:u:hunter2@h/d"),
        (&["ls"], ""),
    ] {
        for by_option in [false, true] {
            let mut command = command(arguments);
            command.args(["--timeout", "5"]);
            if by_option {
                command.args(["--store", url]);
            } else {
                command.env("SNAPFOLD_STORE", url);
            }
            let printed = finish(&mut command);
            assert!(printed.code == 2 || printed.code == 3, "{url}: {}", printed.code);
            assert!(!printed.err.contains("hunter2"), "{url}: {}", printed.err);
            assert!(printed.err.starts_with("error: "), "{url}: {}", printed.err);
            assert!(printed.out.is_empty());
        }
    }
    // In the wrong place.
    let url = "postgres://u:hunter2@h/d";
    for arguments in [&[url][..], &["ls", "--all", "x", "y", url], &["ls", "--after", url]] {
        let printed = finish(&mut command(arguments));
        assert_eq!(printed.code, 2);
        assert!(!printed.err.contains("hunter2"), "{}", printed.err);
    }
}

#[test]
fn an_unreachable_database_says_why() {
    let printed = finish(&mut command(&["ls", "--store", "postgres://u@127.0.0.1:1/d"]));
    assert_eq!(printed.code, 3);
    assert!(
        printed.err.contains("127.0.0.1:1") && printed.err.contains("refused"),
        "{}",
        printed.err
    );
}

#[test]
fn a_wrong_scheme_lists_the_right_ones_and_no_store_is_usage() {
    let printed = finish(&mut command(&["ls", "--store", "mysql://h/d"]));
    assert_eq!(printed.code, 2);
    assert!(printed.err.contains("file:DIR") && printed.err.contains("postgres://"));
    let printed = finish(&mut command(&["ls"]));
    assert_eq!(printed.code, 2);
    assert!(printed.err.contains("SNAPFOLD_STORE"), "{}", printed.err);
}

#[test]
fn reading_never_makes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    for (path, code) in [(dir.path().join("missing"), 1), (dir.path().to_owned(), 3)] {
        for arguments in [&["ls"][..], &["prune", "a", "--keep", "all", "--yes"]] {
            let url = format!("file:{}", path.display());
            let printed = finish(&mut command(&[arguments, &["--store", &url]].concat()));
            assert_eq!(printed.code, code, "{}", printed.err);
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_another_process_has_open_is_left_alone() {
    let shop = Shop::new();
    let open: FileStore = shop.open();
    assert_eq!(shop.run(&["ls"]).code, 0);
    let printed = shop.run(&["prune", "account", "--keep", "last 1", "--yes"]);
    assert_eq!(printed.code, 3);
    assert!(printed.err.contains(&std::process::id().to_string()), "{}", printed.err);
    open.close().unwrap();
    assert_eq!(shop.run(&["ls"]).code, 0);
    let url = format!("file://{}", shop.path().display());
    assert_eq!(finish(&mut command(&["ls", "--store", &url])).code, 0);
}
