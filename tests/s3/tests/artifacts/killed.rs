//! A process that publishes on Ceph and is killed at any moment, also between two requests of one
//! step: what it was told is completed is there and whole, and all else can be continued or is swept.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use futures_util::future::join_all;
use snapfold::publication::{
    PublicationDetails, PublicationId, PublicationPart, PublicationStatus,
};
use snapfold::service::publish::{
    PartUpload, PublishError, PublishRefusal, PublishRequest, Publisher,
};

use crate::press::{all_is_whole, builder, clean, listed};
use crate::*;

const ROOT: &str = "SNAPFOLD_KILLED_ROOT";
const ROUND: &str = "SNAPFOLD_KILLED_ROUND";
const NAME: &str = "killed::a_process_that_is_killed_while_it_publishes_leaves_nothing_half";
const ROUNDS: u32 = 8;
const TASKS: u32 = 3;

fn contents(number: u32) -> [Bytes; 2] {
    [content(4_000, number), content(900, number + 1_000_000)]
}

/// The same request, whichever process makes it. Only one of its artifacts is declared.
fn request(number: u32) -> PublishRequest {
    let plot = Artifact::of(&contents(number)[0]);
    let part = PublicationPart::new().size(plot.size).sha256(plot.id);
    PublishRequest::new(PublicationDetails::default())
        .part("code", PublicationPart::new())
        .part("plot", part)
        .key(number.to_string())
}

/// Publishes as far as an earlier process did not.
async fn publish(
    site: &Site,
    publisher: &Publisher,
    number: u32,
    say: impl Fn(&str, PublicationId),
) {
    let begun = publisher.publish("t", request(number), "ci").await.unwrap();
    let id = begun.publication.id;
    say("begun", id);
    let [plot, code] = contents(number);
    if let Some(PartUpload::Signed(upload)) = begun.uploads.get("plot") {
        let said = site.send(upload, plot).await;
        assert!(["200", "412 PreconditionFailed"].contains(&&*said), "{said}");
    }
    match publisher.receive("t", id, "code", None, in_one_piece(code)).await {
        Ok(_) | Err(PublishError::Refused(PublishRefusal::Sent | PublishRefusal::Completed)) => {}
        Err(error) => panic!("{number}: {error:?}"),
    }
    if number % 5 == 0 {
        publisher.abort("t", id, "ci").await.unwrap();
        return say("aborted", id);
    }
    publisher.finalize("t", id, "ci").await.unwrap();
    say("completed", id);
}

async fn publish_for_ever(site: &Site, round: u32) {
    let publisher = builder(site).await.build().unwrap();
    let tasks = (0..TASKS).map(|task| {
        let (site, publisher) = (site.clone(), publisher.clone());
        tokio::spawn(async move {
            for number in (round * 1_000 + task..).step_by(TASKS as usize) {
                let say = |what: &str, id| {
                    std::io::stdout()
                        .write_all(format!("{what} {number} {id}\n").as_bytes())
                        .unwrap();
                };
                publish(&site, &publisher, number, say).await;
                if number % 4 == 0 {
                    publisher.sweep().await.unwrap();
                }
            }
        })
    });
    join_all(tasks.collect::<Vec<_>>()).await;
}

/// What the processes have said, by the number of the publication.
#[derive(Default)]
struct Said {
    begun: BTreeMap<u32, PublicationId>,
    completed: BTreeSet<u32>,
    aborted: BTreeSet<u32>,
}

impl Said {
    /// Listens to a process, and kills it a moment after a line.
    fn listen(&mut self, site: &Site, round: u32) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(ROOT, site.root.as_ref())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut line, mut reader) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        let mut left = 3 + round * 7 % 20;
        while reader.read_line(&mut line).unwrap() > 0 {
            let words = std::mem::take(&mut line);
            if let [what, number, id] = words.split_whitespace().collect::<Vec<_>>()[..]
                && let Ok(number) = number.parse()
            {
                match what {
                    "begun" => drop(self.begun.insert(number, id.parse().unwrap())),
                    "completed" => assert!(self.completed.insert(number)),
                    "aborted" => assert!(self.aborted.insert(number)),
                    // What the harness says.
                    _ => continue,
                }
                left = left.saturating_sub(1);
                if left == 0 {
                    // A step takes some milliseconds: each round ends in another place of one.
                    let moment = u64::from(round) * 7_919 % 12_000;
                    std::thread::sleep(Duration::from_micros(moment));
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_publishes_leaves_nothing_half() {
    if let Ok(root) = std::env::var(ROOT) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        let site = Site { root: Path::from(root), ..Site::new() };
        publish_for_ever(&site, round).await;
    }
    let (site, mut said) = (Site::new(), Said::default());
    let mut continued = 0;
    for round in 1..=ROUNDS {
        said = {
            let place = site.clone();
            let heard = tokio::task::spawn_blocking(move || {
                said.listen(&place, round);
                said
            });
            heard.await.unwrap()
        };
        let publisher = builder(&site).await.build().unwrap();
        all_is_whole(&publisher).await;
        let all = listed(&publisher, false).await;
        let status = |id: &PublicationId| {
            let found = all.iter().find(|it| it.id == *id);
            found.unwrap_or_else(|| panic!("round {round}: {id} is lost")).status
        };
        for (number, id) in &said.begun {
            let status = status(id);
            let (is_completed, is_aborted) =
                (said.completed.contains(number), said.aborted.contains(number));
            assert!(!is_completed || status == PublicationStatus::Completed, "{number}: {status}");
            assert!(!is_aborted || matches!(status, PublicationStatus::Failed(_)), "{number}");
        }
        // In every other round, the next process continues. What the others began expires.
        for (number, id) in said.begun.range(round * 1_000..).filter(|_| round % 2 == 0) {
            if number % 5 != 0 {
                continued += usize::from(status(id) == PublicationStatus::Generating);
                publish(&site, &publisher, *number, |_, same| assert_eq!(same, *id)).await;
                let end = publisher.get("t", *id).await.unwrap().unwrap();
                assert_eq!(end.status, PublicationStatus::Completed);
                said.completed.insert(*number);
            }
        }
    }
    let swept = clean(&site).await;
    let publisher = builder(&site).await.build().unwrap();
    let all = listed(&publisher, false).await;
    assert!(all.iter().all(|it| it.status != PublicationStatus::Generating));
    let visible: BTreeSet<_> = listed(&publisher, true).await.into_iter().map(|it| it.id).collect();
    assert!(said.completed.iter().all(|number| visible.contains(&said.begun[number])));
    let completed = said.completed.len();
    println!(
        "{ROUNDS} kills, {} begun, {completed} completed, {} aborted, {continued} continued; \
         {} expired, {} uploads swept",
        said.begun.len(),
        said.aborted.len(),
        swept.expired,
        swept.uploads
    );
    assert!(completed > 15 && said.aborted.len() > 3 && continued > 0 && swept.expired > 0);
}
