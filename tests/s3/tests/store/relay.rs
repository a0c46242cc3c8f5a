//! A store behind a relay that does harm to each request of each call.
//!
//! Each call ends, what it says is true or `Unknown`, and afterwards the store is right: nothing that
//! was acknowledged is lost, nothing that was deleted comes back, and later calls work.

use std::time::Duration;

use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::store::{ListRequest, SnapshotStoreExt as _};
use snapfold::{AggregateKey, ErrorKind};
use snapfold_s3::history::{Answer, Call, State};
use snapfold_s3::{Ending, Fault, Gate, Relay, Server, samples};

/// One request of a call: its method, and the folder of what it is for, if it names that.
type Target = (&'static str, Option<&'static str>);

const READ_INDEX: Target = ("GET", Some("x"));
const WRITE_INDEX: Target = ("PUT", Some("x"));
const READ_RECORD: Target = ("GET", Some("r"));
const WRITE_RECORD: Target = ("PUT", Some("r"));
const DELETE_OBJECTS: Target = ("POST", None);

/// Whether the handle has the index of the aggregate in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Index {
    Known,
    Unknown,
}

const STATUSES: [u16; 5] = [409, 412, 429, 500, 503];
/// The time limit of a handle whose requests are held.
const SHORT: Duration = Duration::from_millis(300);
/// No call takes that long, whatever happens.
const HANG: Duration = Duration::from_secs(60);

/// A store on Ceph, reached directly, and through a relay.
struct Lab {
    relay: Relay,
    root: String,
    direct: ObjectStoreSnapshots,
    cases: u32,
}

/// Everything that happens to a request at once, with a name.
fn faults(statuses: &[u16]) -> Vec<(String, Fault)> {
    let mut faults = vec![("twice".to_owned(), Fault::Twice)];
    for ending in [Ending::Close, Ending::Reset] {
        faults.push((format!("lost request, {ending:?}"), Fault::LoseRequest(ending)));
        faults.push((format!("lost answer, {ending:?}"), Fault::LoseAnswer(ending)));
    }
    for status in statuses.iter().copied() {
        faults.push((format!("{status} before"), Fault::Refuse(status)));
        faults.push((format!("{status} after"), Fault::Replace(status)));
    }
    faults
}

impl Lab {
    async fn new() -> Self {
        let relay = Relay::before(Server::ceph()).await;
        let root = relay.server().prefix().to_string();
        let direct = open(&Server::ceph(), 0, &root, Duration::from_secs(30)).await;
        Self { relay, root, direct, cases: 0 }
    }

    /// A handle whose client repeats requests up to `times`.
    async fn handle(&self, times: usize, timeout: Duration) -> ObjectStoreSnapshots {
        open(self.relay.server(), times, &self.root, timeout).await
    }

    /// An aggregate of its own with the snapshots 1 and 3, of which the index has a copy of 3.
    async fn aggregate(&mut self) -> AggregateKey {
        self.cases += 1;
        let key = samples::key(&format!("case{:04}", self.cases));
        for (version, payload) in [(1, 10), (3, 30)] {
            let stored = Call::Put(payload).make(&self.direct, &key, version).await;
            assert_eq!(stored.answer, Answer::Stored);
        }
        key
    }

    fn part(key: &AggregateKey, (_, folder): Target) -> String {
        folder.map_or("?delete".to_owned(), |folder| format!("/{folder}/~/account/{}", key.id()))
    }

    /// Does each fault to one request of a call, with both kinds of clients.
    async fn each_fault(&mut self, call: Call, version: u64, index: Index, target: Target) {
        for times in [0, 3] {
            let handle = self.handle(times, Duration::from_secs(30)).await;
            for (name, fault) in faults(&STATUSES) {
                let name = format!("{call:?}, {index:?}, {target:?}, {times} tries more, {name}");
                let key = self.aggregate().await;
                let before = state(&self.direct, &key, version).await;
                if index == Index::Known {
                    handle.newest(&key).await.unwrap();
                }
                self.relay.take_requests();
                self.relay.next(target.0, &Self::part(&key, target), fault);
                let made = tokio::time::timeout(HANG, call.make(&handle, &key, version)).await;
                let answer = made.unwrap_or_else(|_| panic!("{name} hangs")).answer;
                let requests = self.relay.take_requests();
                let part = Self::part(&key, target);
                let fits = |it: &String| it.starts_with(target.0) && it.contains(&part);
                assert!(requests.iter().any(fits), "{name}: {requests:#?}");
                self.relay.heal();
                self.is_right(&name, call, answer, before, &key, version).await;
                goes_on(&name, &handle, &key).await;
                assert_eq!(state(&self.direct, &key, 3).await, Some((30, false)), "{name}");
            }
        }
    }

