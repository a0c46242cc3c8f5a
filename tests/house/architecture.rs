//! The house rules that no compiler checks: imports go one way, a backend knows no other, the
//! engine knows none, files stay short, and nothing is left for later.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules by layer. A module may use those of its own layer and of lower ones.
const LAYERS: [&[&str]; 8] = [
    &[
        "blocking",
        "clock",
        "error",
        "generation",
        "hex",
        "key",
        "key_locks",
        "little_endian",
        "mark",
        "policy",
        "random",
        "snapshot_id",
        "timestamp",
        "wire",
    ],
    &["checksum", "codec", "compress", "digest", "record", "shape", "value", "walker"],
    &["artifact", "events", "ledger", "publication", "state", "store", "timeline"],
    &["retention", "trigger"],
    &["backend", "layer"],
    &["engine", "manager"],
    &["service"],
    &["bin", "cli", "conformance", "guide"],
];
/// A backend implements the contracts of this layer and decides nothing.
const CONTRACTS: usize = 2;
const MAX_LINES: usize = 500;
const MAX_MEDIAN_LINES: usize = 150;

/// How an item begins that only tests compile.
const TEST_ONLY: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test,"];

pub(super) struct File {
    pub(super) path: String,
    /// `["engine", "load"]` for `src/engine/load.rs`.
    pub(super) module: Vec<String>,
    pub(super) text: String,
}

pub(super) fn sources() -> Vec<File> {
    let files = files_below("src");
    assert!(files.len() > 50, "the sources were not found");
    files
}

