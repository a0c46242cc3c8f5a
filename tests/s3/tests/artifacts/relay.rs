//! Lost requests, lost answers and refusals, at each request of a call. The outcome is true, or the
//! call fails and can be repeated. Nobody ever sees wrong content.

use futures_util::future::join_all;
use snapfold::Error;
use snapfold_s3::{Ending, Fault};

use crate::*;

fn faults() -> [(&'static str, Fault); 5] {
    [
        ("a lost request", Fault::LoseRequest(Ending::Reset)),
        ("a lost answer", Fault::LoseAnswer(Ending::Reset)),
        ("a refusal", Fault::Refuse(503)),
        ("a false refusal", Fault::Replace(503)),
        ("a repeated request", Fault::Twice),
    ]
}

/// The kinds of requests that a call makes, as the relay chooses them.
const HEAD: (&str, &str) = ("HEAD", "/a/t/");
const GET: (&str, &str) = ("GET", "/u/t/");
const PUT: (&str, &str) = ("PUT", "/a/t/");
const DELETE: (&str, &str) = ("POST", "?delete");
const START: (&str, &str) = ("POST", "?uploads");
const PART: (&str, &str) = ("PUT", "partNumber=2");
const COMPLETE: (&str, &str) = ("POST", "uploadId=");

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Put,
    Finish,
    Delete,
}

/// Ceph and the relay, and content that is right or wrong.
struct Lab<'r> {
    site: Site,
    relay: &'r Relay,
    artifact: Artifact,
    right: Bytes,
    given: Bytes,
}

impl Lab<'_> {
    async fn call(&self, store: &ObjectStoreArtifacts, call: Call) -> Result<bool, Error> {
        let upload = Upload::new("t", "u", &self.artifact);
        match call {
            Call::Put => {
                let put = store.put("t", &self.artifact, in_one_piece(self.given.clone()));
                put.await.map(ArtifactOutcome::is_stored)
            }
            Call::Finish => store.finish(upload).await.map(ArtifactOutcome::is_stored),
            Call::Delete => store.delete("t", &self.artifact.id).await.map(|()| false),
        }
    }

    /// One call with one fault, and then the same call again, as an application repeats it.
    async fn run(&self, call: Call, client: Arc<dyn ObjectStore>, at: (&str, &str), fault: Fault) {
        let upload = Upload::new("t", "u", &self.artifact);
        if call == Call::Finish {
            let signed = self.site.sign(upload).await;
            assert_eq!(self.site.send(&signed, self.given.clone()).await, "200");
        }
        if call == Call::Delete {
            let store = self.site.unsigned();
            let stored = store.put("t", &self.artifact, in_one_piece(self.right.clone())).await;
            assert_eq!(stored.unwrap(), ArtifactOutcome::Stored);
        }
        let store = self.site.with(client);
        self.relay.take_requests();
        self.relay.next(at.0, at.1, fault);
        let told = self.call(&store, call).await;
        let met = self.relay.take_requests();
        let is_it = |met: &String| met.starts_with(at.0) && met.contains(at.1);
        assert!(met.iter().any(is_it), "there was no such request: {met:?}");
        self.relay.heal();

        let seen = self.site.seen(&self.artifact.id, self.right.len()).await;
        assert!(seen.as_ref().is_none_or(|seen| *seen == self.right), "wrong content");
        match told {
            Ok(stored) => assert_eq!(stored, seen.is_some(), "the outcome is not true"),
            Err(error) => assert!(error.is_retryable(), "{error:#}"),
        }
        let again = self.call(&store, call).await.unwrap();
        let expected = call != Call::Delete && self.given == self.right;
        assert_eq!(again, expected, "the outcome of the second call");
        self.site.holds(&self.artifact.id, expected.then_some(&self.right)).await;
        assert_eq!(self.site.objects().await.len(), usize::from(expected), "no upload is left");
    }
}

/// Runs a call with each fault at each of its requests.
async fn harm(call: Call, bytes: usize, is_right: bool, tries: &[usize], at: &[(&str, &str)]) {
    let first = Site::new();
    let relay = &Relay::before(first.server.clone()).await;
    let right = content(bytes, 1);
    let given = if is_right { right.clone() } else { content(bytes, 2) };
    for tries in tries {
        let client = relay.server().retrying(*tries);
        for at in at {
            for (name, fault) in faults() {
                println!("{call:?} with {tries} retries, {name} at {at:?}");
                let (right, given) = (right.clone(), given.clone());
                let (site, artifact) = (first.elsewhere(), Artifact::of(&right));
                let lab = Lab { site, relay, artifact, right, given };
                lab.run(call, Arc::clone(&client), *at, fault).await;
            }
        }
    }
}

const SMALL: usize = 5_000;
/// Two parts.
const LARGE: usize = (8 << 20) + 5;

#[tokio::test]
async fn a_put_is_true_or_fails() {
    harm(Call::Put, SMALL, true, &[0, 2], &[HEAD, PUT]).await;
    harm(Call::Put, SMALL, false, &[0, 2], &[HEAD]).await;
}

#[tokio::test]
async fn a_finish_is_true_or_fails() {
    harm(Call::Finish, SMALL, true, &[0, 2], &[HEAD, GET, PUT, DELETE]).await;
    harm(Call::Finish, SMALL, false, &[0, 2], &[HEAD, GET, DELETE]).await;
}

#[tokio::test]
async fn a_delete_is_true_or_fails() {
    harm(Call::Delete, SMALL, true, &[0, 2], &[DELETE]).await;
}

#[tokio::test]
async fn a_large_put_is_true_or_fails() {
    harm(Call::Put, LARGE, true, &[0], &[START, PART, COMPLETE]).await;
    harm(Call::Put, LARGE, true, &[2], &[COMPLETE]).await;
    harm(Call::Put, LARGE, false, &[0], &[PART]).await;
}

/// Ceph does not delete what somebody writes at the same time, and says `UnknownError`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_beside_writes_succeeds() {
    let (site, right) = (Site::new(), content(50_000, 1));
    let artifact = Artifact::of(&right);
    let tasks = (0..8).map(|task| {
        let (store, artifact, right) = (site.unsigned(), artifact.clone(), right.clone());
        tokio::spawn(async move {
            for _ in 0..40 {
                if task % 2 == 0 {
                    let put = store.put("t", &artifact, in_one_piece(right.clone())).await;
                    assert!(put.unwrap().is_stored());
                } else {
                    store.delete("t", &artifact.id).await.unwrap();
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let seen = site.seen(&artifact.id, right.len()).await;
    assert!(seen.is_none_or(|seen| seen == right));
}
