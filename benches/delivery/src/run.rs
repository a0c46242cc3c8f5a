//! The server on one core, wrk on another, all contestants in turns.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::cart::{IDS, path};
use crate::serve::CONTESTANTS;
use crate::turns::Turns;

struct Server {
    process: Child,
    tags: Vec<String>,
    authorization: String,
    ports: Vec<String>,
}

impl Server {
    fn start() -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(this).arg("serve");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().expect("the server did not start").unwrap();
        let tags = IDS.iter().map(|_| next()).collect();
        let authorization = format!("Bearer {}", next());
        let ports = CONTESTANTS.iter().map(|_| next()).collect();
        Self { process, tags, authorization, ports }
    }
}

impl Server {
    /// For how many seconds its thread has run.
    fn busy(&self) -> f64 {
        let path = format!("/proc/{}/schedstat", self.process.id());
        let text = std::fs::read_to_string(path).unwrap();
        let nanoseconds: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
        nanoseconds / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs a command on the core of the generator, and returns what it prints.
fn on_other_core(command: &str, arguments: &[&str]) -> String {
    let mut pinned = Command::new("taskset");
    let output = pinned.args(["-c", "1", command]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} failed: {text}{errors}");
    text
}

/// Answers per second, and how many there were.
fn rate(
    wrk: &str,
    server: &Server,
    contestant: usize,
    id: &str,
    tag: &str,
    seconds: u64,
) -> (f64, f64) {
    let url = format!("http://127.0.0.1:{}{}", server.ports[contestant], path(id));
    let authorization = format!("Authorization: {}", server.authorization);
    let (duration, condition) = (format!("-d{seconds}s"), format!("If-None-Match: {tag}"));
    let mut arguments = vec!["-t1", "-c32", &duration, "-H", "Accept: application/json"];
    // Who does not look at them gets them as well.
    arguments.extend(["-H", &authorization]);
    if !tag.is_empty() {
        arguments.extend(["-H", &condition]);
    }
    arguments.push(&url);
    let text = on_other_core(wrk, &arguments);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    // "  12345 requests in 1.00s, 1.23MB read"
    let (before, after) = text.split_once(" requests in ").unwrap();
    let count = before.split_whitespace().last().unwrap().parse().unwrap();
    let (_, rest) = after.split_once("Requests/sec:").unwrap();
    (rest.split_whitespace().next().unwrap().parse().unwrap(), count)
}

/// Checks that a contestant answers as it should, since wrk does not tell 200 from 304.
fn check(server: &Server, contestant: usize, id: &str, tag: &str, expected: &str) {
    use std::io::{Read as _, Write as _};
    let address = format!("127.0.0.1:{}", server.ports[contestant]);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {}\r\n\
         If-None-Match: {tag}\r\n\r\n",
        path(id),
        server.authorization
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
}

/// Measures everything that needs a server.
pub fn run(wrk: &str, turns: usize, seconds: u64) {
    let server = Server::start();
    let mut tables = Vec::new();
    for ((id, length), tag) in IDS.iter().zip(&server.tags) {
        for (contestant, _) in CONTESTANTS.iter().enumerate() {
            check(&server, contestant, id, "\"another\"", "200");
            check(&server, contestant, id, tag, "304");
        }
        let length = length >> 10;
        let new = |of: &str, names| {
            let rates = Turns::new(&format!("{of}, {length} KB: answers/s"), names);
            (rates, Turns::new(&format!("{of}, {length} KB: server's us of each"), names))
        };
        tables.push((*id, "", new("200", &CONTESTANTS)));
        tables.push((*id, tag.as_str(), new("304", &CONTESTANTS[..5])));
    }
    for _ in 0..turns {
        for (id, tag, (rates, costs)) in &mut tables {
            for contestant in 0..if tag.is_empty() { 6 } else { 5 } {
                let before = server.busy();
                let (rate, count) = rate(wrk, &server, contestant, id, tag, seconds);
                rates.add(contestant, rate);
                costs.add(contestant, (server.busy() - before) * 1e6 / count);
            }
        }
    }
    for (_, _, (rates, costs)) in &tables {
        rates.print(0);
        costs.print(2);
    }

    // The same rate for all: half of what the first contestant can do.
    let half = tables[0].2.0.median(0) / 2.0;
    let this = std::env::current_exe().unwrap();
    let mut p50 = Turns::new(&format!("p50 at {half:.0}/s, 1 KB: us"), &CONTESTANTS[..5]);
    let mut p99 = Turns::new(&format!("p99 at {half:.0}/s, 1 KB: us"), &CONTESTANTS[..5]);
    for _ in 0..turns {
        for contestant in 0..5 {
            let port = &server.ports[contestant];
            let (rate, time) = (half.to_string(), seconds.to_string());
            let arguments = ["pace", port, &server.authorization, &rate, &time];
            let text = on_other_core(this.to_str().unwrap(), &arguments);
            let mut percentiles = text.split_whitespace().map(|text| text.parse().unwrap());
            p50.add(contestant, percentiles.next().unwrap());
            p99.add(contestant, percentiles.next().unwrap());
        }
    }
    p50.print(0);
    p99.print(0);
}
