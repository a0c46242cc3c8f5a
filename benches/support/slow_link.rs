//! A TCP proxy on this machine that delays what it carries, as a network between two machines does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Starts a proxy to `server`, which delays each direction by `delay`. Returns its address. Its
/// threads end with the connections; the one that listens, with the process.
pub fn slow_link(server: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(server).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || carry(from, to, delay));
            thread::spawn(move || carry(server, client, delay));
        }
    });
    address
}

/// Delays each piece from its arrival on: those that arrive meanwhile do not wait for one another.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = std::sync::mpsc::channel::<(std::time::Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let piece = buffer.get(..read).filter(|piece| !piece.is_empty());
        let Some(piece) = piece else { break };
        if sender.send((std::time::Instant::now() + delay, piece.to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    let _ = writer.join();
}
