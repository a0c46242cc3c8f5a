//! A demo history, for readers without a repository at hand: 5,000 commits with all features of
//! real histories, written into a temporary repository by one `git fast-import`.
//!
//! Besides edits: files that are added, deleted, moved, made executable, or replaced by a symlink
//! or a directory; directories replaced by a file; a submodule; names with spaces, newlines, quotes
//! and bytes that are not UTF-8; merges, with and without changes; empty commits; and wrong clocks,
//! so that times run backwards.

use std::io::{self, BufWriter, Write};
use std::process::Stdio;

use tempfile::TempDir;

use crate::error::Error;
use crate::git::Git;
use crate::random::Random;

/// The first-parent commits of the demo; the commits of merged side branches are additional.
pub(crate) const COMMITS: u64 = 5_000;

/// 2019-01-01T00:00:00Z
const START: i64 = 1_546_300_800;
const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

const MAIN: &str = "refs/heads/main";
const SIDE: &str = "refs/heads/side";

const PARTS: [&str; 6] = ["src", "src/store", "src/codec", "src/net", "tests", "docs"];
const WORDS: [&str; 12] = [
    "account", "buffer", "cursor", "decode", "encode", "frame", "header", "index", "ledger",
    "merge", "query", "window",
];

/// Names that break a careless parser. A number makes each one unique.
const ODD_NAMES: [&[u8]; 8] = [
    b"names/with space ",
    b"names/new\nline ",
    b"names/\"quoted\" ",
    b"names/back\\slash ",
    b"names/tab\t",
    b"names/latin-1 caf\xe9 ",
    b"names/no text \xff\xfe\x80 ",
    b"names/utf-8 \xe6\x97\xa5\xe6\x9c\xac ",
];

/// Writes the demo of `seed`. It is deleted with the returned directory.
pub(crate) fn write(seed: u64, commits: u64) -> Result<TempDir, Error> {
    let directory = tempfile::Builder::new()
        .prefix("git_history-demo-")
        .tempdir()
        .map_err(Error::io("creating a temporary directory"))?;
    let git = Git::new(directory.path());
    let command = "init --quiet --template= --object-format=sha1 --initial-branch=main";
    let init: Vec<&str> = command.split(' ').collect();
    git.ask(&init)?.map_err(|reason| Error::Git { command: "init".to_owned(), reason })?;

    let mut import = git.start(&["fast-import", "--quiet", "--done"], Stdio::piped())?;
    let Some(stdin) = import.stdin.take() else {
        return Err(import.failed("its input is closed"));
    };
    match Demo::new(seed, BufWriter::new(stdin)).write(commits) {
        Ok(()) => import.finish().map(|()| directory),
        Err(error) => Err(import.failed(&error.to_string())),
    }
}

/// A regular file. Its content depends only on its revision, so it need not be stored.
struct File {
    path: Vec<u8>,
    revision: u64,
    executable: bool,
}

/// The state of the demo project while its history is generated.
struct Demo<W> {
    out: W,
    random: Random,
    files: Vec<File>,
    /// Directories that used to be a file, and may become a file again.
    grown: Vec<Vec<u8>>,
    /// The directory of new files.
    directory: String,
    /// The current time of correct clocks.
    now: i64,
    /// Makes names, contents and marks unique.
    last: u64,
    /// The mark of the newest commit of the main branch.
    head: u64,
}

impl<W: Write> Demo<W> {
    fn new(seed: u64, out: W) -> Self {
        let random = Random::new(seed);
        Self {
            out,
            random,
            files: Vec::new(),
            grown: Vec::new(),
            directory: "src".to_owned(),
            now: START,
            last: 0,
            head: 0,
        }
    }

    fn write(mut self, commits: u64) -> io::Result<()> {
        for number in 1..=commits {
            match self.random.below(100) {
                _ if number == 1 => self.first()?,
                0..4 => self.merge()?,
                4..5 => self.commit_main("Try the build again")?,
                5..9 => self.unusual()?,
                _ => self.everyday()?,
            }
        }
        self.out.write_all(b"done\n")?;
        self.out.flush()
    }

    fn first(&mut self) -> io::Result<()> {
        self.commit_main("Start the project")?;
        (0..40).try_for_each(|_| self.add())
    }

    /// A few changes in one part of the project.
    fn everyday(&mut self) -> io::Result<()> {
        self.commit_main("Work on it")?;
        self.directory = self.new_directory();
        let near = self.random.index(self.files.len());
        for _ in 0..=self.random.below(4) {
            // Files that were added together are neighbors, and often change together.
            let file = (near + self.random.index(4)) % self.files.len().max(1);
            match self.random.below(100) {
                0..36 => self.add()?,
                36..50 => self.remove(file)?,
                50..54 => self.rename(file)?,
                54..57 => self.change_mode(file)?,
                _ => self.edit(file)?,
            }
        }
        Ok(())
    }

    fn unusual(&mut self) -> io::Result<()> {
        self.commit_main("Do something unusual")?;
        let file = self.random.index(self.files.len());
        let number = self.unique();
        match self.random.below(7) {
            0 | 1 => {
                let mut path = self.random.pick(&ODD_NAMES).copied().unwrap_or_default().to_vec();
                path.extend_from_slice(number.to_string().as_bytes());
                self.add_at(path)
            }
            2 => {
                let name = format!("tools/current-{}", number % 10);
                self.put("120000", name.as_bytes(), format!("../src/{number}").as_bytes())
            }
            // The next edit makes it a file again.
            3 => match self.files.get(file).map(|file| file.path.clone()) {
                Some(path) => self.put("120000", &path, b"elsewhere"),
                None => Ok(()),
            },
            // Decimal digits are also hexadecimal digits.
            4 => writeln!(self.out, "M 160000 {number:040} vendor/engine"),
            5 => self.grow(file),
            _ => self.collapse(),
        }
    }

