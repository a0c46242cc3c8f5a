//! Loads, replays and commands of event-sourcing libraries, on one PostgreSQL server in one run.
//! `scripts/bench-peers` starts it.
//!
//! Every library folds the same events into the same aggregate, and each state that it loads is
//! compared with the fold. The contestants take turns; ratios are those of one turn. Each library
//! has a database of its own on the server, with 500 other aggregates: half of their events were
//! written before those of the aggregates that are loaded, half after.

mod account;
mod link;
mod measure;
mod peer;
mod peers;
mod plot;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use account::Subject;
use link::Link;
use measure::{Contestants, Row};
use peer::Way;
use peers::{CqrsEs, Library, Snapfold};
use report::{Report, Size, Traffic};

#[derive(Parser)]
struct Arguments {
    /// A Python interpreter with the packages eventsourcing and psycopg
    #[arg(long)]
    python: String,
    /// Few turns: to see whether everything works
    #[arg(long)]
    quick: bool,
    /// Only the tables whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Only the libraries whose names contain this, and snapfold
    #[arg(long, default_value = "")]
    library: String,
    /// Write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw plots into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// About 170 bytes, 5 KB and 75 KB as JSON.
const SIZES: [(&str, u32); 3] = [("small", 3), ("medium", 90), ("large", 1_400)];
const GROWTH: [u64; 3] = [1_000, 10_000, 100_000];
/// Of the slow link, in each direction. What comes on top of it, because threads wake up late, is
/// measured and reported.
const DELAY: Duration = Duration::from_micros(500);

struct Bench {
    arguments: Arguments,
    server: PgConnectOptions,
    report: Report,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // On a worker, as the code of an application is.
    runtime.block_on(async { tokio::spawn(run(arguments)).await.unwrap() });
}

async fn run(arguments: Arguments) {
    let url = std::env::var("TEST_DATABASE_URL").expect("scripts/bench-peers sets the server");
    let mut bench = Bench { arguments, server: url.parse().unwrap(), report: Report::default() };
    bench.report.server = bench.server_version().await;
    bench.fill().await;
    bench.sizes().await;
    bench.traffic().await;
    bench.measure().await;
    bench.framework().await;
    bench.report.print();
    if let Some(path) = &bench.arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&bench.report).unwrap()).unwrap();
    }
    if let Some(folder) = &bench.arguments.plots {
        plot::draw(&bench.report, folder);
    }
}

impl Bench {
    fn say(&self, what: &str) {
        eprintln!("bench-peers: {what}");
    }

    fn turns(&self, turns: usize) -> usize {
        if self.arguments.quick { turns.div_ceil(8) } else { turns }
    }

    fn libraries(&self) -> Vec<Library> {
        // A set-up without data of its own needs the one that writes them.
        let wanted = |it: &Library| {
            let same = Library::ALL.into_iter().filter(|other| other.database() == it.database());
            same.map(Library::name).any(|name| name.contains(&self.arguments.library))
        };
        let mut all = Library::ALL.to_vec();
        all.retain(|it| *it == Library::Snapfold || wanted(it));
        all
    }

    /// Those that are not only another set-up of the same library.
    fn distinct(&self) -> Vec<Library> {
        let mut all = self.libraries();
        all.retain(|it| !it.is_variant());
        all
    }

