//! Server-sent events to many clients: the memory of each, and how long an event takes.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use snapfold::manager::Kinds;
use snapfold::service::http::{
    ApiKey, ApiKeys, Delivery, LiveChanges, LiveEvent, LiveStreams, Permission, Scope,
};
use snapfold::{Aggregate as _, AggregateKey};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use crate::cart::{Cart, Shop};
use crate::serve::serve_on_a_port;

/// How many aggregates the clients listen to.
const AGGREGATES: usize = 1_000;
const EVENTS: usize = 1_000;

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn aggregate(n: usize) -> AggregateKey {
    AggregateKey::new(Cart::KIND, &format!("a{n}")).unwrap()
}

/// Serves streams. Prints an API key and the port. Each line of the input is the time between two
/// events in microseconds, their number, and how many aggregates they are spread over.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let changes = LiveChanges::new().unwrap();
        let (api_key, secret) =
            ApiKey::generate("bench", [Scope::new([Permission::Read])]).unwrap();
        println!("{secret}");
        let streams = LiveStreams::new(changes.clone()).at_most(100_000);
        let kinds = Kinds::new().with(Shop::new().engine).unwrap();
        let delivery = Delivery::builder(kinds)
            .live(streams.for_each_principal(100_000))
            .authenticator(ApiKeys::new().with(api_key));
        serve_on_a_port(delivery.build().unwrap()).await;
        let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let numbers: Vec<usize> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            let [micros, events, spread] = numbers[..] else { panic!("{line}") };
            let mut pace = tokio::time::interval(Duration::from_micros(micros as u64));
            for n in 0..events {
                pace.tick().await;
                let event = LiveEvent::of_aggregate("version", &aggregate(n % spread)).unwrap();
                changes.publish(&event.data(&json!({ "at": now() })).unwrap());
            }
        }
    });
}

/// What no server can undercut: writes the same bytes to each socket, and does nothing else.
pub fn serve_bare() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("none");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::clone(&sockets);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                assert!(socket.read(&mut [0; 1_024]).await.unwrap() > 0);
                socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nretry: 1\n\n").await.unwrap();
                open.lock().unwrap().push(socket);
            }
        });
        let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let numbers: Vec<usize> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            let mut pace = tokio::time::interval(Duration::from_micros(numbers[0] as u64));
            for n in 0..numbers[1] {
                pace.tick().await;
                // As long as an event of the service.
                let event = format!(
                    "id: 0123456789abcdef-{n}\nevent: version\n\
                     data: {{\"id\":\"a0\",\"type\":\"cart\",\"at\":{}}}\n\n",
                    now()
                );
                for socket in sockets.lock().unwrap().iter() {
                    assert_eq!(socket.try_write(event.as_bytes()).unwrap(), event.len());
                }
            }
        }
    });
}

/// Opens this many connections to a bare server, and prints what one event for all of them takes.
pub fn floor(clients: usize) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg("live-serve-bare")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = std::io::BufReader::new(server.stdout.take().unwrap()).lines();
    let secret = printed.next().unwrap().unwrap();
    let port: u16 = printed.next().unwrap().unwrap().parse().unwrap();
    let mut input = server.stdin.take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let own = open(port, &secret, clients, &|_| "/".to_owned(), &taken).await;
        let what = "bare writes, 1 event/s, heard by all";
        measure(&mut input, &taken, (1_000_000, 10, 1), 10 * clients, what).await;
        drop(own);
    });
    drop(input);
    server.wait().unwrap();
}

fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Opens this many streams to a server in another process, and prints what they cost.
pub fn live(clients: usize) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg("live-serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = std::io::BufReader::new(server.stdout.take().unwrap()).lines();
    let secret = printed.next().unwrap().unwrap();
    let port: u16 = printed.next().unwrap().unwrap().parse().unwrap();
    let mut input = server.stdin.take().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entity = |n| format!("/projects/~/entities/{}/a{}/events", Cart::KIND, n % AGGREGATES);
    runtime.block_on(async {
        let taken = Arc::new(Mutex::new(Vec::new()));
        // What the first streams need for all.
        let warm = open(port, &secret, 10, &entity, &taken).await;
        let before = resident(server.id());
        let own = open(port, &secret, clients, &entity, &taken).await;
        let each = (resident(server.id()) - before) / clients as u64;
        println!("{clients} streams: {each} bytes of the server for each, with hyper and its task");
        let heard = clients * EVENTS / AGGREGATES;
        measure(
            &mut input,
            &taken,
            (10_000, EVENTS, AGGREGATES),
            heard,
            "100 events/s, each heard by 1 in 1,000",
        )
        .await;
        drop((warm, own));
        let own = open(port, &secret, clients, &|_| "/projects/~/events".to_owned(), &taken).await;
        measure(&mut input, &taken, (1_000_000, 10, 1), 10 * clients, "1 event/s, heard by all")
            .await;
        drop(own);
        let some = clients / 100;
        let own = open(port, &secret, some, &|_| "/projects/~/events".to_owned(), &taken).await;
        measure(
            &mut input,
            &taken,
            (10_000, EVENTS, 1),
            EVENTS * some,
            "100 events/s, heard by 1 % of the streams",
        )
        .await;
        drop(own);
    });
    drop(input);
    server.wait().unwrap();
}

type Taken = Arc<Mutex<Vec<u64>>>;

/// Clients that close their connections when they are dropped.
struct Clients(Vec<tokio::task::AbortHandle>);

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &self.0 {
            client.abort();
        }
    }
}

async fn open(
    port: u16,
    secret: &str,
    clients: usize,
    path: &dyn Fn(usize) -> String,
    taken: &Taken,
) -> Clients {
    let mut open = Clients(Vec::new());
    for n in 0..clients {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
             user-agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\nauthorization: Bearer {secret}\r\n\r\n",
            path(n)
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = [0; 1_024];
        let mut head = Vec::new();
        while !String::from_utf8_lossy(&head).contains("retry: ") {
            let count = socket.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&bytes[..count]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        let taken = Arc::clone(taken);
        let client = tokio::spawn(async move {
            let (mut bytes, mut text) = ([0; 1_024], String::new());
            loop {
                let count = socket.read(&mut bytes).await.unwrap();
                if count == 0 {
                    return;
                }
                let arrived = now();
                text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                while let Some((line, rest)) = text.split_once('\n') {
                    if let Some((_, at)) = line.split_once("\"at\":") {
                        let at = at.split('}').next().unwrap().parse::<u64>().unwrap();
                        taken.lock().unwrap().push(arrived.saturating_sub(at));
                    }
                    text = rest.to_owned();
                }
            }
        });
        open.0.push(client.abort_handle());
    }
    open
}

async fn measure(
    input: &mut std::process::ChildStdin,
    taken: &Taken,
    (micros, events, spread): (u64, usize, usize),
    expected: usize,
    what: &str,
) {
    taken.lock().unwrap().clear();
    writeln!(input, "{micros} {events} {spread}").unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(120);
    while taken.lock().unwrap().len() < expected && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut taken = taken.lock().unwrap();
    taken.sort_unstable();
    let ms = |share: usize| taken[(taken.len() - 1) * share / 1_000] as f64 / 1e6;
    println!(
        "{what}: {} of {expected} heard, median {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        taken.len(),
        ms(500),
        ms(990),
        ms(999)
    );
}
