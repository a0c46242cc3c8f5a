//! A real PostgreSQL server for tests: the one that `TEST_DATABASE_URL` names, else a private one
//! made from the installed binaries. No test is ever skipped: without either, it fails and says
//! what to install.
//!
//! A private server listens on a unix socket in its own folder only. A shell watches over it and
//! holds the read end of a pipe whose write end is this process: however this process ends, also by
//! SIGKILL, the pipe closes, and the shell stops the server and removes the folder.

pub mod account;
pub mod bouncer;
pub mod proxy;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool};

/// The longest that any step of the fixture may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Before statements that triggers would refuse.
pub const FREE: &str = "SET session_replication_role = replica;";
/// After them.
pub const GUARDED: &str = "RESET session_replication_role;";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A schema of its own on the shared server.
pub struct TestDb {
    pub pool: PgPool,
    pub options: PgConnectOptions,
    pub schema: String,
}

impl TestDb {
    /// A new schema, with a pool of 8 connections to its database.
    pub async fn new() -> Self {
        let options: PgConnectOptions = shared_url().parse().expect("a PostgreSQL URL");
        Self::on(options).await
    }

    /// The same on the server that `options` names.
    pub async fn on(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(PATIENCE)
            .connect_with(options.clone())
            .await
            .expect("the test database accepts connections");
        // Of one length, so that no name is a part of another one.
        let schema = format!(
            "snapfold_test_{}_{:04}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a schema");
        Self { pool, options, schema }
    }

    /// Runs statements that return nothing; `{schema}` stands for the schema of the test.
    pub async fn run(&self, sql: &str) {
        let sql = sql.replace("{schema}", &self.schema);
        self.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("the statements run");
    }

    /// The same, without triggers: what only the owner of the database may do.
    pub async fn tamper(&self, sql: &str) {
        self.run(&format!("{FREE} {sql}; {GUARDED}")).await;
    }

    /// The one number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = sql.replace("{schema}", &self.schema);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.expect("a number")
    }

    /// Drops the schema; only needed where the server outlives the test run.
    pub async fn close(self) {
        self.run("DROP SCHEMA IF EXISTS {schema} CASCADE").await;
        self.pool.close().await;
    }
}

/// The URL of the server that all tests of this process share.
pub fn shared_url() -> &'static str {
    static SHARED: OnceLock<(Option<Mutex<Cluster>>, String)> = OnceLock::new();
    let (_, url) = SHARED.get_or_init(|| {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return (None, url);
        }
        let cluster = Cluster::start(false);
        let url = cluster.url();
        (Some(Mutex::new(cluster)), url)
    });
    url
}

/// A private server, to be killed and restarted at will.
pub struct Cluster {
    dir: PathBuf,
    port: u16,
    watchdog: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Obeys one command a line and answers each with a line; at the end of its input, cleans up.
const WATCHDOG: &str = r#"
start() {
    tries=0
    while :; do
        "$BIN/postgres" -D "$DIR/data" -k "$DIR" >>"$DIR/log" 2>&1 </dev/null &
        P=$!
        while kill -0 $P 2>/dev/null; do
            if "$BIN/pg_isready" -q -h "$DIR" -U postgres; then return 0; fi
            sleep 0.02
        done
        wait $P
        tries=$((tries + 1))
        [ $tries -lt 200 ] || return 1
        sleep 0.05
    done
}
stop() { kill -"$1" $P 2>/dev/null; wait $P 2>/dev/null; P=; }
while read -r command; do
    case $command in
        start) if start; then echo ready; else echo failed; fi ;;
        stop) stop INT; echo stopped ;;
        kill) stop KILL; echo killed ;;
    esac
done
[ -z "$P" ] || stop INT
rm -rf "$DIR"
"#;

impl Cluster {
    /// A new server with an empty database. With `durable`, it syncs what it commits, as tests of
    /// crashes and published numbers need; without, it is faster.
    pub fn start(durable: bool) -> Self {
        Self::start_on(durable, None)
    }

