//! One word for one thing: the glossary in `docs/design.md` holds, and few types share a name.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::{File, code, is_test_file, sources};

/// How many names of types may stand in two files, public or not. Twins of which a feature chooses
/// one are among them.
const MAX_TWICE: usize = 15;

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The names that follow one of `kinds` in the code of a file.
fn defined(file: &File, kinds: &[&str]) -> Vec<String> {
    let code = code(&file.text);
    let mut names = Vec::new();
    let mut words = words(&code).peekable();
    while let Some(word) = words.next() {
        if kinds.contains(&word)
            && let Some(name) = words.peek()
        {
            names.push((*name).to_owned());
        }
    }
    names
}

/// The modules that only tests compile.
fn test_modules(files: &[File]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for file in files {
        for (at, attribute) in file.text.match_indices("#[cfg(test)]") {
            let mut lines = file.text[at + attribute.len()..].lines().map(str::trim);
            let item = lines.find(|line| !line.is_empty() && !line.starts_with("#["));
            let name = item.and_then(|item| item.split_once("mod ")?.1.strip_suffix(';'));
            found.extend(name.map(|name| [&file.module[..], &[name.to_owned()]].concat()));
        }
    }
    found
}

#[test]
fn few_types_share_a_name() {
    let files = sources();
    let tests = test_modules(&files);
    assert!(tests.len() > 5, "{tests:?}");
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let is_test = |file: &File| tests.iter().any(|module| file.module.starts_with(module));
    for file in files.iter().filter(|file| !is_test(file)) {
        for name in defined(file, &["struct", "enum", "trait", "union"]) {
            places.entry(name).or_default().insert(file.path.clone());
        }
    }
    assert!(places.len() > 300, "{} types: the sources are not read", places.len());
    places.retain(|_, files| files.len() > 1);
    assert!(places.len() <= MAX_TWICE, "{}: {places:#?}", places.len());
}

/// A row of the glossary.
struct Row {
    word: String,
    names: Vec<String>,
    not: Vec<String>,
}

fn glossary() -> Vec<Row> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("## Which word means what?").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [word, _, names, not] = cells[..] else { panic!("{line}") };
        let list = |cell: &str| words(cell).map(str::to_owned).collect();
        Row { word: word.to_owned(), names: list(names), not: list(not) }
    })
    .collect()
}

/// The parts of a name, in lower case: `RetentionPlan` and `retention_plan` are the same.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn the_glossary_holds() {
    let rows = glossary();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let listed = include_str!("public_api.rs");
    let listed: BTreeSet<_> = words(listed).collect();
    let words: BTreeSet<_> = rows.iter().map(|row| row.word.as_str()).collect();
    assert_eq!(words.len(), rows.len(), "a word stands twice");
    for row in &rows {
        for name in &row.names {
            assert!(listed.contains(name.as_str()), "{}: {name} is not public", row.word);
        }
        for not in &row.not {
            assert!(!words.contains(not.as_str()), "{not} is a word and is not one");
        }
    }
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !is_test_file(file)) {
        let public: String = file
            .text
            .lines()
            .filter(|line| line.trim_start().starts_with("pub "))
            .fold(String::new(), |all, line| all + line + "\n");
        let public = File { path: file.path.clone(), module: Vec::new(), text: public };
        for name in defined(&public, &["struct", "enum", "trait", "fn"]) {
            for part in parts(&name) {
                for row in rows.iter().filter(|row| row.not.contains(&part)) {
                    wrong.push(format!("{}: {name}: say {}", file.path, row.word));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_come_apart() {
    assert_eq!(parts("RetentionPlan"), ["retention", "plan"]);
    assert_eq!(parts("also_reads_by_name"), ["also", "reads", "by", "name"]);
    let text = "// struct No;\npub struct A<T>(T);\nenum B {}\nfn f(x: &str) {}".to_owned();
    let file = File { path: "src/a.rs".to_owned(), module: Vec::new(), text };
    assert_eq!(defined(&file, &["struct", "enum"]), ["A", "B"]);
}
