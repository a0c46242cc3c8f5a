//! A real PgBouncer in front of the test server. The programs are those that `PGBOUNCERS` names,
//! separated by colons, else the one that is installed. No test is skipped: without any, it fails
//! and says what to install.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use super::{NEXT, server_user};

/// A program and its version.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub version: (u32, u32),
}

impl Program {
    /// Whether it can keep prepared statements apart by itself.
    pub fn keeps_statements(&self) -> bool {
        self.version >= (1, 21)
    }
}

/// All programs that there are.
pub fn programs() -> Vec<Program> {
    let paths: Vec<PathBuf> = match std::env::var_os("PGBOUNCERS") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .chain(["/usr/sbin".into()])
            .map(|folder| folder.join("pgbouncer"))
            .find(|path| path.is_file())
            .into_iter()
            .collect(),
    };
    assert!(
        !paths.is_empty(),
        "these tests need PgBouncer: install it (Debian: apt-get install pgbouncer), or set \
         PGBOUNCERS to the paths of one or more programs, or run them through scripts/with-pgbouncer"
    );
    paths.into_iter().map(|path| Program { version: version(&path), path }).collect()
}

fn version(path: &Path) -> (u32, u32) {
    let output = Command::new(path).arg("--version").output().expect("pgbouncer starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.split_whitespace().nth(1).expect("a version").split('.');
    let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// A running PgBouncer.
pub struct Bouncer {
    dir: PathBuf,
    watchdog: Child,
    input: Option<ChildStdin>,
    user: String,
    database: String,
}

impl Bouncer {
    /// In front of the server of `options`, with further `settings`, one a line; for the user of
    /// `options` and further `users`, all without passwords.
    pub fn start(
        program: &Program,
        options: &PgConnectOptions,
        settings: &str,
        users: &[&str],
    ) -> Self {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("snapfold-pgb-{}-{next}", std::process::id()));
        fs::create_dir(&dir).expect("a folder");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("permissions");
        let folder = options.get_socket().map(|path| path.display().to_string());
        let host = folder.unwrap_or_else(|| options.get_host().to_owned());
        let user = options.get_username();
        let config = format!(
            "[databases]\n* = host={host} port={}\n[pgbouncer]\nlisten_addr =\n\
             listen_port = 6432\nunix_socket_dir = {dir}\nauth_type = trust\n\
             auth_file = {dir}/users\nmax_client_conn = 500\nignore_startup_parameters = \
             extra_float_digits\n{settings}\n",
            options.get_port(),
            dir = dir.display(),
        );
        fs::write(dir.join("ini"), config).expect("the configuration");
        let users: Vec<_> =
            users.iter().chain([&user]).map(|user| format!("\"{user}\" \"\"\n")).collect();
        fs::write(dir.join("users"), users.concat()).expect("the users");
        fs::copy(&program.path, dir.join("pgbouncer")).expect("the program");
        let mut command = Command::new("/bin/sh");
        if let Some((uid, gid)) = server_user() {
            chown(&dir, Some(uid), Some(gid)).expect("the folder belongs to the server's user");
            command.uid(uid).gid(gid);
        }
        let mut watchdog = command
            .args([
                "-c",
                "\"$DIR/pgbouncer\" \"$DIR/ini\" >\"$DIR/log\" 2>&1 </dev/null & P=$!; read -r _; \
                 kill -TERM $P 2>/dev/null; kill -KILL $P 2>/dev/null; wait $P; rm -rf \"$DIR\"",
            ])
            .env("DIR", &dir)
            .current_dir(&dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let input = watchdog.stdin.take();
        let database = options.get_database().unwrap_or("postgres").to_owned();
        let bouncer = Self { dir, watchdog, input, user: user.to_owned(), database };
        let start = Instant::now();
        while UnixStream::connect(bouncer.dir.join(".s.PGSQL.6432")).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "PgBouncer did not start: {}",
                fs::read_to_string(bouncer.dir.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }

    /// How to connect through it.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.dir)
            .port(6432)
            .username(&self.user)
            .database(&self.database)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.watchdog.wait();
    }
}
