//! Publications over files, in a process that is killed at any step of any of them: what it was told
//! is completed is there and whole, nothing is half published, and what it left behind is collected.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use snapfold::Timestamp;
use snapfold::artifact::{Artifact, ArtifactId, in_one_piece};
use snapfold::engine::ManualClock;
use snapfold::file::{FileArtifacts, FileStore};
use snapfold::publication::{
    Publication, PublicationDetails, PublicationId, PublicationPart, PublicationStatus,
    PublicationsRequest, StorePublications,
};
use snapfold::service::publish::{
    PublishError, PublishRefusal, PublishRequest, Publisher, PublisherBuilder,
};

const DIR: &str = "SNAPFOLD_PUBLISHED_DIR";
const ROUND: &str = "SNAPFOLD_PUBLISHED_ROUND";
const NAME: &str = "published::a_process_that_is_killed_while_it_publishes_leaves_nothing_half";
const WRITERS: u64 = 3;

fn builder(dir: &Path) -> PublisherBuilder {
    let store = FileStore::builder(dir.join("snapshots")).reserve_bytes(0).open().unwrap();
    let artifacts = FileArtifacts::open(dir.join("artifacts")).unwrap();
    Publisher::builder(Arc::new(StorePublications::new(store)), Arc::new(artifacts))
}

/// Some contents belong to many publications, which come and go.
fn content(number: u64, name: &str) -> Vec<u8> {
    let shared = if name == "plot" { number % 4 } else { number };
    let len = usize::try_from(shared * 7_919 % 50_000).unwrap();
    let mut content = format!("{name} {shared} ").into_bytes();
    content.resize(content.len() + len, u8::try_from(shared % 251).unwrap());
    content
}

/// The same request, whichever process makes it.
fn request(number: u64) -> PublishRequest {
    let mut request = PublishRequest::new(PublicationDetails::default());
    for name in ["plot", "code"] {
        let artifact = Artifact::of(&content(number, name));
        let part = PublicationPart::new();
        let is_declared = number.is_multiple_of(2);
        let part = if is_declared { part.size(artifact.size).sha256(artifact.id) } else { part };
        request = request.part(name, part);
    }
    request.key(number.to_string())
}

async fn send(publisher: &Publisher, number: u64, id: PublicationId) {
    for name in ["plot", "code"] {
        let content = in_one_piece(content(number, name));
        match publisher.receive("p", id, name, None, content).await {
            Ok(_) | Err(PublishError::Refused(PublishRefusal::Sent)) => {}
            Err(error) => panic!("{number}: {error:?}"),
        }
    }
}

async fn publish_for_ever(dir: &Path, round: u64) {
    let publisher = builder(dir).build().unwrap();
    let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
    for writer in 0..WRITERS {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            for number in (round * 100_000 + writer..).step_by(WRITERS as usize) {
                let begun = publisher.publish("p", request(number), "ci").await.unwrap();
                let id = begun.publication.id;
                say(format!("begun {number} {id}\n"));
                send(&publisher, number, id).await;
                if number % 5 == 0 {
                    publisher.abort("p", id, "ci").await.unwrap();
                    say(format!("aborted {number} {id}\n"));
                    continue;
                }
                match publisher.finalize("p", id, "ci").await {
                    Ok(_) => say(format!("completed {number} {id}\n")),
                    // A plot that nobody else has any more is just being collected.
                    Err(PublishError::Refused(
                        PublishRefusal::Removing | PublishRefusal::Incomplete(_),
                    )) => {}
                    Err(error) => panic!("{number}: {error:?}"),
                }
            }
        });
    }
    loop {
        publisher.sweep().await.unwrap();
        publisher.collect("p").await.unwrap();
        say("swept 0 0\n".to_owned());
    }
}

async fn all(publisher: &Publisher) -> Vec<Publication> {
    let (mut all, mut request) = (Vec::new(), PublicationsRequest::new("p").completed(false));
    loop {
        let page = publisher.list(request).await.unwrap();
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        request = request.after(next);
    }
}

async fn whole(publisher: &Publisher, publication: &Publication) {
    for (name, part) in &publication.parts {
        let found = publisher.open(publication, name, None).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{} lost {name}", publication.id));
        let bytes = found.bytes(1 << 20).await.unwrap().unwrap();
        assert_eq!(ArtifactId::of(&bytes), part.stored.as_ref().unwrap().id);
    }
}

