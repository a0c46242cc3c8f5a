use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;

use super::eventsourced::uuid;
use crate::account::{Account, Event, Subject};
use crate::peer::{Peer, Way};

/// The library eventsourcing, in a Python process that measures for itself.
pub struct Python {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// `interpreter`: a Python with the packages eventsourcing and psycopg.
    pub fn start(interpreter: &str, url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let mut process = Command::new(interpreter)
            .args(["-c", include_str!("python.py")])
            .env("POSTGRES_HOST", options.get_host())
            .env("POSTGRES_PORT", options.get_port().to_string())
            .env("POSTGRES_DBNAME", options.get_database().unwrap())
            .env("POSTGRES_USER", "postgres")
            .env("POSTGRES_PASSWORD", "none")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, commands, answers }
    }

    fn ask(&mut self, question: Value) -> Value {
        writeln!(self.commands, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The members of an event, without its name.
fn members(event: &Event) -> Value {
    let Value::Object(tagged) = serde_json::to_value(event).unwrap() else { unreachable!() };
    tagged.into_iter().next().unwrap().1
}

#[async_trait]
impl Peer for Python {
    async fn fill(&mut self, subject: &Subject) {
        let events = subject.events(1..=subject.len());
        let events: Vec<_> = events.iter().map(members).collect();
        self.ask(json!({
            "do": "fill", "id": subject.id, "at": subject.at, "opened": events[0], "deposits": events[1..],
        }));
    }

    async fn replay(&mut self, id: &str) -> Account {
        self.timed(Way::Replay, id, 1).await.0
    }

    async fn load(&mut self, id: &str) -> Account {
        self.timed(Way::Snapshot, id, 1).await.0
    }

    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let answer = self.ask(json!({ "do": "command", "id": id, "deposit": members(&event) }));
        (Duration::from_nanos(answer["ns"].as_u64().unwrap()), answer["is_due"].as_bool().unwrap())
    }

    fn stored_id(&self, id: &str) -> String {
        uuid(id).to_string()
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(state)::bigint, pg_column_size(s.*)::bigint FROM accounts_snapshots s \
         WHERE originator_id = $1::uuid"
    }

    async fn timed(&mut self, way: Way, id: &str, times: usize) -> (Account, Vec<Duration>) {
        let what = if way == Way::Replay { "replay" } else { "load" };
        let answer = self.ask(json!({ "do": what, "id": id, "times": times }));
        let took = answer["ns"].as_array().unwrap().iter();
        let took = took.map(|ns| Duration::from_nanos(ns.as_u64().unwrap())).collect();
        (serde_json::from_value(answer["state"].clone()).unwrap(), took)
    }

    async fn timed_many(&mut self, ids: &[String]) -> (Vec<Account>, Duration) {
        let (mut accounts, mut took) = (Vec::new(), Duration::ZERO);
        for id in ids {
            let (account, each) = self.timed(Way::Snapshot, id, 1).await;
            accounts.push(account);
            took += each.iter().sum::<Duration>();
        }
        (accounts, took)
    }
}