fn files_below(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.push(file(&path, text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

pub(super) fn file(path: &str, text: String) -> File {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let module = inner.split('/').filter(|part| *part != "mod" && *part != "lib");
    File { path: path.to_owned(), module: module.map(str::to_owned).collect(), text }
}

/// The code without comments, texts and test modules.
pub(super) fn code(text: &str) -> String {
    let bare = without_comments_and_texts(text);
    let mut code = String::new();
    let mut rest = bare.as_str();
    while let Some((at, attribute)) =
        TEST_ONLY.iter().filter_map(|a| Some((rest.find(a)?, *a))).min()
    {
        code.push_str(&rest[..at]);
        rest = after_item(&rest[at + attribute.len()..]);
    }
    code.push_str(rest);
    code
}

/// What follows the item that `text` begins with.
fn after_item(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return &text[at + 1..],
            '{' => depth += 1,
            '}' if depth == 1 => return &text[at + 1..],
            '}' => depth -= 1,
            _ => {}
        }
    }
    ""
}

fn without_comments_and_texts(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut at = 0;
    let here = |at: usize, what: &str| {
        what.chars().enumerate().all(|(i, c)| bytes.get(at + i) == Some(&c))
    };
    while at < bytes.len() {
        if here(at, "//") {
            while at < bytes.len() && bytes[at] != '\n' {
                at += 1;
            }
        } else if here(at, "/*") {
            while at < bytes.len() && !here(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if bytes[at] == '"' {
            at += 1;
            while at < bytes.len() && bytes[at] != '"' {
                at += if bytes[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if here(at, "'\"'") || here(at, "'{'") || here(at, "'}'") {
            at += 3;
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    code
}

/// The top-level modules that a file uses, with what each name stands under (`backend::memory`).
fn uses(file: &File) -> Vec<(String, String)> {
    let code = code(&file.text);
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            found.extend(targets(&code[start + "crate::".len()..]));
        }
    }
    // `super::` that climbs to the root of the crate.
    for (start, _) in code.match_indices("super::") {
        if code[..start].ends_with("super::") {
            continue;
        }
        let mut rest = &code[start..];
        let mut climbed = 0;
        while let Some(inner) = rest.strip_prefix("super::") {
            rest = inner;
            climbed += 1;
        }
        if climbed >= file.module.len() {
            found.extend(targets(rest));
        }
    }
    found
}

/// The first two names of each path that `text` begins with: one, or several in braces.
fn targets(text: &str) -> Vec<(String, String)> {
    let Some(list) = text.strip_prefix('{') else {
        let mut names = text.split("::").map(ident);
        return vec![(names.next().unwrap_or_default(), names.next().unwrap_or_default())];
    };
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    parts.iter().flat_map(|part| targets(part.trim())).filter(|(top, _)| !top.is_empty()).collect()
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// What is wrong with the imports of a file, in words.
fn violations(file: &File) -> Vec<String> {
    let Some(own) = file.module.first() else { return Vec::new() };
    let Some(own_layer) = layer(own) else {
        return vec![format!("{}: `{own}` has no layer yet: add it to LAYERS", file.path)];
    };
    let mut wrong = Vec::new();
    for (top, next) in uses(file) {
        if top == *own {
            let neighbour = file.module.get(1).is_some_and(|backend| *backend != next);
            let foreign = own == "backend" && neighbour && next != "self";
            if foreign && !next.starts_with(char::is_uppercase) {
                wrong.push(format!("{}: a backend uses backend::{next}", file.path));
            }
            continue;
        }
        match layer(&top) {
            // A name that lib.rs re-exports, which hides where it comes from.
            None => wrong.push(format!("{}: uses crate::{top} through the front page", file.path)),
            Some(used) if used > own_layer => {
                wrong.push(format!("{}: layer {own_layer} uses {top} of layer {used}", file.path));
            }
            Some(used) if own == "backend" && used > CONTRACTS => {
                wrong.push(format!("{}: a backend uses {top}", file.path));
            }
            Some(_) if own == "engine" && top == "backend" => {
                wrong.push(format!("{}: the engine names a backend", file.path));
            }
            Some(_) => {}
        }
    }
    wrong
}

pub(super) fn is_test_file(file: &File) -> bool {
    file.module.last().is_some_and(|name| name == "tests")
}

#[test]
fn imports_go_one_way() {
    let wrong: Vec<_> =
        sources().iter().filter(|file| !is_test_file(file)).flat_map(violations).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_of_imports_sees_real_ones() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources() {
        for (top, _) in uses(&file) {
            *seen.entry(top).or_default() += 1;
        }
    }
    for module in ["error", "key", "record", "store", "events", "trigger", "manager"] {
        assert!(seen.get(module).is_some_and(|count| *count >= 2), "{module}: {seen:?}");
    }
}

#[test]
fn planted_upward_imports_are_found() {
    for (path, text) in [
        ("src/key.rs", "use crate::engine::SnapshotEngine;"),
        ("src/key.rs", "use crate::{error::Error, store::{Query, Found}};"),
        ("src/key.rs", "fn f() { let x: &crate::store::Query = todo; }"),
        ("src/key.rs", "use super::manager::Loaded;"),
        ("src/codec/json.rs", "use super::super::events::Replay;"),
        ("src/codec/mod.rs", "use crate::state::Aggregate;"),
        ("src/store/query.rs", "use crate::trigger::Trigger;"),
        ("src/trigger/mod.rs", "use crate::backend::memory::MemoryStore;"),
        ("src/backend/file/mod.rs", "use crate::backend::memory::MemoryStore;"),
        ("src/backend/file/mod.rs", "use crate::retention::keep_last;"),
        ("src/backend/file/mod.rs", "use crate::engine::SnapshotEngine;"),
        ("src/engine/load.rs", "use crate::backend::memory::MemoryStore;"),
        ("src/engine/load.rs", "use crate::MemoryStore;"),
        ("src/engine/load.rs", "#[cfg(test)] mod tests { x } use crate::backend::memory;"),
        ("src/novel.rs", ""),
    ] {
        let wrong = violations(&file(path, text.to_owned()));
        assert_eq!(wrong.len(), 1, "{path}: {text}: {wrong:?}");
    }
    for (path, text) in [
        ("src/engine/load.rs", "use crate::manager::Loaded; use super::Core;"),
        (
            "src/key.rs",
            "/// See [`Engine`](crate::SnapshotEngine).\n//! crate::engine::X\nfn f() {}",
        ),
        ("src/key.rs", "const TEXT: &str = \"crate::engine::X \\\" crate::store::Y\";"),
        ("src/key.rs", "#[cfg(test)]\nmod tests { use crate::engine::X; fn f() {} }"),
        ("src/engine/load.rs", "#[cfg(test)]\nmod tests { use crate::backend::memory; }"),
        ("src/backend/file/index.rs", "use crate::backend::file::lock::Lock; use super::name;"),
    ] {
        assert_eq!(violations(&file(path, text.to_owned())), [""; 0], "{path}: {text}");
    }
}

#[test]
fn paths_are_plain() {
    for file in sources() {
        let code = code(&file.text);
        for (winding, plain) in [
            ("super::super", "name it from `crate` on"),
            ("pub(in", "`pub(super)`, or `pub(crate)` within a private module"),
        ] {
            assert!(!code.contains(winding), "{}: {winding}: {plain}", file.path);
        }
    }
}

#[test]
fn files_stay_short() {
    let mut lengths: Vec<_> =
        sources().into_iter().map(|file| (file.text.lines().count(), file.path)).collect();
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= MAX_MEDIAN_LINES, "the median file has {median} lines");
}

#[test]
fn sources_are_ascii() {
    for file in sources() {
        let line = file.text.lines().position(|line| !line.is_ascii());
        assert_eq!(line.map(|line| line + 1), None, "{}", file.path);
    }
}

#[test]
fn nothing_is_left_for_later() {
    let tests = files_below("tests");
    assert!(tests.len() > 50, "the tests were not found");
    for file in sources().into_iter().chain(tests) {
        let code = code(&file.text);
        for unfinished in ["todo!", "unimplemented!", "#[ignore", "dbg!"] {
            assert!(!code.contains(unfinished), "{}: {unfinished}", file.path);
        }
    }
}

/// The rooms of the file backend, as `src/backend/file/mod.rs` lists them. A room uses only those
/// above it.
const FILE_ROOMS: [&str; 13] = [
    "config", "problem", "stats", "disk", "format", "errors", "index", "core", "write", "read",
    "recover", "maintain", "store",
];

/// The rooms that a file of the file backend uses and that are not above its own.
fn rooms_above(file: &File) -> Vec<String> {
    let place = |room: &str| FILE_ROOMS.iter().position(|known| *known == room);
    let Some(own) = file.module.get(2).and_then(|room| place(room)) else { return Vec::new() };
    let code = code(&file.text);
    let path = "crate::backend::file::";
    let used = code.match_indices(path).map(|(at, _)| ident(&code[at + path.len()..]));
    let wrong = used.filter(|room| place(room).is_some_and(|place| place > own));
    wrong.map(|room| format!("{}: uses {room}, which is below it", file.path)).collect()
}

#[test]
fn rooms_of_the_file_backend_use_those_above_them() {
    let files = sources();
    let wrong: Vec<_> =
        files.iter().filter(|file| !is_test_file(file)).flat_map(rooms_above).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let planted = "use crate::backend::file::write::work::Work;".to_owned();
    assert_eq!(rooms_above(&file("src/backend/file/index/mod.rs", planted)).len(), 1);
    for room in FILE_ROOMS {
        let is_there = |file: &File| file.path.starts_with(&format!("src/backend/file/{room}"));
        assert!(files.iter().any(is_there), "there is no {room}");
    }
}
