//! No two files need each other. A name counts for the file that defines it, whatever other module
//! hands it on, and what a module hands on (`pub use`) is no need of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use crate::architecture::{File, code, file, is_test_file, sources};

type Module = Vec<String>;

/// What a file defines, and the names that it takes from elsewhere.
#[derive(Default)]
struct Names {
    defined: BTreeSet<String>,
    /// The paths from the root that it takes or names, each with whether it is handed on.
    paths: Vec<(Module, bool)>,
    /// Names in scope, and the paths from the root that they stand for.
    scope: BTreeMap<String, Module>,
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        let is_word = c.is_alphanumeric() || c == '_';
        let is_second_colon = c == ':' && tokens.last().is_some_and(|last| last == ":");
        if (is_word || is_second_colon) && open == is_word {
            tokens.last_mut().unwrap().push(c);
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
        // White space ends a word; a second colon must follow the first at once.
        open = is_word;
    }
    tokens
}

/// The path from the root that `path`, as written in `module`, stands for.
fn absolute(module: &[String], path: &[String]) -> Option<Module> {
    let up = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([module.get(..module.len().checked_sub(up)?)?, &path[up..]].concat()),
        _ => None,
    }
}

/// Reads the tree of a `use` from `at` on: whole paths, with the names they get.
fn tree(tokens: &[String], at: &mut usize, before: &[String], found: &mut Vec<(Module, String)>) {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(*at) {
        match token.as_str() {
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    tree(tokens, at, &path, found);
                    if tokens.get(*at).is_some_and(|token| token == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "::" => *at += 1,
            "," | "}" | ";" => break,
            "as" => {
                let name = tokens.get(*at + 1).cloned().unwrap_or_default();
                *at += 2;
                found.push((path, name));
                return;
            }
            "self" if !path.is_empty() => *at += 1,
            _ => {
                path.push(token.clone());
                *at += 1;
            }
        }
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push((path, name));
}

fn names(file: &File, modules: &BTreeSet<Module>) -> Names {
    let tokens = tokens(&code(&file.text));
    let mut names = Names::default();
    let child =
        |name: &String| modules.contains(&[&file.module[..], slice::from_ref(name)].concat());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match token.as_str() {
            "use" if next != "<" => {
                // `pub use`, `pub(crate) use`
                let is_public = tokens[..at].last().is_some_and(|last| last == "pub")
                    || (tokens[..at].ends_with(&[")".to_owned()])
                        && tokens[..at].iter().rev().nth(3).is_some_and(|pub_| pub_ == "pub"));
                at += 1;
                let mut found = Vec::new();
                tree(&tokens, &mut at, &[], &mut found);
                for (mut path, name) in found {
                    if path.first().is_some_and(child) {
                        path.insert(0, "self".to_owned());
                    }
                    if let Some(path) = absolute(&file.module, &path) {
                        names.scope.insert(name, path.clone());
                        names.paths.push((path, is_public));
                    }
                }
            }
            "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" => {
                names.defined.insert(next.to_owned());
                at += 1;
            }
            "macro_rules" => {
                names.defined.insert(tokens.get(at + 2).cloned().unwrap_or_default());
                at += 1;
            }
            _ if next == "::" && at.checked_sub(1).is_none_or(|at| tokens[at] != "::") => {
                let mut path = Vec::new();
                while tokens.get(at + 1).is_some_and(|token| token == "::") {
                    path.push(tokens[at].clone());
                    at += 2;
                }
                path.extend(tokens.get(at).cloned());
                let first = path[0].clone();
                let whole = match names.scope.get(&first) {
                    Some(scope) => Some([&scope[..], &path[1..]].concat()),
                    None if child(&first) => Some([&file.module[..], &path].concat()),
                    None => absolute(&file.module, &path),
                };
                names.paths.extend(whole.map(|path| (path, false)));
                at += 1;
            }
            _ => at += 1,
        }
    }
    names
}

/// The module of the file that defines what `path` names.
fn definer(path: &[String], all: &BTreeMap<Module, Names>, depth: usize) -> Option<Module> {
    let known = (0..=path.len()).rev().find(|len| all.contains_key(&path[..*len]))?;
    let (module, rest) = path.split_at(known);
    let names = &all[module];
    let Some(first) = rest.first() else { return Some(module.to_vec()) };
    if depth > 0
        && !names.defined.contains(first)
        && let Some(scope) = names.scope.get(first)
        && scope != path
    {
        return definer(&[&scope[..], &rest[1..]].concat(), all, depth - 1);
    }
    Some(module.to_vec())
}

/// For each circle one way round, as paths of modules.
fn circle(files: &[File]) -> Option<Vec<String>> {
    let files: Vec<_> = files.iter().filter(|file| !file.module.is_empty()).collect();
    let modules: BTreeSet<_> = files.iter().map(|file| file.module.clone()).collect();
    let all: BTreeMap<_, _> =
        files.iter().map(|file| (file.module.clone(), names(file, &modules))).collect();
    let mut needs: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, names) in &all {
        for (path, is_handed_on) in &names.paths {
            // A module that is only named, for what is in it.
            if *is_handed_on || all.contains_key(path) {
                continue;
            }
            if let Some(other) = definer(path, &all, 12).filter(|other| other != module) {
                needs.entry(module.clone()).or_default().insert(other);
            }
        }
    }
    // What needs nothing that is left is in no circle.
    loop {
        let left: BTreeSet<_> = needs.keys().cloned().collect();
        let before = needs.len();
        for others in needs.values_mut() {
            others.retain(|other| left.contains(other));
        }
        needs.retain(|_, others| !others.is_empty());
        if needs.len() == before && needs.values().all(|o| o.iter().all(|o| needs.contains_key(o)))
        {
            break;
        }
    }
    let mut way = vec![needs.keys().next()?.clone()];
    loop {
        let next = needs[way.last().unwrap()].iter().next().unwrap().clone();
        if let Some(at) = way.iter().position(|module| *module == next) {
            return Some(way[at..].iter().map(|module| module.join("::")).collect());
        }
        way.push(next);
    }
}

