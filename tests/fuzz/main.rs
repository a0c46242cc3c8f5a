//! No bytes, in whatever place, may bring a process down: not a record, not a header, not a payload,
//! not the files of a store, not a file of keys, not a request. The defect: a length is believed, a checksum taken for
//! proof of good intent, an index is off by one at the end of a torn file, and the process panics,
//! hangs or asks for all memory there is, again after each restart.
//!
//! The bodies in `bodies` are run here on random bytes and on mutations of the golden files, the
//! same ones each time. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` run more or others; `fuzz/README.md`
//! tells how to run the same bodies under cargo-fuzz, without an end.

#![cfg(all(
    feature = "bincode",
    feature = "cache",
    feature = "conformance",
    feature = "file",
    feature = "http",
    feature = "json",
    feature = "lz4",
    feature = "memory",
    feature = "msgpack",
    feature = "postcard"
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod bodies;
mod corpus;
mod mutation;
#[path = "../property/mod.rs"]
mod property;

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

use bodies::shop::KNOWN;
use bodies::{FILE_STORE, HEADER, KEY_FILE, PAYLOAD, RECORD, REQUEST, Target, packed, payload};
use mutation::{FileMutation, LENGTHS, file_mutation, mutation};

/// How long one target may take before it is taken to hang. Nothing waits for it.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// Runs a target on inputs of this strategy; a failing one is shrunk, and kept for cargo-fuzz.
fn holds<S>(target: Target, seed: u64, cases: u32, inputs: impl Fn() -> S + Send + 'static)
where
    S: Strategy<Value = Input>,
{
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runner = property::runner(seed, cases, 4_000);
        let result = runner.run(&inputs(), |input| try_on(target, &input.0));
        let _ = done.send(result.map_err(|failure| failure.to_string()));
    });
    // Only whether it ends matters, so the machine may be as slow as it likes.
    match outcome.recv_timeout(HANGS_AFTER) {
        Ok(Ok(())) => drop(fs::remove_file(kept(target))),
        Ok(Err(failure)) => panic!("{}: {failure}", target.name),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{}: it hangs, on the input in {}", target.name, kept(target).display())
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{}: see above", target.name),
    }
}

/// Where the input that is being tried is kept: in memory, as there are thousands.
fn kept(target: Target) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { env!("CARGO_TARGET_TMPDIR").into() };
    dir.join(format!("snapfold-fuzz-{}.input", target.name))
}

fn try_on(target: Target, input: &[u8]) -> Result<(), TestCaseError> {
    let path = kept(target);
    // A process that is aborted leaves it behind.
    fs::write(&path, input).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text = text.unwrap_or_default();
        TestCaseError::fail(format!("{text} (an input that does this is in {})", path.display()))
    })
}

/// The bytes that a target is given. Failures print their number only: the file has them.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

fn noise() -> impl Strategy<Value = Input> {
    prop::collection::vec(any::<u8>(), 0..400).prop_map(Input)
}

/// Inputs of the corpus with a few changes, under any flags.
fn changed(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let changes = prop::collection::vec(mutation(), 0..5);
    (any::<Index>(), 0..4_u8, changes).prop_map(move |(which, flags, changes)| {
        let mut input = corpus[which.index(corpus.len())].clone();
        for change in &changes {
            change.apply(&mut input, &corpus);
        }
        if let Some(first) = input.first_mut() {
            *first = flags;
        }
        Input(input)
    })
}

/// The same without flags.
fn changed_text(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let changes = prop::collection::vec(mutation(), 0..4);
    (any::<Index>(), changes).prop_map(move |(which, changes)| {
        let mut input = corpus[which.index(corpus.len())].clone();
        for change in &changes {
            change.apply(&mut input, &corpus);
        }
        Input(input)
    })
}

