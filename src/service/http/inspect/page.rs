//! [`InspectorPage`]: the page, and what a browser may do with it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A page that is one file, with its style and its script inside.
pub(crate) struct InspectorPage {
    pub(crate) text: &'static str,
    pub(crate) hash: [u8; 32],
    /// The value of `Content-Security-Policy`: nothing runs but what the file has.
    pub(crate) policy: String,
}

/// The page of this release.
pub(crate) static INSPECTOR_PAGE: LazyLock<InspectorPage> =
    LazyLock::new(|| InspectorPage::of(include_str!("page.html")));

impl InspectorPage {
    fn of(text: &'static str) -> Self {
        let style = source(text, "<style>", "</style>");
        let script = source(text, "<script type=\"module\">", "</script>");
        let policy = format!(
            "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        Self { text, hash: Sha256::digest(text).into(), policy }
    }
}

/// The source expression of what stands between two tags; `'none'` if the page has no such tags.
fn source(page: &str, begin: &str, end: &str) -> String {
    let inside = page.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    match inside {
        Some((text, _)) => format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text))),
        None => "'none'".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_run_that_the_page_does_not_have() {
        let policy = InspectorPage::of("<style>a</style><p>b").policy;
        assert!(policy.contains("script-src 'none';"), "{policy}");
        // echo -n a | openssl dgst -sha256 -binary | base64
        let hash = "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='";
        assert!(policy.contains(&format!("style-src {hash};")), "{policy}");
    }
}
