//! A relay between a client and a server, which does harm on command.

use std::io::Result;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::gate::Gate;
use crate::message::Message;
use crate::server::Server;

/// What happens to a request.
#[derive(Clone)]
pub enum Fault {
    /// The server does not get it. The client is answered with this status.
    Refuse(u16),
    /// The server does it. The client is answered with this status instead.
    Replace(u16),
    /// The server does not get it, and the connection ends.
    LoseRequest(Ending),
    /// The server does it, and the connection ends instead of an answer.
    LoseAnswer(Ending),
    /// The server gets it twice, one after the other. The client gets the second answer.
    Twice,
    /// The server gets it, and once more when the gate opens. The client gets the first answer.
    Again(Gate),
    /// The server gets it when the gate opens, also if the client gave up.
    Hold(Gate),
    /// The server gets it, and the client the answer when the gate opens.
    HoldAnswer(Gate),
    /// The server gets it later.
    Delay(Duration),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As of a server that stops in good order.
    Close,
    /// As of a server that is gone.
    Reset,
}

/// A relay in front of a server. Requests and answers pass it byte for byte, so signatures hold,
/// except for those that a [`Fault`] was asked for. It needs the runtime on which it is made.
pub struct Relay {
    server: Server,
    endpoint: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
}

struct Rule {
    method: String,
    part: String,
    fault: Fault,
    is_for_all: bool,
}

impl Relay {
    /// Listens on a free port.
    pub async fn before(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = server.endpoint().trim_start_matches("http://").to_owned();
        let state = Arc::new(State::default());
        let relay = Self { server: server.through(endpoint.clone()), endpoint, state };
        let state = Arc::clone(&relay.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, upstream) = (Arc::clone(&state), upstream.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(client, &upstream, &state).await {
                        // The client sees the end of the connection, and the reader of a failed
                        // test this.
                        eprintln!("relay: {error}");
                    }
                });
            }
        });
        relay
    }

    /// The server, reached through the relay.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Where the relay listens, as `http://address:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Does `fault` to the next request with this method whose path and query contain `part`. What
    /// was asked for first is done first.
    pub fn next(&self, method: &str, part: &str, fault: Fault) {
        self.ask(method, part, fault, false);
    }

    /// Does `fault` to all such requests, until [`Self::heal`].
    pub fn all(&self, method: &str, part: &str, fault: Fault) {
        self.ask(method, part, fault, true);
    }

    /// Lets all requests pass from now on.
    pub fn heal(&self) {
        lock(&self.state.rules).clear();
    }

    /// How many requests with this method clients sent.
    pub fn count(&self, method: &str) -> usize {
        let requests = lock(&self.state.requests);
        requests.iter().filter(|request| request.split(' ').next() == Some(method)).count()
    }

    /// All requests of clients since the last call, as `METHOD /path?query`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.requests))
    }

    fn ask(&self, method: &str, part: &str, fault: Fault, is_for_all: bool) {
        let (method, part) = (method.to_owned(), part.to_owned());
        lock(&self.state.rules).push(Rule { method, part, fault, is_for_all });
    }
}

impl State {
    /// Takes note of a request and says what is to happen to it.
    fn note(&self, request: &Message) -> Option<Fault> {
        let (method, target) = (request.method(), request.target());
        lock(&self.requests).push(format!("{method} {target}"));
        let mut rules = lock(&self.rules);
        let fits = |rule: &Rule| rule.method == method && target.contains(&rule.part);
        let at = rules.iter().position(fits)?;
        let fault = rules[at].fault.clone();
        if !rules[at].is_for_all {
            rules.remove(at);
        }
        Some(fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the requests of one connection, one after the other.
async fn serve(mut client: TcpStream, server: &str, state: &State) -> Result<()> {
    client.set_nodelay(true)?;
    while let Some(request) = Message::request(&mut client).await? {
        let fault = state.note(&request);
        let request = Arc::new(request);
        let answer = match fault {
            None => Message::exchange(server, &request).await?,
            Some(Fault::Refuse(status)) => Message::answer(status),
            Some(Fault::Replace(status)) => {
                Message::exchange(server, &request).await?;
                Message::answer(status)
            }
            Some(Fault::LoseRequest(ending)) => return end(client, ending),
            Some(Fault::LoseAnswer(ending)) => {
                Message::exchange(server, &request).await?;
                return end(client, ending);
            }
            Some(Fault::Twice) => {
                Message::exchange(server, &request).await?;
                Message::exchange(server, &request).await?
            }
            Some(Fault::Again(gate)) => {
                let answer = Message::exchange(server, &request).await?;
                let (server, request) = (server.to_owned(), Arc::clone(&request));
                tokio::spawn(async move {
                    gate.go_through().await;
                    if let Err(error) = Message::exchange(&server, &request).await {
                        eprintln!("relay: {error}");
                    }
                    gate.done();
                });
                answer
            }
            Some(Fault::Hold(gate)) => {
                gate.go_through().await;
                let answer = Message::exchange(server, &request).await?;
                gate.done();
                answer
            }
            Some(Fault::HoldAnswer(gate)) => {
                let answer = Message::exchange(server, &request).await?;
                gate.go_through().await;
                gate.done();
                answer
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Message::exchange(server, &request).await?
            }
        };
        answer.send(&mut client).await?;
    }
    Ok(())
}

fn end(client: TcpStream, ending: Ending) -> Result<()> {
    if ending == Ending::Reset {
        client.set_zero_linger()?;
    }
    drop(client);
    Ok(())
}
