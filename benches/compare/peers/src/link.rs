//! A way to the server that delays what it carries, and counts it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What was sent to the server.
#[derive(Default)]
pub struct Counts {
    statements: AtomicU64,
    round_trips: AtomicU64,
}

impl Counts {
    /// Statements, and waits for an answer: a client that tests a connection waits too.
    pub fn take(&self) -> (u64, u64) {
        (self.statements.swap(0, Ordering::SeqCst), self.round_trips.swap(0, Ordering::SeqCst))
    }
}

pub struct Link {
    pub address: SocketAddr,
    pub counts: Arc<Counts>,
}

impl Link {
    /// Each byte arrives `delay` later, in both directions.
    pub fn open(server: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { return };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let has_answered = Arc::new(AtomicBool::new(true));
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (counts, answered) = (Arc::clone(&shared), Arc::clone(&has_answered));
                let mut messages = Messages::default();
                thread::spawn(move || {
                    carry(from, to, delay, |piece| {
                        let trips = u64::from(answered.swap(false, Ordering::SeqCst));
                        counts.round_trips.fetch_add(trips, Ordering::SeqCst);
                        counts.statements.fetch_add(messages.read(piece), Ordering::SeqCst);
                    });
                });
                thread::spawn(move || {
                    carry(server, client, delay, |_| has_answered.store(true, Ordering::SeqCst));
                });
            }
        });
        Self { address, counts }
    }
}

/// Delays each piece from its arrival on: those that arrive meanwhile do not wait for one another.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration, mut see: impl FnMut(&[u8])) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        see(&buffer[..read]);
        if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    let _ = writer.join();
}

/// The messages of a client: a type, and a length that counts itself. The first ones have no type.
#[derive(Default)]
struct Messages {
    rest: Vec<u8>,
    has_started: bool,
}

impl Messages {
    /// How many of the messages that are complete now run a statement.
    fn read(&mut self, piece: &[u8]) -> u64 {
        const PROTOCOL_3: u8 = 3;
        self.rest.extend_from_slice(piece);
        let mut statements = 0;
        loop {
            let kind = usize::from(self.has_started);
            let Some(len) = self.rest.get(kind..kind + 4) else { return statements };
            let len = kind + u32::from_be_bytes(len.try_into().unwrap()) as usize;
            if self.rest.len() < len {
                return statements;
            }
            if self.has_started {
                // Execute, and a simple query.
                statements += u64::from(matches!(self.rest[0], b'E' | b'Q'));
            } else {
                self.has_started = self.rest.get(5) == Some(&PROTOCOL_3);
            }
            self.rest.drain(..len);
        }
    }
}
