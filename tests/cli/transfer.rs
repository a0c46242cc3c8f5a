//! `export` and `import`.

use std::process::Stdio;

use crate::support::{Shop, command, finish};

#[test]
fn an_archive_makes_the_same_store() {
    let shop = Shop::new();
    shop.text(&["pin", "account", "alice", "200", "audit"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("archive");
    let file = file.to_str().unwrap();
    let exported = shop.json(&["export", file]);
    assert_eq!((&exported["snapshots"], &exported["damaged"]), (&14.into(), &0.into()));
    // It is not overwritten.
    assert_eq!(shop.run(&["export", file]).code, 2);
    assert!(shop.text(&["import", file, "--check"]).contains("14 snapshots"));

    let url = format!("file:{}", dir.path().join("copy").display());
    let run = |arguments: &[&str]| finish(&mut command(&[arguments, &["--store", &url]].concat()));
    // A dry run makes no directory.
    assert_eq!(run(&["import", file, "--dry-run"]).code, 1);
    assert!(!dir.path().join("copy").exists());
    let imported = run(&["import", file, "--json"]);
    assert_eq!(imported.code, 0, "{}", imported.err);
    let listed = |printed: String| -> serde_json::Value { serde_json::from_str(&printed).unwrap() };
    assert_eq!(listed(imported.out)["stored"], 14);
    assert_eq!(listed(run(&["stats", "--json"]).out), shop.json(&["stats"]));
    let alice = listed(run(&["ls", "account", "alice", "--json"]).out);
    assert_eq!(alice, shop.json(&["ls", "account", "alice"]));
    // A directory with other files does not become a store.
    std::fs::write(dir.path().join("other"), "x").unwrap();
    let other = format!("file:{}", dir.path().display());
    let refused = finish(&mut command(&["import", file, "--store", &other]));
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    // Once more only on purpose.
    assert_eq!(run(&["import", file]).code, 2);
    let again = listed(run(&["import", file, "--into-existing", "--json"]).out);
    assert_eq!((&again["stored"], &again["existing"]), (&0.into(), &14.into()));
}

#[test]
fn an_archive_passes_through_a_pipe_and_a_part_of_one_is_an_error() {
    let shop = Shop::new();
    let export = command(&["export", "-", "--kind", "account"])
        .env("SNAPFOLD_STORE", shop.url())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(export.status.code(), Some(0));
    assert!(String::from_utf8(export.stderr).unwrap().contains("exported 13 snapshots"));
    let dir = tempfile::tempdir().unwrap();
    for (archive, code) in [
        (&export.stdout[..export.stdout.len() / 2], 3),
        (&export.stdout[..], 0),
        (b"not an archive", 3),
    ] {
        let path = dir.path().join("file");
        std::fs::write(&path, archive).unwrap();
        let url =
            format!("file:{}", dir.path().join(format!("copy{code}{}", archive.len())).display());
        let printed = command(&["import", "-", "--store", &url])
            .stdin(std::fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        let err = String::from_utf8(printed.stderr).unwrap();
        assert_eq!(printed.status.code(), Some(code), "{err}");
    }
    assert_eq!(shop.run(&["import", "no-such-file"]).code, 1);
}