/// Requests of every method to every route, with values that are of the right form or of any.
fn requests() -> impl Strategy<Value = Input> {
    prop::collection::vec(request(), 1..=4).prop_map(|requests| {
        let requests = requests.join(&[bodies::request::END][..]);
        Input([&[1][..], &requests].concat())
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let methods = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "FROG"].map(str::to_owned);
    let method = prop_oneof![
        4 => Just("GET".to_owned()),
        2 => Just("POST".to_owned()),
        2 => proptest::sample::select(methods.to_vec()),
    ];
    let texts = |all: &[&'static str]| proptest::sample::select(all.to_vec());
    let known = KNOWN.iter().map(|known| known.path).collect::<Vec<_>>();
    let aggregate = (texts(&known), texts(&corpus::AGGREGATE));
    let aggregate = aggregate.prop_map(|(path, rest)| format!("{path}{rest}"));
    let project = (texts(&["", "north", "south", "%6eorth", "~bm9ydGg"]), texts(&corpus::PROJECT));
    let project = project.prop_map(|(tenant, rest)| corpus::project(tenant) + rest);
    let value = prop_oneof![
        texts(&[
            "0",
            "1",
            "3",
            "7",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "+2",
            "~"
        ]),
        texts(&["2023-11-14T22:13:22.999999Z", "9999-12-31T23:59:60Z", "-009999-01-01T00:00:00Z"]),
        texts(&["shelf", "memo", "ndjson", "zip", "%00", "%ff", "a%2Fb", "1e3", "AAAA", "0x10"]),
    ];
    let name = texts(&["version", "at", "page[size]", "page[after]", "filter[kind]", "from", "to"]);
    let query = prop::collection::vec((name, value), 0..3).prop_map(|query| {
        let each: Vec<_> = query.iter().map(|(name, value)| format!("&{name}={value}")).collect();
        each.concat()
    });
    let target = prop_oneof![
        6 => aggregate,
        3 => project,
        1 => texts(&corpus::OPEN).prop_map(str::to_owned),
    ];
    let noise = prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..40);
    let name = texts(&[
        "accept",
        "accept-encoding",
        "accept-datetime",
        "range",
        "if-range",
        "if-none-match",
        "if-modified-since",
        "authorization",
        "idempotency-key",
        "prefer",
        "content-type",
    ]);
    let header = prop_oneof![
        2 => texts(&corpus::HEADERS).prop_map(|header| header.as_bytes().to_vec()),
        1 => (name, noise).prop_map(|(name, value)| [name.as_bytes(), b": ", &value].concat()),
    ];
    let headers = prop::collection::vec(header, 0..4);
    let credentials = proptest::sample::select(corpus::credentials());
    let body = prop_oneof![
        3 => texts(&corpus::BODIES).prop_map(|body| body.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (1..40_000_usize).prop_map(|depth| b"{\"a\":[".repeat(depth / 6)),
    ];
    (method, target, query, credentials, headers, body).prop_map(
        |(method, target, query, credentials, headers, body)| {
            let query = if target.contains('?') || query.is_empty() {
                query
            } else {
                query.replacen('&', "?", 1)
            };
            let begin = format!("{method} {target}{query}\n{credentials}");
            let headers: Vec<_> =
                headers.iter().map(|header| [header, &b"\n"[..]].concat()).collect();
            [begin.as_bytes(), &headers.concat(), b"\n", &body].concat()
        },
    )
}

/// Whole and changed payloads under any claims, and pieces that are repeated until they are deep.
fn payloads() -> impl Strategy<Value = Input> {
    let corpus = corpus::payloads();
    let same = corpus.clone();
    let changes = prop::collection::vec(mutation(), 0..4);
    let raw = prop_oneof![any::<u32>(), (1 << 26)..=(1_u32 << 28)];
    let claim = prop_oneof![3 => Just(None), 1 => (any::<bool>(), raw).prop_map(Some)];
    let mutated = (any::<Index>(), claim, changes).prop_map(move |(which, claim, changes)| {
        let input = &corpus[which.index(corpus.len())];
        let (mut prefix, payload) = (input[..payload::PREFIX].to_vec(), &input[payload::PREFIX..]);
        let mut payload = payload.to_vec();
        for change in &changes {
            change.apply(&mut payload, &corpus);
        }
        if let Some((compressed, raw)) = claim {
            prefix[2] = u8::from(compressed);
            prefix[3..].copy_from_slice(&raw.to_le_bytes());
        }
        Input([prefix, payload].concat())
    });
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop::collection::vec(any::<u8>(), 1..12),
        proptest::sample::select(vec![b"[".to_vec(), b"{\"sections\":[".to_vec(), vec![0, 1]]),
    ];
    let start = prop_oneof![Just(vec![]), (1..12_usize).prop_map(|zeros| vec![0; zeros])];
    let deep = (0..same.len(), start, piece, 1..20_000_usize).prop_map(
        move |(which, start, piece, times)| {
            let prefix = [same[which][0], same[which][1], 0, 0, 0, 0, 0].to_vec();
            Input([prefix, start, piece.repeat(times)].concat())
        },
    );
    let length = (0..8_u8, 0..4_usize, proptest::sample::select(LENGTHS.to_vec())).prop_map(
        |(types, zeros, length)| {
            let prefix = [types % 4, types / 4, 0, 0, 0, 0, 0].to_vec();
            Input([prefix, vec![0; zeros], length.to_vec(), vec![b'x'; 60]].concat())
        },
    );
    prop_oneof![6 => mutated, 2 => deep, 1 => length]
}

/// Golden stores with a few changes, under any flags.
fn changed_stores() -> impl Strategy<Value = Input> {
    let stores = corpus::stores();
    let contents: Vec<_> = stores.iter().flatten().map(|(_, bytes)| bytes.clone()).collect();
    let changes = prop::collection::vec(file_mutation(), 0..5);
    (any::<Index>(), 0..=packed::FLAGS, changes).prop_map(move |(which, flags, changes)| {
        let mut files = stores[which.index(stores.len())].clone();
        for change in &changes {
            let count = files.len();
            match change {
                _ if count == 0 => {}
                FileMutation::Change(file, how) => {
                    how.apply(&mut files[file.index(count)].1, &contents);
                }
                FileMutation::Remove(file) => drop(files.remove(file.index(count))),
                FileMutation::Replace(file, by) => {
                    files[file.index(count)].1.clone_from(&contents[by.index(contents.len())]);
                }
                FileMutation::Copy(file, name) => {
                    let content = files[file.index(count)].1.clone();
                    files.push((packed::name(*name).to_owned(), content));
                }
            }
        }
        Input(packed::pack(flags, &files))
    })
}

#[test]
fn the_golden_files_pass_every_target() {
    for (target, inputs) in [
        (HEADER, corpus::records()),
        (RECORD, corpus::records()),
        (PAYLOAD, corpus::payloads()),
        (FILE_STORE, corpus::packed_stores()),
        (REQUEST, corpus::requests()),
        (KEY_FILE, corpus::key_files()),
    ] {
        for input in inputs {
            target.run(&input);
        }
    }
}

#[test]
fn any_bytes_are_a_header_or_a_reject() {
    holds(HEADER, 1, 4_000, || prop_oneof![1 => noise(), 9 => changed(corpus::records())]);
}

#[test]
fn any_bytes_are_a_record_or_a_reject() {
    holds(RECORD, 2, 2_000, || prop_oneof![1 => noise(), 9 => changed(corpus::records())]);
}

#[test]
fn any_payload_under_right_checksums_is_a_state_or_a_reject() {
    holds(PAYLOAD, 3, 2_000, || prop_oneof![1 => noise(), 9 => payloads()]);
}

#[test]
fn any_files_are_a_store_that_opens_or_is_refused_and_a_repaired_one_is_whole() {
    holds(FILE_STORE, 4, 500, || prop_oneof![1 => noise(), 9 => changed_stores()]);
}

#[test]
fn any_request_has_an_answer_that_tells_nobody_what_is_not_for_them() {
    holds(
        REQUEST,
        5,
        1_500,
        || prop_oneof![1 => noise(), 4 => changed(corpus::requests()), 5 => requests()],
    );
}

#[test]
fn any_file_of_keys_admits_whom_it_names_or_nobody() {
    holds(KEY_FILE, 6, 300, || prop_oneof![1 => noise(), 9 => changed_text(corpus::key_files())]);
}

/// Directories that broke something once, made from the golden store: none by chance.
#[test]
fn what_fuzzing_has_found_stays_fixed() {
    let [golden, _, begun] = <[_; 3]>::try_from(corpus::stores()).unwrap();
    let signed = packed::CHECKSUMS;
    let change = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = golden.clone();
        let file = files.iter_mut().find(|(file, _)| file == name).unwrap();
        change(&mut file.1);
        files
    };
    let copy = |from: &str, to: &str| {
        let mut files = golden.clone();
        let content = files.iter().find(|(file, _)| file == from).unwrap().1.clone();
        files.push((to.to_owned(), content));
        files
    };
    let number = |at: usize, value: &'static [u8]| {
        move |bytes: &mut Vec<u8>| bytes[at..at + value.len()].copy_from_slice(value)
    };

    // A segment that was just begun, cut within its head: verify computed a negative length.
    let mut cut = begun;
    cut.iter_mut().find(|(file, _)| file == "00000002.seg").unwrap().1.truncate(10);
    FILE_STORE.run(&packed::pack(0, &cut));
    // A frame with a right checksum and no record in it: repair kept it, and open refused it.
    let files = change("00000002.seg", &number(48 + 20, b"XYZ"));
    FILE_STORE.run(&packed::pack(signed, &files));
    // The last frame before a seal says that its batch goes on: the same.
    let files = change("00000003.seg", &|bytes| {
        let mut frames = Vec::new();
        let mut at = 48;
        while at < bytes.len() {
            frames.push(at);
            let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
            at += (20 + usize::try_from(body).unwrap()).next_multiple_of(8);
        }
        let [.., last, seal] = frames[..] else { panic!("the segment holds nothing") };
        assert_eq!((bytes[last + 12], bytes[seal + 12]), (1, 3));
        bytes[last + 12] |= 0x80;
    });
    FILE_STORE.run(&packed::pack(signed, &files));
    // An index file that tells of another generation than its segment: believed after a repair.
    let files = change("00000003.idx", &number(40, &[9; 8]));
    FILE_STORE.run(&packed::pack(signed, &files));
    // A leftover under the temporary name of a good segment: repair put it in the place of that.
    let files = copy("00000002.seg", "00000003.seg.tmp");
    FILE_STORE.run(&packed::pack(0, &files));
    // A segment under the name of another: repair took it for whole.
    let mut files = copy("00000003.seg", "00000002.seg");
    files.remove(files.iter().position(|(file, _)| file == "00000002.seg").unwrap());
    FILE_STORE.run(&packed::pack(signed | packed::ENTRIES, &files));
    // The next segment would have the number of one that is there.
    let files = change("MANIFEST", &number(56, &[0, 0, 0, 0]));
    FILE_STORE.run(&packed::pack(signed, &files));
    // Lengths whose sum does not fit.
    let files = change("MANIFEST", &|bytes| {
        bytes[72 + 16..72 + 24].fill(0xff);
        bytes[96 + 16..96 + 24].fill(0xff);
    });
    FILE_STORE.run(&packed::pack(signed, &files));
    // No sequence numbers are left, nor is there room for one more.
    let files = change("MANIFEST", &number(48, &[0xff; 8]));
    FILE_STORE.run(&packed::pack(signed, &files));
    // The highest number of all as a segment's.
    let files = copy("00000002.seg", "4294967295.seg");
    FILE_STORE.run(&packed::pack(0, &files));
}

