//! The guides: links lead somewhere, in the repository and in the reference documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The pages of `docs/` and the changelog, by the name that links use.
fn pages() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let files = docs.chain([root.join("CHANGELOG.md")]);
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The links `[text][page.md]` of a page.
fn links(page: &str) -> BTreeSet<&str> {
    let after = page.split("][").skip(1);
    let targets = after.filter_map(|rest| rest.split_once(']')).map(|(target, _)| target);
    targets.filter(|target| target.contains(".md")).collect()
}

/// The names of the headings of a page, as both GitHub and rustdoc make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let headings = page.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn each_link_between_pages_leads_to_a_page_and_a_heading() {
    let pages = pages();
    let mounted = include_str!("../../src/guide/links.md");
    let guide = include_str!("../../src/guide.rs");
    let mut used = BTreeSet::new();
    for (name, page) in &pages {
        assert!(!page.contains(".md)"), "{name}: write links as [text][page.md]");
        for link in links(page) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = pages.get(file).unwrap_or_else(|| panic!("{name}: no page {file}"));
            assert!(anchor.is_empty() || anchors(target).contains(anchor), "{name}: {link}");
            let folder = if file == "CHANGELOG.md" { "../" } else { "" };
            let folder = if name == "CHANGELOG.md" { "docs/" } else { folder };
            let definition = format!("\n[{link}]: {folder}{link}\n");
            assert!(page.contains(&definition), "{name} ends with{definition}");
            used.insert(link);
        }
        assert!(guide.contains(name.as_str()), "src/guide.rs mounts {name}");
    }
    for link in &used {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let module = file.trim_end_matches(".md").to_lowercase().replace('-', "_");
        let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
        let end = format!("crate::guide::{module}{anchor}");
        let defined = mounted
            .lines()
            .any(|line| line.starts_with(&format!("[{link}]: ")) && line.ends_with(end.as_str()));
        assert!(defined, "src/guide/links.md has [{link}]: {end}");
    }
    assert_eq!(mounted.lines().count(), used.len(), "src/guide/links.md has no others");
}
