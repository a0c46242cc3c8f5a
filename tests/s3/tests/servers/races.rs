//! Many writers of one object, at the same time.

use std::collections::BTreeSet;

use object_store::{ObjectStoreExt as _, PutMode, UpdateVersion};
use snapfold_s3::Server;

use crate::{Bucket, kind, tag, unquoted};

const ROUNDS: usize = 60;
const WRITERS: usize = 32;

/// How one round ended.
struct Round {
    /// The bodies of those who were told that they won, and what the others were told.
    winners: Vec<String>,
    told: BTreeSet<String>,
    body: String,
}

/// All writers try the same, each with a body of its own.
async fn round(bucket: &Bucket, name: &str, mode: PutMode) -> Round {
    let writers = (0..WRITERS).map(|writer| {
        let (bucket, key, mode) = (bucket.clone(), bucket.key(name), mode.clone());
        tokio::spawn(async move {
            let body = format!("writer {writer}");
            let put = bucket.store.put_opts(&key, body.clone().into(), mode.into()).await;
            put.map(|_| body)
        })
    });
    let (mut winners, mut told) = (Vec::new(), BTreeSet::new());
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(body) => winners.push(body),
            Err(error) => drop(told.insert(kind(&error))),
        }
    }
    let body = String::from_utf8(bucket.get(name).await).unwrap();
    Round { winners, told, body }
}

/// What writers try in a round.
#[derive(Clone, Copy)]
enum Try {
    Create,
    Update,
}

/// Whether in each round one writer won, and its body is there: then, what all losers were told.
async fn one_winner_each(bucket: &Bucket, what: Try) -> Option<Vec<String>> {
    let mut told = BTreeSet::new();
    for i in 0..ROUNDS {
        let name = i.to_string();
        let mode = match what {
            Try::Create => PutMode::Create,
            Try::Update => {
                let first = tag(bucket.create(&name, "first").await.unwrap());
                let e_tag = Some(unquoted(&first).to_owned());
                PutMode::Update(UpdateVersion { e_tag, version: None })
            }
        };
        let round = round(bucket, &name, mode).await;
        if round.winners != [round.body] {
            return None;
        }
        told.extend(round.told);
    }
    Some(told.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ceph_lets_one_of_many_creators_win() {
    let told = one_winner_each(&Bucket::of(Server::ceph()), Try::Create).await;
    assert_eq!(told.unwrap(), ["AlreadyExists"]);
}

/// Those who come while another one writes are told of an error of the server, and nothing was
/// written for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ceph_lets_one_of_many_updaters_win() {
    let told = one_winner_each(&Bucket::of(Server::ceph()), Try::Update).await.unwrap();
    assert!(told.iter().all(|told| ["Generic 500", "Precondition"].contains(&told.as_str())));
}

/// It looks first and writes then. This is what shows that the tests above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3s_lets_several_creators_and_several_updaters_win() {
    for what in [Try::Create, Try::Update] {
        let bucket = Bucket::of(Server::s3s().await);
        assert_eq!(one_winner_each(&bucket, what).await, None);
    }
}

/// As `object_store` does when it is not told otherwise: it sends the request again after a 500.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ceph_tells_updaters_that_try_again_that_they_lost() {
    let server = Server::ceph();
    let bucket = Bucket { store: server.retrying(100), ..Bucket::of(server) };
    let told = one_winner_each(&bucket, Try::Update).await;
    assert_eq!(told.unwrap(), ["Precondition"]);
}

/// Reads, adds one and writes under the condition that nobody else did, until it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ceph_loses_no_increment_of_many_counters() {
    let bucket = Bucket::of(Server::ceph());
    bucket.create("count", "0").await.unwrap();
    let counters = (0..8).map(|_| {
        let bucket = bucket.clone();
        tokio::spawn(async move {
            for _ in 0..8 {
                increment(&bucket).await;
            }
        })
    });
    for counter in counters.collect::<Vec<_>>() {
        counter.await.unwrap();
    }
    assert_eq!(bucket.get("count").await, b"64");
}

async fn increment(bucket: &Bucket) {
    let key = bucket.key("count");
    loop {
        let got = bucket.store.get(&key).await.unwrap();
        let tag = got.meta.e_tag.clone().unwrap();
        let body = got.bytes().await.unwrap();
        let count: u64 = str::from_utf8(&body).unwrap().parse().unwrap();
        let version = UpdateVersion { e_tag: Some(unquoted(&tag).to_owned()), version: None };
        let next = (count + 1).to_string().into();
        match bucket.store.put_opts(&key, next, PutMode::Update(version).into()).await {
            Ok(_) => return,
            Err(lost) => assert!(["Generic 500", "Precondition"].contains(&kind(&lost).as_str())),
        }
    }
}
