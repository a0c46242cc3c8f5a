//! Which types are refused where, why, and the way out: [`REFUSALS`], the source of the tables in
//! `docs/state-types.md`.

mod list;

use std::fmt::Write as _;
use std::path::Path;

pub use list::{REFUSALS, WITH_ARBITRARY_PRECISION};

/// One reason, with the types that it keeps out.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// A heading.
    pub title: &'static str,
    /// Why.
    pub reason: &'static str,
    /// What the application does instead.
    pub way_out: &'static str,
    /// What the message says, at least.
    pub message: &'static str,
    /// The format's own crate carries the type, and it is refused all the same.
    pub although_it_works_by_hand: bool,
    /// Names of types, each with the columns in which it is refused: of "pbmjMJ" for postcard,
    /// bincode, MessagePack, JSON, and the last two inside buffered parts.
    pub types: &'static [(&'static str, &'static str)],
}

const LETTERS: &str = "pbmjMJ";

/// The refusal that keeps `name` out of a column, if there is one.
pub fn find(name: &str, column: usize) -> Option<&'static Refusal> {
    let letter = LETTERS.chars().nth(column)?;
    let is_it = |(kept, columns): &(&str, &str)| *kept == name && columns.contains(letter);
    let extra = cfg!(feature = "json_arbitrary_precision").then_some(&WITH_ARBITRARY_PRECISION);
    REFUSALS.iter().chain(extra).find(|refusal| refusal.types.iter().any(is_it))
}

const BEGIN: &str = "<!-- generated: SNAPFOLD_BLESS=1 cargo test --manifest-path tests/types/Cargo.toml --test docs -->";
const END: &str = "<!-- end of what is generated -->";

/// Compares the tables in the docs with [`REFUSALS`]; with `SNAPFOLD_BLESS` set, writes them.
///
/// # Errors
/// If they differ.
pub fn check_docs() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/state-types.md");
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let parts = text.split_once(BEGIN).zip(text.split_once(END));
    let ((before, _), (_, after)) = parts.ok_or("the markers of the tables are gone")?;
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", tables());
    if text == wanted {
        return Ok(());
    }
    if std::env::var_os("SNAPFOLD_BLESS").is_some() {
        return std::fs::write(&path, wanted).map_err(|error| error.to_string());
    }
    Err("the tables differ from the list of refusals: run again with SNAPFOLD_BLESS=1".to_owned())
}

fn tables() -> String {
    let mut text = String::new();
    for Refusal { title, reason, way_out, types, .. } in REFUSALS {
        let _ = write!(text, "\n### {title}\n\n{reason}\n\n**Instead:** {way_out}\n\n");
        text.push_str("| type or attribute | refused by |\n|---|---|\n");
        for (name, columns) in *types {
            let _ = writeln!(text, "| `{name}` | {} |", words(columns));
        }
    }
    text
}

/// `pb` as "postcard, bincode".
fn words(columns: &str) -> String {
    let names =
        ["postcard", "bincode", "MessagePack", "JSON", "MessagePack, buffered", "JSON, buffered"];
    let word = |letter| LETTERS.find(letter).and_then(|at| names.get(at)).copied();
    columns.chars().filter_map(word).collect::<Vec<_>>().join("; ")
}