    /// Commits to a side branch, and merges it with its changes or without them.
    fn merge(&mut self) -> io::Result<()> {
        let from = format!("from :{}", self.head);
        let side = self.commit(SIDE, "Work aside", Some(&from))?;
        let path = self.new_path();
        self.put("100644", &path, b"from the side\n")?;
        let merge = format!("merge :{side}");
        self.head = self.commit(MAIN, "Merge the side", Some(&merge))?;
        if self.random.one_in(4) { Ok(()) } else { self.add_at(path) }
    }

    fn add(&mut self) -> io::Result<()> {
        let path = self.new_path();
        self.add_at(path)
    }

    fn add_at(&mut self, path: Vec<u8>) -> io::Result<()> {
        let executable = self.random.one_in(20);
        let revision = self.unique();
        self.files.push(File { path, revision, executable });
        self.put_file(self.files.len() - 1)
    }

    fn edit(&mut self, index: usize) -> io::Result<()> {
        let revision = self.unique();
        if let Some(file) = self.files.get_mut(index) {
            file.revision = revision;
        }
        self.put_file(index)
    }

    fn change_mode(&mut self, index: usize) -> io::Result<()> {
        if let Some(file) = self.files.get_mut(index) {
            file.executable = !file.executable;
        }
        self.put_file(index)
    }

    fn remove(&mut self, index: usize) -> io::Result<()> {
        if index >= self.files.len() {
            return Ok(());
        }
        let file = self.files.swap_remove(index);
        self.delete(&file.path)
    }

    fn rename(&mut self, index: usize) -> io::Result<()> {
        let new = self.new_path();
        let Some(file) = self.files.get_mut(index) else { return Ok(()) };
        let old = std::mem::replace(&mut file.path, new);
        self.delete(&old)?;
        self.put_file(index)
    }

    /// A file becomes a directory.
    fn grow(&mut self, index: usize) -> io::Result<()> {
        let Some(path) = self.files.get(index).map(|file| file.path.clone()) else {
            return Ok(());
        };
        self.remove(index)?;
        for part in [&b"/part 1"[..], b"/part 2"] {
            self.add_at([&path, part].concat())?;
        }
        self.grown.push(path);
        Ok(())
    }

    /// Turns such a directory into a file again.
    fn collapse(&mut self) -> io::Result<()> {
        let index = self.random.index(self.grown.len());
        if index >= self.grown.len() {
            return Ok(());
        }
        let path = self.grown.swap_remove(index);
        let inside = [&path[..], b"/"].concat();
        self.files.retain(|file| !file.path.starts_with(&inside));
        self.grown.retain(|grown| !grown.starts_with(&inside));
        self.delete(&path)?;
        self.add_at(path)
    }

    fn unique(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn new_directory(&mut self) -> String {
        let part = self.random.pick(&PARTS).copied().unwrap_or_default();
        let word = self.random.pick(&WORDS).copied().unwrap_or_default();
        format!("{part}/{word}")
    }

    fn new_path(&mut self) -> Vec<u8> {
        let word = self.random.pick(&WORDS).copied().unwrap_or_default();
        let number = self.unique();
        format!("{}/{word}_{number}.rs", self.directory).into_bytes()
    }

    /// The committer's clock: most are correct, some are slow, and some are fast.
    fn clock(&mut self) -> i64 {
        self.now += self.random.between(MINUTE, 8 * 60 * MINUTE);
        match self.random.below(200) {
            0..4 => self.now - self.random.between(MINUTE, 3 * DAY),
            4 => self.now + self.random.between(MINUTE, DAY),
            _ => self.now,
        }
    }

    /// Starts a commit, and returns its mark; its changes follow. Its parent is the newest commit
    /// of the branch, unless `link` names another one; `link` may also add a parent.
    fn commit(&mut self, branch: &str, message: &str, link: Option<&str>) -> io::Result<u64> {
        let mark = self.unique();
        let time = self.clock();
        let length = message.len();
        write!(
            self.out,
            "commit {branch}\nmark :{mark}\ncommitter Demo <demo@example.com> {time} +0000\n\
             data {length}\n{message}\n"
        )?;
        if let Some(link) = link {
            writeln!(self.out, "{link}")?;
        }
        Ok(mark)
    }

    /// Starts a commit to the main branch.
    fn commit_main(&mut self, message: &str) -> io::Result<()> {
        self.head = self.commit(MAIN, message, None)?;
        Ok(())
    }

    fn put_file(&mut self, index: usize) -> io::Result<()> {
        let Some(File { path, revision, executable }) = self.files.get(index) else {
            return Ok(());
        };
        let mode = if *executable { "100755" } else { "100644" };
        let (path, content) = (path.clone(), format!("// revision {revision}\n"));
        self.put(mode, &path, content.as_bytes())
    }

    fn put(&mut self, mode: &str, path: &[u8], content: &[u8]) -> io::Result<()> {
        let (path, length) = (quoted(path), content.len());
        write!(self.out, "M {mode} inline {path}\ndata {length}\n")?;
        self.out.write_all(content)?;
        self.out.write_all(b"\n")
    }

    fn delete(&mut self, path: &[u8]) -> io::Result<()> {
        writeln!(self.out, "D {}", quoted(path))
    }
}

/// A path in the syntax of `git fast-import`: in quotes, with every special byte in octal.
fn quoted(path: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"/._- ".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.extend(format!("\\{byte:03o}").chars());
        }
    }
    quoted.push('"');
    quoted
}