#[test]
fn no_files_need_each_other() {
    let files: Vec<_> = sources().into_iter().filter(|file| !is_test_file(file)).collect();
    assert_eq!(circle(&files), None);
}

#[test]
fn planted_circles_are_found() {
    let plant = |texts: &[(&str, &str)]| {
        let files: Vec<_> =
            texts.iter().map(|(path, text)| file(path, (*text).to_owned())).collect();
        circle(&files)
    };
    let a = ("src/a.rs", "use crate::b::B; pub struct A(B);");
    assert!(plant(&[a, ("src/b.rs", "use crate::a::A; pub struct B(Box<A>);")]).is_some());
    assert!(plant(&[a, ("src/b.rs", "pub struct B; fn f() { crate::a::A::new(); }")]).is_some());
    let through = ("src/c/mod.rs", "mod d; pub use d::B; pub use crate::a::A;");
    let inner = ("src/c/d.rs", "use crate::{c::A}; pub struct B(A);");
    let front = ("src/a.rs", "use crate::c::{self, B}; pub struct A; fn f(_: c::B) {}");
    assert!(plant(&[front, through, inner]).is_some());
    assert_eq!(plant(&[a, ("src/b.rs", "pub struct B;")]), None);
    // What is handed on is no need, and texts, comments and tests are none.
    let quiet = "pub struct B; // crate::a::A\n#[cfg(test)]\nmod tests { use crate::a::A; }";
    assert_eq!(plant(&[a, ("src/b.rs", quiet)]), None);
    let inner = ("src/c/d.rs", "pub struct B;");
    assert_eq!(plant(&[front, through, inner]), None);
}
