//! A TCP proxy in front of PostgreSQL that counts the statements that pass, and cuts or holds
//! connections at a chosen moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// The next statement is not sent on: its connection is cut.
    CutBefore,
    /// The next statement is sent on, and the connection cut before the answer.
    CutAfter,
    /// Statements are sent on, answers are held back for ever.
    Hold,
}

pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    mode: AtomicU8,
    statements: AtomicU64,
    /// Connections are cut instead of sending on a statement once so many were executed.
    limit: AtomicU64,
}

enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
}

impl Proxy {
    /// A proxy to the server of `options`.
    pub async fn to(options: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (host, target_port) = (options.get_host(), options.get_port());
        let folder = options.get_socket().cloned();
        let folder = folder.or_else(|| host.starts_with('/').then(|| host.into()));
        let target = Arc::new(match folder {
            Some(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{target_port}"))),
            None => Target::Tcp(host.to_owned(), target_port),
        });
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Pass as u8),
            statements: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (shared, target) = (Arc::clone(&accepting), Arc::clone(&target));
                tokio::spawn(async move {
                    match &*target {
                        Target::Unix(path) => {
                            if let Ok(server) = UnixStream::connect(path).await {
                                shared.relay(client, server).await;
                            }
                        }
                        Target::Tcp(host, port) => {
                            if let Ok(server) = TcpStream::connect((host.as_str(), *port)).await {
                                shared.relay(client, server).await;
                            }
                        }
                    }
                });
            }
        });
        Self { shared, port }
    }

    /// `options`, by way of this proxy.
    pub fn options(&self, options: &PgConnectOptions) -> PgConnectOptions {
        // A socket would be preferred to the host, and there is no way to unset it.
        let mut through = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(options.get_username())
            .ssl_mode(PgSslMode::Disable);
        if let Some(database) = options.get_database() {
            through = through.database(database);
        }
        through
    }

    pub fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Lets so many further statements pass; each one after them cuts its connection.
    pub fn allow(&self, statements: u64) {
        let limit = self.statements().saturating_add(statements);
        self.shared.limit.store(limit, Ordering::SeqCst);
    }

    /// How many statements were executed through the proxy so far.
    pub fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }

    /// Takes a cut off the list, so that it happens once.
    fn takes(&self, mode: Mode) -> bool {
        let (cut, pass) = (mode as u8, Mode::Pass as u8);
        self.mode.compare_exchange(cut, pass, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    async fn relay<S: AsyncRead + AsyncWrite>(&self, client: TcpStream, server: S) {
        let (mut client_out, mut client_in) = client.into_split();
        let (mut server_out, mut server_in) = tokio::io::split(server);
        let back = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = server_out.read(&mut buffer).await {
                if self.is(Mode::Hold) {
                    std::future::pending::<()>().await;
                }
                if client_in.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        let forth = async {
            // The first message has no type.
            let mut started = false;
            loop {
                let mut message = Vec::new();
                if started {
                    let Ok(kind) = client_out.read_u8().await else { break };
                    message.push(kind);
                }
                let Ok(length) = client_out.read_u32().await else { break };
                message.extend_from_slice(&length.to_be_bytes());
                let body = u64::from(length.saturating_sub(4));
                if (&mut client_out).take(body).read_to_end(&mut message).await.is_err() {
                    break;
                }
                let executes = started && matches!(message[0], b'E' | b'Q');
                started = true;
                if executes {
                    if self.statements.load(Ordering::SeqCst) >= self.limit.load(Ordering::SeqCst) {
                        break;
                    }
                    self.statements.fetch_add(1, Ordering::SeqCst);
                    if self.takes(Mode::CutBefore) {
                        break;
                    }
                }
                if server_in.write_all(&message).await.is_err() {
                    break;
                }
                if executes && self.takes(Mode::CutAfter) {
                    // Without this, the server would wait for the rest of the exchange.
                    let _ = server_in.write_all(b"S\0\0\0\x04").await;
                    let _ = server_in.flush().await;
                    break;
                }
            }
        };
        // When one direction ends, both connections are closed.
        tokio::select! {
            () = back => {}
            () = forth => {}
        }
    }
}
