//! Requests at a fixed rate, whether or not the server keeps up.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cart::path;

const CONNECTIONS: usize = 32;

struct Connection {
    stream: TcpStream,
    /// When the request that is under way was due.
    due: Instant,
    left: usize,
}

/// Sends `rate` requests a second for some seconds, and prints the 50th and the 99th percentile of the
/// times from when a request was due to when its answer was complete, in microseconds.
pub fn pace(port: u16, authorization: &str, rate: f64, seconds: f64) {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Authorization: {authorization}\r\n\r\n",
        path("small")
    );
    let mut poll = Poll::new().unwrap();
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|at| {
            let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(at), Interest::READABLE).unwrap();
            Connection { stream, due: Instant::now(), left: 0 }
        })
        .collect();
    let (mut idle, mut times): (Vec<usize>, Vec<f64>) = ((0..CONNECTIONS).collect(), Vec::new());
    let mut events = Events::with_capacity(CONNECTIONS);
    let mut buffer = vec![0; 64 << 10];
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds);
    let (mut sent, mut due) = (0_u32, began);
    while due < end || idle.len() < CONNECTIONS {
        while due < end && due <= Instant::now() {
            let Some(at) = idle.pop() else { break };
            let connection = &mut connections[at];
            // A request is far shorter than the buffer of a socket.
            assert_eq!(connection.stream.write(request.as_bytes()).unwrap(), request.len());
            (connection.due, connection.left) = (due, usize::MAX);
            sent += 1;
            due = began + Duration::from_secs_f64(f64::from(sent) / rate);
        }
        // It has a core of its own, so it need not sleep.
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        for event in &events {
            let at = event.token().0;
            while let Some(read) = read(&mut connections[at].stream, &mut buffer) {
                let connection = &mut connections[at];
                if connection.left == usize::MAX {
                    connection.left = length(&buffer[..read]);
                }
                connection.left -= read;
                if connection.left == 0 {
                    times.push(connection.due.elapsed().as_secs_f64() * 1e6);
                    idle.push(at);
                }
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let percentile = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("{} {}", percentile(0.5), percentile(0.99));
}

fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(0) => panic!("the server closed the connection"),
        Ok(read) => Some(read),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// The length of the answer that begins here. Its head comes in one piece.
fn length(answer: &[u8]) -> usize {
    let text = String::from_utf8_lossy(answer);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let (_, rest) = head.split_once("content-length: ").unwrap();
    let body: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
    head.len() + 4 + body
}
