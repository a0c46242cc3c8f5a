//! Defects covered here: a history that gives other trees than the committed ones, because of
//! merges, unusual names, user settings, or an incomplete clone; and a history that cannot be read
//! in parts, or from several threads.

use std::fs;
use std::sync::Arc;

use crate::error::Error;
use crate::testing::{Repo, check_every_version, commit, commits_at, open, read};
use crate::tree::{Entry, ObjectId};
use crate::{demo, verify};

/// Every kind of change, in 12 first-parent commits, on clocks that run backwards.
fn unusual() -> String {
    let submodule = "a1".repeat(20);
    let main = [
        // 1: plain, executable, and names that need quoting
        "M 100644 inline a\ndata 1\na\nM 100755 inline run\ndata 1\nr\n\
         M 100644 inline \"new\\nline\"\ndata 1\nn\n\
         M 100644 inline \"d/not utf-8 \\377\\351\"\ndata 1\nu\n\
         M 100644 inline \" : \\\"d/e\"\ndata 1\nq\n"
            .to_owned(),
        // 2: symlink, and a neighbor that sorts between a file and a directory with the same name
        "M 120000 inline link\ndata 1\na\nM 100644 inline a-b\ndata 1\nb\n".to_owned(),
        // 3: submodule
        format!("M 160000 {submodule} vendor/lib\n"),
        // 4: a file becomes a directory
        "D a\nM 100644 inline a/b/c\ndata 1\nc\nM 100644 inline a/d\ndata 1\nd\n".to_owned(),
        // 5: mode only
        "M 100644 inline run\ndata 1\nr\n".to_owned(),
        // 6: no changes
        String::new(),
        // 7: a symlink becomes a file, a file a symlink, a submodule a directory
        "M 100644 inline link\ndata 1\nx\nM 120000 inline run\ndata 1\na\n\
         D vendor/lib\nM 100644 inline vendor/lib/file\ndata 1\nv\n"
            .to_owned(),
        // 8: renames
        "R a/d moved\nR \"new\\nline\" \"d/new\\nline\"\n".to_owned(),
        // 9: a directory becomes a file
        "D a\nM 100644 inline a\ndata 1\na\n".to_owned(),
    ];
    let times = [50, 60, 40, 70, 70, 10, 80, 90, 85];
    let mut stream: Vec<String> =
        main.iter().zip(times).map(|(body, time)| commit("main", time, body)).collect();
    let side = "from refs/heads/main\nM 100644 inline side\ndata 1\ns\n";
    stream.insert(6, commit("side", 95, side));
    let merges = [
        // 10: merges the change of the side branch
        "merge refs/heads/side\nM 100644 inline side\ndata 1\ns\n",
        // 11: an evil merge: changes that are in neither parent
        "merge refs/heads/side\nM 100644 inline evil\ndata 1\ne\nD moved\n",
        // 12: keeps only its own side
        "merge refs/heads/side\n",
    ];
    stream.extend(merges.map(|body| commit("main", 100, body)));
    stream.concat()
}