    /// Whether a table is wanted.
    fn wants(&self, table: &str) -> bool {
        table.contains(&self.arguments.only)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.get_port()))
    }

    async fn admin(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.server.clone().database(database)).await.unwrap()
    }

    async fn server_version(&self) -> String {
        let mut admin = self.admin("postgres").await;
        sqlx::query_scalar("SHOW server_version").fetch_one(&mut admin).await.unwrap()
    }

    fn url(&self, library: Library, address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/{}", library.database())
    }

    async fn connect(&self, libraries: &[Library], address: SocketAddr) -> Contestants {
        let mut contestants = Contestants::new();
        for library in libraries {
            let peer = library.connect(&self.url(*library, address), &self.arguments.python).await;
            contestants.push((library.name(), peer));
        }
        contestants
    }

    async fn fill(&self) {
        for library in self.distinct() {
            self.say(&format!("writing the events of {}", library.name()));
            let sql = format!("CREATE DATABASE {}", library.database());
            self.admin("postgres").await.execute(AssertSqlSafe(sql)).await.unwrap();
            let mut peer =
                library.connect(&self.url(library, self.address()), &self.arguments.python).await;
            let others = others();
            let (before, after) = others.split_at(250);
            for subject in before.iter().chain(&subjects()).chain(after) {
                peer.fill(subject).await;
            }
            self.admin(library.database()).await.execute("VACUUM ANALYZE").await.unwrap();
        }
        self.admin("postgres").await.execute("CHECKPOINT").await.unwrap();
    }

    /// The bytes of each snapshot.
    async fn sizes(&mut self) {
        for library in self.distinct() {
            let peer =
                library.connect(&self.url(library, self.address()), &self.arguments.python).await;
            let mut admin = self.admin(library.database()).await;
            for (name, slots) in SIZES {
                let id = peer.stored_id(&loaded(name, slots).id);
                let query = sqlx::query_as(peer.size_query()).bind(id);
                let (payload, row) = query.fetch_one(&mut admin).await.unwrap();
                self.report.sizes.push(Size { library: library.name(), case: name, payload, row });
            }
        }
        let snapfold = Snapfold::connect(&self.url(Library::Snapfold, self.address()), false).await;
        for (name, slots) in SIZES {
            let (payload, row) = snapfold.size_with_zstd(&loaded(name, slots)).await;
            self.report.sizes.push(Size {
                library: "snapfold, with zstd",
                case: name,
                payload,
                row,
            });
        }
    }

    /// Statements and round trips of a load.
    async fn traffic(&mut self) {
        const LOADS: u64 = 20;
        let subject = loaded("small", SIZES[0].1);
        for library in self.libraries() {
            let link = Link::open(self.address(), Duration::ZERO);
            let mut contestants = self.connect(&[library], link.address).await;
            let peer = &mut contestants[0].1;
            peer.timed(Way::Snapshot, &subject.id, 5).await;
            // What a pool does when a connection comes back is not part of the last load.
            tokio::time::sleep(Duration::from_millis(50)).await;
            link.counts.take();
            peer.timed(Way::Snapshot, &subject.id, LOADS as usize).await;
            let (statements, round_trips) = link.counts.take();
            let each = |count: u64| count as f64 / LOADS as f64;
            self.report.traffic.push(Traffic {
                library: library.name(),
                statements: each(statements),
                round_trips: each(round_trips),
            });
        }
    }

    async fn measure(&mut self) {
        let far = Link::open(self.address(), DELAY);
        self.report.round_trips =
            [self.round_trip(self.address()).await, self.round_trip(far.address).await];
        for (link, address) in [("loopback", self.address()), ("slow link", far.address)] {
            let is_far = link != "loopback";
            let mut all = self.connect(&self.libraries(), address).await;
            let loads = if is_far { 4 } else { 20 };
            let sizes = if self.wants("load") { 3 } else { 0 };
            for (size, slots) in SIZES.into_iter().take(sizes) {
                self.say(&format!("loads, {size}, {link}"));
                let subject = loaded(size, slots);
                let times =
                    measure::loads(&mut all, Way::Snapshot, &subject, self.turns(64), loads).await;
                self.add(measure::rows("load", &format!("{size}, {link}"), &times));
            }
            if self.wants("load_many") {
                self.say(&format!("loads of many, {link}"));
                let many: Vec<_> = others().into_iter().take(100).collect();
                let times = measure::loads_of_many(&mut all, &many, self.turns(16)).await;
                self.add(measure::rows("load_many", link, &times));
            }
            drop(all);
            let mut distinct = self.connect(&self.distinct(), address).await;
            if !is_far && self.wants("replay") {
                for (size, slots) in SIZES.into_iter().take(2) {
                    self.say(&format!("replays, {size}, {link}"));
                    let times = measure::loads(
                        &mut distinct,
                        Way::Replay,
                        &loaded(size, slots),
                        self.turns(16),
                        1,
                    )
                    .await;
                    self.add(measure::rows("replay", &format!("{size}, {link}"), &times));
                }
            }
            if !is_far && self.wants("growth") {
                for events in GROWTH {
                    self.say(&format!("loads after {events} events"));
                    let subject = grown(events);
                    let times = measure::loads(
                        &mut distinct,
                        Way::Snapshot,
                        &subject,
                        self.turns(32),
                        loads,
                    )
                    .await;
                    self.add(measure::rows("growth", &format!("{events} events"), &times));
                }
            }
            let sizes = if self.wants("command") { 2 } else { 0 };
            for (size, slots) in SIZES.into_iter().take(sizes) {
                self.say(&format!("commands, {size}, {link}"));
                let subject = commanded(size, slots, link);
                let [not_due, due] =
                    measure::commands(&mut distinct, &subject, self.turns(40)).await;
                self.add(measure::rows("command", &format!("{size}, {link}, not due"), &not_due));
                self.add(measure::rows("command", &format!("{size}, {link}, due"), &due));
            }
        }
        if self.wants("memory") {
            self.memory().await;
        }
    }

    /// The median time of an empty statement, in microseconds.
    async fn round_trip(&self, address: SocketAddr) -> f64 {
        let options = self.server.clone().port(address.port());
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let mut took = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            connection.ping().await.unwrap();
            took.push(began.elapsed().as_secs_f64() * 1e6);
        }
        took.sort_by(f64::total_cmp);
        took[100]
    }

    async fn memory(&mut self) {
        let mut contestants = peers::in_memory();
        for (size, slots) in SIZES.into_iter().take(2) {
            self.say(&format!("in memory, {size}"));
            let subject = loaded(size, slots);
            for (_, peer) in &mut contestants {
                peer.fill(&subject).await;
            }
            for (way, name, loads) in
                [(Way::Snapshot, "from a snapshot", 50), (Way::Replay, "replay", 3)]
            {
                let times =
                    measure::loads(&mut contestants, way, &subject, self.turns(64), loads).await;
                self.add(measure::rows("memory", &format!("{size}, {name}"), &times));
            }
        }
    }

    /// What snapshots of cqrs-es contain after commands through its framework.
    async fn framework(&mut self) {
        if !self.libraries().contains(&Library::CqrsEs) {
            return;
        }
        let store = CqrsEs::connect(&self.url(Library::CqrsEs, self.address()), true).await;
        let subject = Subject::new("framework", 3, 1, 0);
        let state = store.framework(&subject, 25).await;
        self.report.framework_counts = (state.count, subject.folded(25).count);
    }

    fn add(&mut self, rows: Vec<Row>) {
        self.report.rows.extend(rows);
    }
}

/// What is loaded: 10,050 events, a snapshot at 10,000.
fn loaded(size: &str, slots: u32) -> Subject {
    Subject::new(&format!("loaded-{size}"), slots, 10_000, 50)
}

fn grown(events: u64) -> Subject {
    Subject::new(&format!("grown-{events}"), 3, events, 50)
}

/// What is changed: a command each time changes it, so each link has its own.
fn commanded(size: &str, slots: u32, link: &str) -> Subject {
    let link = link.replace(' ', "");
    Subject::new(&format!("commanded-{size}-{link}"), slots, 1_000, 0)
}

fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (size, slots) in SIZES {
        subjects.push(loaded(size, slots));
        for link in ["loopback", "slow link"] {
            subjects.push(commanded(size, slots, link));
        }
    }
    subjects.extend(GROWTH.map(grown));
    subjects
}

/// The other aggregates: 200 events, a snapshot at 150.
fn others() -> Vec<Subject> {
    (0..500).map(|n| Subject::new(&format!("other-{n}"), 3, 150, 50)).collect()
}
