//! Artifacts in files: several processes, kills, and files that somebody else changed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use snapfold::artifact::in_one_piece;
use snapfold::artifact::{Artifact, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore};
use snapfold::engine::ManualClock;
use snapfold::file::FileArtifacts;
use snapfold::{ErrorKind, Retry, Timestamp};

const DIR: &str = "SNAPFOLD_ARTIFACTS_DIR";
const ROLE: &str = "SNAPFOLD_ARTIFACTS_ROLE";

/// Starts a test of this file again, as another process with this role.
fn child(test: &str, dir: &Path, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("artifacts::{test}"), "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Content of a length that depends on its number: from nothing to several chunks.
fn content(number: usize) -> Vec<u8> {
    let bytes = number * 7_919 % 400_000;
    (0..bytes).map(|at| (at ^ (at >> 8) ^ number) as u8).chain(number.to_le_bytes()).collect()
}

fn pieces(content: &[u8]) -> ArtifactContent {
    let pieces: Vec<_> = content.chunks(30_000).map(|piece| Ok(piece.to_vec().into())).collect();
    stream::iter(pieces).boxed()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn drafts(dir: &Path) -> usize {
    let names = files_below(&dir.join("tmp"));
    names.iter().filter(|path| path.extension().is_some_and(|name| name == "draft")).count()
}

/// Returns the size of an artifact that is whole, and `None` for one that is not there.
async fn whole(store: &FileArtifacts, id: &ArtifactId) -> Option<u64> {
    let found = store.get("t", id, None).await.unwrap()?;
    let (size, content_type) = (found.artifact.size, found.artifact.content_type.clone());
    let bytes = found.bytes(1 << 20).await.unwrap().unwrap();
    assert_eq!((ArtifactId::of(&bytes), bytes.len() as u64), (*id, size));
    assert!(content_type.starts_with("text/"), "{content_type}");
    Some(size)
}

async fn put_for_ever(dir: &str, round: &str) {
    let store = FileArtifacts::open(dir).unwrap();
    let round: usize = round.parse().unwrap();
    for number in round * 10_000.. {
        let content = content(number);
        let artifact = Artifact::of(&content).content_type("text/plain");
        let outcome = store.put("t", &artifact, pieces(&content)).await.unwrap();
        assert!(outcome.is_stored());
        say(&format!("put {}", artifact.id));
        if number % 5 == 0 {
            say(&format!("delete {}", artifact.id));
            store.delete("t", &artifact.id).await.unwrap();
            say(&format!("deleted {}", artifact.id));
        }
    }
}

/// Waits for ever in the middle of a put.
async fn put_half(dir: &str) {
    let store = FileArtifacts::open(dir).unwrap();
    let content = vec![7; 8 << 20];
    let half = pieces(&content[..4 << 20]);
    let rest = stream::once(async {
        say("half");
        std::future::pending().await
    });
    let artifact = Artifact::of(&content);
    let _ = store.put("t", &artifact, half.chain(rest).boxed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_leaves_what_was_acknowledged_and_nothing_else() {
    if let Ok(dir) = std::env::var(DIR) {
        match &*std::env::var(ROLE).unwrap() {
            "half" => put_half(&dir).await,
            round => put_for_ever(&dir, round).await,
        }
    }
    let test = "a_process_that_is_killed_leaves_what_was_acknowledged_and_nothing_else";
    let dir = tempfile::tempdir().unwrap();
    // Another process, as far as the locks know, that stays.
    let watcher = FileArtifacts::open(dir.path()).unwrap();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for round in 0..14_usize {
        let mut child = child(test, dir.path(), &round.to_string());
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut lines, mut open) = (String::new(), 3 + 4 * round, None);
        while reader.read_line(&mut line).unwrap() > 0 {
            if let [what, id] = line.split_whitespace().collect::<Vec<_>>()[..]
                && let Ok(id) = id.parse::<ArtifactId>()
            {
                match what {
                    "put" => there.push(id),
                    "delete" => open = there.pop(),
                    _ => gone.extend(open.take()),
                }
                lines = lines.saturating_sub(1);
                if lines == 0 {
                    // Somewhere in a later put. What it says until it is dead counts as well.
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        child.wait().unwrap();
        if round.is_multiple_of(2) {
            watcher.sweep(Timestamp::MAX).await.unwrap();
        }
        let store = FileArtifacts::open(dir.path()).unwrap();
        assert_eq!(drafts(dir.path()), 0, "round {round}");
        for id in &there {
            assert!(whole(&store, id).await.is_some(), "round {round}: {id} is lost");
        }
        for id in &gone {
            assert_eq!(whole(&store, id).await, None, "round {round}: {id} is back");
        }
        // What was not acknowledged is whole, too, if it is there.
        let mut after = None;
        loop {
            let page = store.list("t", after.as_ref(), 100).await.unwrap();
            for item in page.items {
                assert_eq!(whole(&store, &item.id).await, Some(item.size));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    assert!(there.len() > 200 && gone.len() > 50, "{} there, {} gone", there.len(), gone.len());
    let mut child = child(test, dir.path(), "half");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("half")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(drafts(dir.path()), 1);
    FileArtifacts::open(dir.path()).unwrap();
    assert_eq!(drafts(dir.path()), 0);
}

const RACES: usize = 60;

/// Stores the same artifacts as other processes, with its own content type. Waits before each one
/// until the others are there, too.
async fn race(dir: &str, role: &str) {
    let store = FileArtifacts::open(dir).unwrap();
    say("ready");
    for number in 0..RACES {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let content = content(number);
        let artifact = Artifact::of(&content).content_type(format!("text/{role}"));
        let outcome = store.put("t", &artifact, pieces(&content)).await.unwrap();
        let head = store.head("t", &artifact.id).await.unwrap().unwrap();
        say(&format!("{outcome:?} {}", head.content_type));
    }
    drop(store);
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_store_the_same_one_is_told_that_it_did_and_its_type_stays() {
    if let Ok(dir) = std::env::var(DIR) {
        race(&dir, &std::env::var(ROLE).unwrap()).await;
    }
    let test = "of_processes_that_store_the_same_one_is_told_that_it_did_and_its_type_stays";
    let dir = tempfile::tempdir().unwrap();
    let mut racers = Vec::new();
    for role in ["a", "b", "c"] {
        let mut child = child(test, dir.path(), role);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")));
        let turn = child.stdin.take().unwrap();
        racers.push((format!("text/{role}"), child, turn, lines));
    }
    let store = FileArtifacts::open(dir.path()).unwrap();
    let mut winners = std::collections::BTreeSet::new();
    for number in 0..RACES {
        for (_, _, turn, _) in &mut racers {
            turn.write_all(b"go\n").unwrap();
        }
        let (mut stored, mut seen) = (Vec::new(), Vec::new());
        for (own, _, _, lines) in &mut racers {
            let line = lines.next().unwrap().unwrap();
            let (outcome, content_type) = line.split_once(' ').unwrap();
            match outcome {
                "Stored" => stored.push(own.clone()),
                other => assert_eq!(other, "Existing"),
            }
            seen.push(content_type.to_owned());
        }
        assert_eq!(stored.len(), 1, "{number}: {stored:?} were told that they stored it");
        assert!(seen.iter().all(|seen| *seen == stored[0]), "{number}: {seen:?} {stored:?}");
        let id = ArtifactId::of(&content(number));
        assert!(whole(&store, &id).await.is_some());
        assert_eq!(store.head("t", &id).await.unwrap().unwrap().content_type, stored[0]);
        winners.extend(stored);
    }
    for (_, mut child, _, _) in racers {
        assert!(child.wait().unwrap().success());
    }
    assert!(winners.len() > 1, "there was no race");
    assert_eq!(drafts(dir.path()), 0);
}

/// A store with one artifact, and its file.
async fn stored(dir: &Path) -> (FileArtifacts, Artifact, PathBuf) {
    let store = FileArtifacts::open(dir).unwrap();
    let content = content(3);
    let artifact = Artifact::of(&content).content_type("text/plain");
    store.put("t", &artifact, pieces(&content)).await.unwrap();
    let [file] = &files_below(&dir.join("a"))[..] else { panic!("one file") };
    (store, artifact, file.clone())
}

/// Changes a file.
type Change<'c> = &'c dyn Fn(&Path);

#[tokio::test]
async fn a_file_that_was_changed_is_refused_until_it_is_deleted() {
    let change = |from: usize, with: &'static [u8]| {
        move |file: &Path| {
            let mut bytes = fs::read(file).unwrap();
            bytes.splice(from..from + with.len(), with.iter().copied());
            fs::write(file, bytes).unwrap();
        }
    };
    let longer = |file: &Path| {
        fs::write(file, [&fs::read(file).unwrap()[..], b"x"].concat()).unwrap();
    };
    let cut =
        |bytes| move |file: &Path| fs::write(file, &fs::read(file).unwrap()[..bytes]).unwrap();
    let folder = |file: &Path| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    };
    let changes: [(&str, Change<'_>, ErrorKind); 8] = [
        ("magic", &change(0, b"x"), ErrorKind::CorruptStore),
        ("format", &change(6, &[2]), ErrorKind::Unsupported),
        ("content type", &change(64, b"T"), ErrorKind::CorruptStore),
        ("longer", &longer, ErrorKind::CorruptStore),
        ("shorter", &cut(400), ErrorKind::CorruptStore),
        ("no content", &cut(320), ErrorKind::CorruptStore),
        ("empty", &cut(0), ErrorKind::CorruptStore),
        ("folder", &folder, ErrorKind::CorruptStore),
    ];
    for (what, change, kind) in changes {
        let dir = tempfile::tempdir().unwrap();
        let (store, artifact, file) = stored(dir.path()).await;
        change(&file);
        let put = store.put("t", &artifact, pieces(&content(3))).await.unwrap_err();
        let head = store.head("t", &artifact.id).await.unwrap_err();
        let get = store.get("t", &artifact.id, None).await.unwrap_err();
        let list = store.list("t", None, 5).await;
        for error in [put, head, get] {
            assert_eq!((error.kind(), error.retry()), (kind, Retry::Never), "{what}: {error}");
            assert!(error.to_string().contains(&artifact.id.to_string()), "{what}: {error}");
        }
        if what == "folder" {
            // It is no file, so it is not listed.
            assert_eq!(list.unwrap().items, []);
            continue;
        }
        assert_eq!(list.unwrap_err().kind(), kind, "{what}");
        store.delete("t", &artifact.id).await.unwrap();
        let again = store.put("t", &artifact, pieces(&content(3))).await.unwrap();
        assert_eq!(again, ArtifactOutcome::Stored, "{what}");
        assert!(whole(&store, &artifact.id).await.is_some());
    }
}

#[tokio::test]
async fn a_file_under_the_name_of_another_artifact_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, file) = stored(dir.path()).await;
    let other = ArtifactId::of(b"other");
    let name = other.to_string();
    let folder = file.parent().unwrap().with_file_name(&name[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&file, folder.join(&name)).unwrap();
    assert_eq!(store.head("t", &other).await.unwrap_err().kind(), ErrorKind::CorruptStore);
    fs::remove_file(folder.join(&name)).unwrap();
    // Names that are no ids, and an id in the folder of others.
    for foreign in ["notes.txt", &name[1..], &name.to_uppercase(), &format!("{name}.bak")] {
        fs::write(folder.join(foreign), b"notes").unwrap();
    }
    let elsewhere = folder.with_file_name(if name.starts_with("00") { "01" } else { "00" });
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join(&name), b"notes").unwrap();
    fs::write(dir.path().join("tmp/notes.txt"), b"notes").unwrap();
    assert_eq!(store.list("t", None, 5).await.unwrap().items.len(), 1);
    store.sweep(Timestamp::MAX).await.unwrap();
    assert!(dir.path().join("tmp/notes.txt").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn links_and_pipes_are_not_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (store, artifact, file) = stored(dir.path()).await;
    let secret = dir.path().join("secret");
    // A right file elsewhere: only the link is wrong.
    fs::rename(&file, &secret).unwrap();
    symlink(&secret, &file).unwrap();
    let refused = async |store: &FileArtifacts| {
        let error = store.get("t", &artifact.id, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
        let error = store.put("t", &artifact, pieces(&content(3))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
        let error = store.list("t", None, 5).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    };
    refused(&store).await;
    store.delete("t", &artifact.id).await.unwrap();
    assert!(secret.exists() && !file.exists());
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    assert_eq!(
        store.head("t", &artifact.id).await.unwrap_err().kind(),
        ErrorKind::CorruptStore,
        "a pipe is not opened"
    );
    fs::remove_file(&file).unwrap();
    // Each folder above, in turn.
    for folder in file.ancestors().skip(1).take(3) {
        fs::rename(&secret, &file).unwrap();
        let moved = dir.path().join("moved");
        fs::rename(folder, &moved).unwrap();
        symlink(&moved, folder).unwrap();
        refused(&store).await;
        fs::remove_file(folder).unwrap();
        fs::rename(&moved, folder).unwrap();
        assert!(whole(&store, &artifact.id).await.is_some());
        fs::rename(&file, &secret).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_ends_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileArtifacts::open(dir.path()).unwrap();
    let content = vec![7; 600_000];
    let artifact = Artifact::of(&content);
    store.put("t", &artifact, in_one_piece(content)).await.unwrap();
    let mut found = store.get("t", &artifact.id, None).await.unwrap().unwrap();
    assert!(found.content.next().await.unwrap().unwrap().len() <= 256 << 10, "one chunk");
    let [file] = &files_below(&dir.path().join("a"))[..] else { panic!("one file") };
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(300_000).unwrap();
    let error = found.content.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
    assert!(found.content.next().await.is_none());
}

#[tokio::test]
async fn the_drafts_of_handles_that_exist_are_not_collected() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileArtifacts::open(dir.path()).unwrap();
    let content = content(11);
    let artifact = Artifact::of(&content);
    assert!(content.len() > 70_000);
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let late = stream::once(async move {
        wait.await.unwrap();
        Ok(Vec::new().into())
    });
    // 256 pieces are handed to the writer before the stream waits.
    let bytes = content.len().div_ceil(256);
    let first: Vec<_> = content.chunks(bytes).map(|piece| Ok(piece.to_vec().into())).collect();
    let empty = (first.len()..256).map(|_| Ok(Vec::new().into()));
    let sent = stream::iter(first).chain(stream::iter(empty.collect::<Vec<_>>())).chain(late);
    let put = tokio::spawn({
        let (store, artifact) = (store.clone(), artifact.clone());
        async move { store.put("t", &artifact, sent.boxed()).await }
    });
    while drafts(dir.path()) == 0 {
        tokio::task::yield_now().await;
    }
    let other = FileArtifacts::open(dir.path()).unwrap();
    assert_eq!(other.sweep(Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(store.sweep(Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(drafts(dir.path()), 1);
    go.send(()).unwrap();
    assert_eq!(put.await.unwrap().unwrap(), ArtifactOutcome::Stored);
    // What a handle that is gone left, and what has no lock any more.
    for name in ["00000000000000aa-7.draft", "00000000000000ab-1.draft", "00000000000000ab.lock"] {
        fs::write(dir.path().join("tmp").join(name), b"left").unwrap();
    }
    assert_eq!(other.sweep(Timestamp::MIN).await.unwrap(), 2);
    drop((store, other));
    assert_eq!(files_below(&dir.path().join("tmp")), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn limits_and_times_are_those_that_were_set() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(Timestamp::from_seconds(70));
    let store = FileArtifacts::open(dir.path()).unwrap().max_bytes(5).clock(Arc::new(clock));
    assert_eq!(store.capabilities().max_bytes, 5);
    let right = Artifact::of(b"12345");
    store.put("t", &right, in_one_piece("12345")).await.unwrap();
    let error = store.put("t", &Artifact::of(b"123456"), in_one_piece("123456")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // A copy of the directory keeps the times, whatever happens to those of the files.
    let other = FileArtifacts::open(dir.path()).unwrap();
    assert_eq!(
        other.list("t", None, 5).await.unwrap().items[0].stored_at,
        Timestamp::from_seconds(70)
    );
}