#[test]
fn a_directory_comes_back_from_its_packed_form() {
    for files in corpus::stores() {
        let (mut back, mut files) = (packed::unpack(&packed::pack(0, &files)), files);
        files.sort();
        back.sort();
        assert!(back == files);
        // The checksums of a golden store are right already.
        let mut signed = packed::unpack(&packed::pack(packed::CHECKSUMS | packed::RECORDS, &files));
        signed.sort();
        assert!(signed == files);
    }
}

/// `SNAPFOLD_FUZZ_CORPUS=dir` writes the corpora for cargo-fuzz into folders of `dir`.
#[test]
fn the_corpus_of_cargo_fuzz_is_written_on_demand() {
    let corpora = [
        (HEADER, corpus::records()),
        (RECORD, corpus::records()),
        (PAYLOAD, corpus::payloads()),
        (FILE_STORE, corpus::packed_stores()),
        (REQUEST, corpus::requests()),
        (KEY_FILE, corpus::key_files()),
    ];
    let scratch = tempfile::tempdir().unwrap();
    let root = std::env::var_os("SNAPFOLD_FUZZ_CORPUS").map(PathBuf::from);
    let root = root.unwrap_or_else(|| scratch.path().to_owned());
    for (target, inputs) in corpora {
        let dir = root.join(target.name);
        fs::create_dir_all(&dir).unwrap();
        for (number, input) in inputs.iter().enumerate() {
            fs::write(dir.join(format!("golden-{number:02}")), input).unwrap();
        }
        assert!(fs::read_dir(dir).unwrap().count() >= inputs.len());
    }
}