    /// The same, reachable by TCP at [`tcp_url`](Self::tcp_url) too.
    pub fn start_with_tcp(durable: bool) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        Self::start_on(durable, Some(free.expect("a free port").port()))
    }

    fn start_on(durable: bool, tcp: Option<u16>) -> Self {
        let bin = binaries();
        let dir = std::env::temp_dir().join(format!(
            "snapfold-pg-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        // A socket path has at most 107 bytes, and ours ends in "/.s.PGSQL." and a port.
        assert!(
            dir.as_os_str().len() < 90,
            "TMPDIR is too long for a unix socket: {}",
            dir.display()
        );
        fs::create_dir(&dir).expect("a folder for the server");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("permissions");
        let user = server_user();
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid)).expect("the folder belongs to the server's user");
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&dir).env("LC_ALL", "C.UTF-8");
            command
        };
        let made = command(&bin.join("initdb"))
            .args(["-N", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D"])
            .arg(dir.join("data"))
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let sync = if durable { "on" } else { "off" };
        let address = if tcp.is_some() { "127.0.0.1" } else { "" };
        let config = format!(
            "listen_addresses = '{address}'\nmax_connections = 1000\nfsync = {sync}\n\
             full_page_writes = {sync}\nsynchronous_commit = on\nshared_buffers = 256MB\n\
             max_wal_size = 4GB\nlog_min_messages = warning\n"
        );
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(dir.join("data/postgresql.conf"))
            .expect("the configuration");
        file.write_all(config.as_bytes()).expect("the configuration is written");
        let port = tcp.unwrap_or(5432);
        let mut watchdog = command(Path::new("/bin/sh"))
            .args(["-c", WATCHDOG])
            .env("BIN", &bin)
            .env("DIR", &dir)
            .env("PGPORT", port.to_string())
            // Its own group: a Ctrl-C at the terminal must not end it before it has cleaned up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let commands = watchdog.stdin.take();
        let answers = BufReader::new(watchdog.stdout.take().expect("a pipe"));
        let mut cluster = Self { dir, port, watchdog, commands, answers };
        cluster.tell("start", "ready");
        cluster
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        let (dir, port) = (self.dir.display(), self.port);
        format!("postgres:///postgres?host={dir}&port={port}&user=postgres")
    }

    /// The same by way of TCP.
    pub fn tcp_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.tell("kill", "killed");
    }

    /// Ends it in order; connections are cut.
    pub fn stop(&mut self) {
        self.tell("stop", "stopped");
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub fn restart(&mut self) {
        self.tell("start", "ready");
    }

    fn tell(&mut self, command: &str, expected: &str) {
        let pipe = self.commands.as_mut().expect("the watchdog runs");
        writeln!(pipe, "{command}").expect("the watchdog listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the watchdog answers");
        if answer.trim() != expected {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            panic!("PostgreSQL did not {command}: {answer:?}\n{log}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.commands.take();
        let _ = self.watchdog.wait();
    }
}

/// The folder with `initdb`, `postgres` and `pgbench`.
pub fn binaries() -> PathBuf {
    let mut candidates = Vec::new();
    candidates.extend(std::env::var_os("PG_BIN").map(PathBuf::from));
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    candidates.extend(debian.into_iter().rev().map(|(_, path)| path));
    candidates.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    candidates
        .into_iter()
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        .expect(
            "these tests need PostgreSQL 15 or newer: install it (Debian: apt-get install \
             postgresql), or set PG_BIN to the folder of initdb and postgres, or set \
             TEST_DATABASE_URL to a database that may be written to, or run them through \
             scripts/with-postgres",
        )
}

/// Whom the server runs as: PostgreSQL refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .is_some_and(|uids| uids.split_whitespace().nth(1) == Some("0"));
    if !root {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let user = ["postgres", "nobody"].iter().find_map(|name| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    });
    Some(user.expect("a user named postgres: PostgreSQL does not run as root"))
}