    /// What is stored fits to the answer.
    async fn is_right(
        &self,
        name: &str,
        call: Call,
        answer: Answer,
        before: State,
        key: &AggregateKey,
        version: u64,
    ) {
        let now = state(&self.direct, key, version).await;
        let (after, right) = call.applied(before);
        match answer {
            Answer::Unknown => assert!(now == before || now == after, "{name}: {now:?}"),
            Answer::Failed => assert_eq!(now, before, "{name}"),
            answer => assert_eq!((answer, now), (right, after), "{name}"),
        }
    }

    /// A request that arrives after the time limit of the call.
    async fn late(&mut self, call: Call, version: u64, index: Index, target: Target) {
        let name = format!("{call:?}, {index:?}, {target:?} late");
        let (key, gate) = (self.aggregate().await, Gate::closed());
        let before = state(&self.direct, &key, version).await;
        let handle = self.handle(3, SHORT).await;
        if index == Index::Known {
            handle.newest(&key).await.unwrap();
        }
        self.relay.next(target.0, &Self::part(&key, target), Fault::Hold(gate.clone()));
        let made = tokio::time::timeout(HANG, call.try_on(&handle, &key, version)).await;
        let error = made.unwrap_or_else(|_| panic!("{name} hangs")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{name}: {error}");
        assert_eq!(state(&self.direct, &key, version).await, before, "{name}");
        gate.open();
        gate.passed().await;
        let answer = if call == Call::Get { Answer::Failed } else { Answer::Unknown };
        self.is_right(&name, call, answer, before, &key, version).await;
        // Now that the request is done, a call with the same effect has it.
        let handle = self.handle(3, Duration::from_secs(30)).await;
        call.try_on(&handle, &key, version).await.unwrap();
        let now = state(&self.direct, &key, version).await;
        assert_eq!(now, call.applied(before).0, "{name}");
        goes_on(&name, &handle, &key).await;
    }

    /// A request that arrives once more, after others changed or deleted what it wrote.
    async fn again(&mut self, call: Call, version: u64, index: Index, target: Target) {
        let name = format!("{call:?}, {index:?}, {target:?} again");
        let (key, gate) = (self.aggregate().await, Gate::closed());
        let handle = self.handle(3, Duration::from_secs(30)).await;
        if index == Index::Known {
            handle.newest(&key).await.unwrap();
        }
        let before = state(&self.direct, &key, version).await;
        self.relay.next(target.0, &Self::part(&key, target), Fault::Again(gate.clone()));
        let answer = call.make(&handle, &key, version).await.answer;
        self.is_right(&name, call, answer, before, &key, version).await;
        Call::Unpin.make(&self.direct, &key, version).await;
        Call::Delete.make(&self.direct, &key, version).await;
        gate.open();
        gate.passed().await;
        for store in [&self.direct, &handle] {
            assert_eq!(state(store, &key, version).await, None, "{name}");
        }
        let stored = Call::Put(50).make(&handle, &key, version).await;
        assert_eq!(stored.answer, Answer::Stored, "{name}");
        assert_eq!(state(&self.direct, &key, version).await, Some((50, false)), "{name}");
        goes_on(&name, &handle, &key).await;
    }

    async fn all(&mut self, call: Call, version: u64, targets: &[(Index, Target)]) {
        for (index, target) in targets {
            self.each_fault(call, version, *index, *target).await;
            if target.0 != "POST" {
                self.late(call, version, *index, *target).await;
            }
            if target.0 == "PUT" {
                self.again(call, version, *index, *target).await;
            }
        }
    }
}

async fn open(
    server: &Server,
    times: usize,
    root: &str,
    timeout: Duration,
) -> ObjectStoreSnapshots {
    let options = ObjectStoreOptions::new().timeout(timeout);
    ObjectStoreSnapshots::open_with(server.retrying(times), root, options).await.unwrap()
}

/// What a list and a lookup say, which must be the same.
async fn state(store: &ObjectStoreSnapshots, key: &AggregateKey, version: u64) -> State {
    let listed = store.list_all(ListRequest::new(key)).await.unwrap();
    let listed = listed.iter().find(|meta| meta.version == version);
    match (Call::Get.try_on(store, key, version).await.unwrap(), listed) {
        (Answer::Found(payload), Some(meta)) => Some((payload, meta.marks.is_pinned())),
        (Answer::Absent, None) => None,
        different => panic!("{different:?}"),
    }
}

/// Later calls of the same handle work.
async fn goes_on(name: &str, handle: &ObjectStoreSnapshots, key: &AggregateKey) {
    for (call, answer) in [
        (Call::Put(40), Answer::Stored),
        (Call::Get, Answer::Found(40)),
        (Call::Delete, Answer::Changed(1)),
        (Call::Get, Answer::Absent),
    ] {
        assert_eq!(call.make(handle, key, 4).await.answer, answer, "{name}, then {call:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_with_a_harmed_request_says_what_it_did() {
    let targets = [
        (Index::Known, WRITE_RECORD),
        (Index::Known, WRITE_INDEX),
        (Index::Unknown, READ_INDEX),
        (Index::Unknown, WRITE_RECORD),
        (Index::Unknown, WRITE_INDEX),
    ];
    Lab::new().await.all(Call::Put(20), 2, &targets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_with_a_harmed_request_says_what_it_did() {
    let targets =
        [(Index::Unknown, READ_INDEX), (Index::Known, WRITE_INDEX), (Index::Known, DELETE_OBJECTS)];
    Lab::new().await.all(Call::Delete, 1, &targets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_with_a_harmed_request_says_what_it_did() {
    let targets = [(Index::Unknown, READ_INDEX), (Index::Known, WRITE_INDEX)];
    Lab::new().await.all(Call::Pin, 1, &targets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_with_a_harmed_request_says_what_it_did() {
    let targets = [
        (Index::Unknown, READ_INDEX),
        (Index::Known, WRITE_RECORD),
        (Index::Known, WRITE_INDEX),
        (Index::Known, DELETE_OBJECTS),
    ];
    Lab::new().await.all(Call::Rewrite(10, 11), 1, &targets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_with_a_harmed_request_finds_the_snapshot_or_fails() {
    let targets =
        [(Index::Unknown, READ_INDEX), (Index::Known, READ_INDEX), (Index::Unknown, READ_RECORD)];
    Lab::new().await.all(Call::Get, 1, &targets).await;
}

/// The requests of `open`, in order, for a new root on Ceph.
const OPENING: [Target; 10] = [
    ("GET", Some("/snapfold")),
    ("GET", Some("list-type")),
    ("GET", Some("list-type")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/probe/")),
    ("PUT", Some("/snapfold")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_with_a_harmed_request_succeeds_or_can_be_repeated() {
    let relay = Relay::before(Server::ceph()).await;
    for (at, (method, part)) in OPENING.into_iter().enumerate() {
        let part = part.unwrap_or_default();
        let earlier = OPENING[..at].iter().filter(|it| **it == (method, Some(part))).count();
        for times in [0, 3] {
            for (name, fault) in faults(&[412, 500]) {
                let name = format!("request {at}, {times} tries more, {name}");
                let root = relay.server().prefix().to_string();
                for _ in 0..earlier {
                    relay.next(method, part, Fault::Delay(Duration::ZERO));
                }
                relay.next(method, part, fault.clone());
                let opened = ObjectStoreSnapshots::open(relay.server().retrying(times), &root);
                let opened = tokio::time::timeout(HANG, opened).await;
                relay.heal();
                let opened = opened.unwrap_or_else(|_| panic!("{name} hangs"));
                // Nothing but the answer says whether the server takes a condition.
                let lies = matches!(fault, Fault::Refuse(412));
                let store = match opened {
                    Ok(store) => store,
                    Err(error) => {
                        let can_be_repeated = error.is_retryable() || lies;
                        assert!(can_be_repeated, "{name}: {error}: {:?}", error.kind());
                        open(relay.server(), times, &root, Duration::from_secs(30)).await
                    }
                };
                goes_on(&name, &store, &samples::key("a")).await;
            }
        }
    }
}