async fn stored(publisher: &Publisher) -> BTreeSet<ArtifactId> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = publisher.artifacts().list("p", after.as_ref(), 1_000).await.unwrap();
        all.extend(page.items.iter().map(|it| it.id));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// What the processes have said.
#[derive(Default)]
struct Said {
    begun: BTreeMap<u64, PublicationId>,
    completed: BTreeSet<PublicationId>,
    aborted: BTreeSet<PublicationId>,
    sweeps: usize,
}

impl Said {
    /// Listens to a process, and kills it after so many lines.
    fn listen(&mut self, dir: &Path, round: u64, mut lines: usize) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(DIR, dir)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut line, mut reader) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        while reader.read_line(&mut line).unwrap() > 0 {
            if let [what, number, id] = line.split_whitespace().collect::<Vec<_>>()[..]
                && let Ok(number) = number.parse()
            {
                let id = id.parse();
                match what {
                    "begun" => drop(self.begun.insert(number, id.unwrap())),
                    "completed" => assert!(self.completed.insert(id.unwrap())),
                    "aborted" => assert!(self.aborted.insert(id.unwrap())),
                    _ => self.sweeps += 1,
                }
                lines = lines.saturating_sub(usize::from(what != "swept"));
                if lines == 0 {
                    // What it says until it is dead counts as well.
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_publishes_leaves_nothing_half() {
    if let Ok(dir) = std::env::var(DIR) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        publish_for_ever(Path::new(&dir), round).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut said, mut continued) = (Said::default(), 0);
    for round in 1..=16_u64 {
        said.listen(dir.path(), round, usize::try_from(3 + round * 2).unwrap());
        let now = Timestamp::from(SystemTime::now());
        let publisher = builder(dir.path()).build().unwrap();
        for it in all(&publisher).await {
            match it.status {
                PublicationStatus::Completed => whole(&publisher, &it).await,
                _ => assert!(!said.completed.contains(&it.id), "round {round}: {it:?}"),
            }
            assert!(it.status != PublicationStatus::Generating || !said.aborted.contains(&it.id));
        }
        // Who repeats a request finds what it began, and can complete it.
        let last = said.begun.last_key_value();
        let (number, id) = last.map(|(number, id)| (*number, *id)).expect("something was begun");
        if !said.aborted.contains(&id) && number % 5 != 0 {
            let begun = publisher.publish("p", request(number), "ci").await.unwrap();
            assert_eq!(begun.publication.id, id, "round {round}");
            if begun.publication.status == PublicationStatus::Generating {
                send(&publisher, number, id).await;
                continued += usize::from(publisher.finalize("p", id, "ci").await.is_ok());
            }
        }
        drop(publisher);
        // A day later, nothing is pending, and nothing is stored in vain.
        let tomorrow = ManualClock::at(now.saturating_add(Duration::from_secs(86_400)));
        let publisher = builder(dir.path()).clock(tomorrow).build().unwrap();
        publisher.sweep().await.unwrap();
        assert!(!publisher.collect("p").await.unwrap().is_elsewhere);
        let mut referred = BTreeSet::new();
        for it in all(&publisher).await {
            assert_ne!(it.status, PublicationStatus::Generating);
            if it.status == PublicationStatus::Completed {
                whole(&publisher, &it).await;
                referred.extend(it.parts.values().map(|part| part.stored.as_ref().unwrap().id));
            }
        }
        assert_eq!(stored(&publisher).await, referred, "round {round}");
        let drafts = std::fs::read_dir(dir.path().join("artifacts/tmp")).unwrap();
        let is_draft = |name: &str| name.ends_with(".draft");
        let drafts =
            drafts.filter(|it| is_draft(it.as_ref().unwrap().file_name().to_str().unwrap()));
        assert_eq!(drafts.count(), 0, "round {round}");
    }
    let (completed, aborted) = (said.completed.len(), said.aborted.len());
    println!(
        "{completed} completed, {aborted} aborted, {continued} continued, {} sweeps",
        said.sweeps
    );
    assert!(completed > 60 && aborted > 15 && continued > 2 && said.sweeps > 15);
}
