//! Other processes that use a store: `src/bin/node.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use snapfold_s3::Server;
use snapfold_s3::history::Event;

/// A process that has opened a store and waits. It ends with this value.
pub struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Starts processes that open a store at the same time.
    pub fn start_all(server: &Server, what: &str, root: &str, numbers: &[u64]) -> Vec<Self> {
        let start = |number: &u64| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
            command.args([what, root, &number.to_string()]).envs(server.environment());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let input = child.stdin.take().unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            Self { child, input, output }
        };
        let mut nodes: Vec<_> = numbers.iter().map(start).collect();
        for node in &mut nodes {
            assert_eq!(node.line().as_deref(), Some("ready"), "{what}");
        }
        nodes
    }

    pub fn go(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    /// The next line. `None` after the last whole one.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    /// All events until the process has ended in good order.
    pub fn events(&mut self) -> Vec<Event> {
        let lines = std::iter::from_fn(|| self.line());
        let mut lines: Vec<_> = lines.collect();
        assert_eq!(lines.pop().as_deref(), Some("end"));
        lines.iter().map(|line| Event::parse(line).unwrap()).collect()
    }

    /// Ends the process at once, as SIGKILL does, and returns what it still had written.
    pub fn kill(mut self) -> Vec<Event> {
        self.child.kill().unwrap();
        let lines = std::iter::from_fn(|| self.line()).filter(|line| line != "end");
        lines.map(|line| Event::parse(&line).unwrap()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