fn ids(repo: &Repo) -> Vec<String> {
    let listed = repo.git(&["rev-list", "--first-parent", "--reverse", "HEAD"]);
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn every_kind_of_change_leads_to_the_tree_that_was_committed() {
    let repo = Repo::import(unusual().as_bytes());
    let history = repo.history();
    assert_eq!(history.len(), 12);
    let tree = check_every_version(&history);
    assert_eq!(tree.get(b"d/new\nline").unwrap().mode, 0o100_644);
    assert_eq!(tree.get(b"run").unwrap().mode, 0o120_000);
    assert!(tree.get(b"d/not utf-8 \xff\xe9").is_some());
    assert!(tree.get(b"evil").is_some());

    let commits = read(&history, 0, 12);
    let read_ids: Vec<String> = commits.iter().map(|commit| commit.id.to_string()).collect();
    assert_eq!(read_ids, ids(&repo));
    let changes: Vec<usize> = commits.iter().map(|commit| commit.changes.len()).collect();
    assert_eq!(changes, [5, 2, 1, 3, 1, 0, 4, 4, 2, 1, 2, 0]);
    let times: Vec<i64> = commits.iter().map(|commit| commit.time).collect();
    assert_eq!(times, [50, 60, 40, 70, 70, 10, 80, 90, 85, 100, 100, 100]);
}

#[test]
fn a_range_reads_the_same_commits_in_any_order_and_from_any_thread() {
    let times: Vec<i64> = (0..200).collect();
    let repo = Repo::import(commits_at(&times).as_bytes());
    let history = repo.history();
    let all = read(&history, 0, 200);
    assert_eq!(all.len(), 200);
    let ranges = [(199, 200), (0, 1), (50, 150), (7, 7), (9, 3), (198, 999), (500, 600), (0, 200)];
    let check = |history: &Arc<_>| {
        for (after, until) in ranges {
            let expected = all.get(after..until.min(200)).unwrap_or_default();
            assert_eq!(read(history, after as u64, until as u64), expected, "{after}..{until}");
            // A reader that is dropped early must not leave answers for the next.
            assert!(history.read(0, 200).take(after % 60).all(|commit| commit.is_ok()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check(&history));
        }
    });
}

#[test]
fn more_requests_and_answers_than_pipes_can_hold_do_not_block() {
    let files = (0..100).map(|n| format!("M 100644 inline 0/file-{n}\ndata 1\nx\n"));
    let files = files.collect::<Vec<_>>().concat();
    let renames = (0..1_200).map(|n| commit("main", 1, &format!("R {n} {}\n", n + 1)));
    let stream: String = [commit("main", 1, &files)].into_iter().chain(renames).collect();
    let repo = Repo::import(stream.as_bytes());
    let commits = read(&repo.history(), 1, u64::MAX);
    assert_eq!(commits.len(), 1_200);
    assert!(commits.iter().all(|commit| commit.changes.len() == 200));
}

#[test]
fn a_time_is_the_version_before_the_first_commit_that_was_made_later() {
    let repo = Repo::import(commits_at(&[100, 300, 200, 200, 400]).as_bytes());
    let history = repo.history();
    for (time, version) in
        [(99, 0), (100, 1), (200, 1), (299, 1), (300, 4), (399, 4), (400, 5), (i64::MAX, 5)]
    {
        assert_eq!(history.version_at(time), version, "at {time}");
    }
    assert_eq!(history.time_range(), Some((100, 400)));
    assert_eq!(history.backwards(), 1);
}

#[test]
fn a_clock_that_shows_more_than_the_year_9999_is_read_as_its_end() {
    let repo = Repo::import(commits_at(&[0, 300_000_000_000_000, 7]).as_bytes());
    let history = repo.history();
    let last = history.time(2).unwrap();
    assert_eq!(crate::table::time(last), "9999-12-30T22:00:00Z");
    assert_eq!((history.version_at(last - 1), history.version_at(last)), (1, 3));
}

#[test]
fn a_repository_without_commits_has_an_empty_history() {
    let repo = Repo::init(&[]);
    let history = repo.history();
    assert_eq!((history.len(), history.time_range()), (0, None));
    assert_eq!(check_every_version(&history).len(), 0);
    // But an explicitly named branch must exist.
    assert!(matches!(repo.open("main"), Err(Error::UnknownRevision { .. })));
}

#[test]
fn a_shallow_clone_begins_with_the_whole_tree_of_its_oldest_commit() {
    let origin = Repo::import(unusual().as_bytes());
    let url = format!("file://{}", origin.path().display());
    let clone = Repo::init(&[]);
    for depth in ["1", "3", "6"] {
        let target = format!("depth-{depth}");
        clone.git(&["clone", "--quiet", "--bare", "--depth", depth, &url, &target]);
        let history = open(&clone.path().join(&target), "HEAD").unwrap();
        assert_eq!(history.len().to_string(), depth);
        check_every_version(&history);
    }
}

#[test]
fn a_repository_with_sha_256_is_read_like_any_other() {
    let stream = unusual().replace(&"a1".repeat(20), &"a1".repeat(32));
    let repo = Repo::init(&["--object-format=sha256"]).and_import(stream.as_bytes());
    let history = repo.history();
    assert_eq!(history.commit_id(1).unwrap().as_bytes().len(), 32);
    check_every_version(&history);
}

#[test]
fn the_history_is_the_same_from_anywhere_in_the_repository() {
    let repo = Repo::import(unusual().as_bytes());
    let expected = read(&repo.history(), 0, 12);
    let inside = repo.path().join("some/directory");
    fs::create_dir_all(&inside).unwrap();
    let clone = repo.path().join("bare.git");
    repo.git(&["clone", "--quiet", "--bare", ".", "bare.git"]);
    repo.git(&["tag", "-m", "annotated", "tag", "main"]);
    repo.git(&["update-ref", "--no-deref", "HEAD", "main"]);
    assert_eq!(repo.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD", "HEAD is detached");

    for (path, rev) in [(repo.path(), "HEAD"), (&inside, "main"), (&clone, "HEAD")] {
        let history = open(path, rev).unwrap();
        assert_eq!(read(&history, 0, 12), expected, "{rev} in {}", path.display());
        check_every_version(&history);
    }
    assert_eq!(read(&repo.open("tag").unwrap(), 0, 12), expected);
    assert_eq!(read(&repo.open("main~5").unwrap(), 0, 12), expected[..7]);
}

#[test]
fn what_has_no_history_is_refused_in_one_line() {
    let repo = Repo::import(unusual().as_bytes());
    for rev in [
        "nowhere",
        "main:run",
        "HEAD^{tree}",
        "--all",
        "--since=now",
        "main..side",
        "-",
        "",
        "a\nb",
    ] {
        let error = repo.open(rev).unwrap_err();
        assert!(matches!(error, Error::UnknownRevision { .. }), "{rev}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
    let nothing = tempfile::tempdir().unwrap();
    for path in [nothing.path(), &nothing.path().join("missing")] {
        let error = open(path, "HEAD").unwrap_err();
        assert!(matches!(error, Error::NotARepository { .. }), "{error}");
        assert!(!error.to_string().contains('\n') && !error.to_string().contains("fatal"));
    }
}

#[test]
fn the_settings_of_a_user_change_nothing() {
    let repo = Repo::import(unusual().as_bytes());
    let expected = read(&repo.history(), 0, 12);
    let modules = "[submodule \"vendor/lib\"]\n\tpath = vendor/lib\n\turl = x\n\tignore = all\n";
    fs::write(repo.path().join(".gitmodules"), modules).unwrap();
    fs::write(repo.path().join("order"), "vendor/*\nrun\n").unwrap();
    for (name, value) in [
        ("color.ui", "always"),
        ("color.diff", "always"),
        ("core.abbrev", "4"),
        ("core.pager", "false"),
        ("core.quotePath", "true"),
        ("diff.colorMoved", "zebra"),
        ("diff.external", "false"),
        ("diff.ignoreSubmodules", "all"),
        ("diff.noPrefix", "true"),
        ("diff.orderFile", "order"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("log.abbrevCommit", "true"),
        ("log.diffMerges", "separate"),
        ("log.follow", "true"),
        ("log.showRoot", "false"),
        ("log.showSignature", "true"),
        ("pager.diff-tree", "false"),
        ("pager.rev-list", "false"),
        ("submodule.vendor/lib.ignore", "all"),
    ] {
        repo.git(&["config", name, value]);
    }
    let history = repo.history();
    assert_eq!(read(&history, 0, 12), expected);
    check_every_version(&history);
}

#[test]
fn a_replaced_commit_is_read_as_it_was_committed() {
    let repo = Repo::import(unusual().as_bytes());
    let expected = read(&repo.history(), 0, 12);
    repo.git(&["replace", "main~4", "main~8"]);
    repo.git(&["replace", "--graft", "main~2"]);
    assert_eq!(read(&repo.history(), 0, 12), expected);
}

/// If git cannot read a requested commit, it prints nothing and continues. This must not be treated
/// as an empty commit.
#[test]
fn a_commit_that_is_lost_is_an_error() {
    let repo = Repo::init(&[]);
    let tree = repo.git(&["write-tree"]);
    let mut parent = String::new();
    for message in ["1", "2", "3"] {
        let mut args = vec!["commit-tree", "-m", message, &tree];
        if !parent.is_empty() {
            args.extend(["-p", &parent]);
        }
        parent = repo.git(&args);
    }
    repo.git(&["update-ref", "HEAD", &parent]);
    let history = repo.history();
    let objects = repo.path().join(".git/objects");
    let lose = |commit: Option<ObjectId>| {
        let id = commit.unwrap().to_string();
        fs::remove_file(objects.join(&id[..2]).join(&id[2..])).unwrap();
    };
    lose(history.commit_id(2));

    for until in [2, 3] {
        let read: Vec<_> = history.read(1, until).collect();
        assert!(matches!(&read[..], [Err(Error::Git { .. })]), "{read:?}");
    }
    assert!(matches!(repo.open("HEAD"), Err(Error::Git { .. })));

    repo.git(&["update-ref", "HEAD", &history.commit_id(1).unwrap().to_string()]);
    lose(history.commit_id(1));
    assert!(matches!(repo.open("HEAD"), Err(Error::UnknownRevision { .. })));
}

#[test]
fn a_wrong_tree_is_reported_with_its_version_and_its_first_difference() {
    let repo = Repo::import(unusual().as_bytes());
    let history = repo.history();
    let right = check_every_version(&history);
    let commit = read(&history, 0, 1).remove(0);
    let wrong = |path: &[u8], entry| {
        let mut tree = right.clone();
        let mut commit = commit.clone();
        commit.changes.retain(|change| change.path.as_bytes() == b"run");
        commit.changes[0].path = path.into();
        commit.changes[0].entry = entry;
        tree.apply(&commit);
        verify::check(&history, 12, &tree).unwrap_err()
    };
    let file = commit.changes[0].entry.unwrap();
    let side = right.get(b"side").unwrap();
    for (path, entry, expected) in [
        (&b"d/new\nline"[..], None, r#"at "d/new\nline" git has 100644"#),
        (b" first", Some(file), r#"at " first" git has nothing"#),
        (b"middle", Some(file), r#"at "middle" git has nothing"#),
        (b"zzz last", Some(file), r#"at "zzz last" git has nothing"#),
        (b"vendor/lib/file", None, r#"at "vendor/lib/file" git has 100644"#),
        (b"run", Some(file), r#"at "run" git has 120000"#),
        (b"side", Some(Entry { mode: 0o100_755, ..side }), r#"at "side" git has 100644"#),
    ] {
        let error = wrong(path, entry);
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().starts_with("version 12 is not the tree of commit "), "{error}");
    }
    let error = verify::check(&history, 0, &right).unwrap_err().to_string();
    assert!(error.contains("at \" : \\\"d/e\" git has nothing"), "{error}");
}

#[test]
fn the_demo_is_the_same_for_the_same_seed() {
    let head = |seed| {
        let demo = demo::write(seed, 60).unwrap();
        let history = open(demo.path(), "HEAD").unwrap();
        assert_eq!(history.len(), 60);
        history.commit_id(60).unwrap()
    };
    let first: ObjectId = head(1);
    assert_eq!(first, head(1));
    assert_ne!(first, head(2));
}

#[test]
fn the_demo_has_what_real_histories_have() {
    let demo = demo::write(3, 700).unwrap();
    let history = open(demo.path(), "HEAD").unwrap();
    check_every_version(&history);
    assert!(history.backwards() > 10);

    let commits = read(&history, 0, 700);
    let changes = || commits.iter().flat_map(|commit| &commit.changes);
    let modes = [0o100_644, 0o100_755, 0o120_000, 0o160_000];
    for mode in modes {
        assert!(changes().any(|change| change.entry.is_some_and(|it| it.mode == mode)), "{mode:o}");
    }
    assert!(changes().any(|change| std::str::from_utf8(change.path.as_bytes()).is_err()));
    assert!(changes().any(|change| change.path.as_bytes().contains(&b'\n')));
    assert!(commits.iter().any(|commit| commit.changes.is_empty()));
    // A path is deleted while paths below it are added, and the other way around.
    let below = |gone: bool| {
        commits.iter().any(|commit| {
            let files = commit.changes.iter().filter(|change| change.entry.is_none() == gone);
            files.into_iter().any(|file| {
                let directory = [file.path.as_bytes(), b"/"].concat();
                let inside = |path: &[u8]| path.starts_with(&directory);
                commit.changes.iter().any(|change| inside(change.path.as_bytes()))
            })
        })
    };
    assert!(below(true) && below(false));
    let merges = crate::git::Git::new(demo.path())
        .ask(&["rev-list", "--first-parent", "--merges", "--count", "HEAD"])
        .unwrap()
        .unwrap();
    assert!(merges.len() > 2, "at least ten merges");
}

#[test]
fn random_points_are_distinct_versions_and_instants_around_the_history() {
    let repo = Repo::import(commits_at(&(0..300).map(|n| n * 10).collect::<Vec<_>>()).as_bytes());
    let history = repo.history();
    let mut random = crate::random::Random::new(1);
    let mut versions = verify::random_versions(&history, 200, &mut random);
    assert!(
        versions.iter().all(|&at| (1..=300).contains(&verify::version_of(&history, at).unwrap()))
    );
    versions.dedup();
    assert_eq!(versions.len(), 200);
    assert_eq!(verify::random_versions(&history, 999, &mut random).len(), 300);

    let instants = verify::random_instants(&history, 200, &mut random);
    let resolved: Vec<u64> =
        instants.iter().map(|&at| verify::version_of(&history, at).unwrap()).collect();
    assert_eq!(resolved.len(), 200);
    assert!(resolved.contains(&0) && resolved.contains(&300));
    assert!(resolved.iter().any(|version| (1..300).contains(version)));

    let beyond = verify::version_of(&history, crate::At::Version(301)).unwrap_err();
    assert_eq!(beyond.exit_code(), 2);
}
