//! Changes of enums that a release makes under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::collections::BTreeMap;
use std::process::ExitCode;

use snapfold_types::changes::{self, Expected};

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(&[]))
}

snapfold_types::changes! {
    variant_inserted_first
        { struct Part { a: Status } enum Status { New, Moved(by: i64) } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Gone, New, Moved(by: i64) } } |n| Part { a: Status::Moved(n.into()) };
    variants_swapped
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Old, New } } |n| Part { a: Status::New };
    variant_removed
        { struct Part { a: Status } enum Status { New, Mid, Old } } |n| Part { a: Status::Mid };
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::Old };
    variant_renamed
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { #[serde(alias = "New")] Fresh, Old } } |n| Part { a: Status::Old };
    variant_other
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Old, #[serde(other)] Else } } |n| Part { a: Status::Old };
    variant_gets_content
        { struct Part { a: Status } enum Status { New, Old(n: u32) } } |n| Part { a: Status::Old(n) };
        { struct Part { a: Status } enum Status { New, Old(n: u32, m: Option<u32>) } } |n| Part { a: Status::Old(n, Some(1)) };
    variant_content_named
        { struct Part { a: Status } enum Status { New, Old(n: u32) } } |n| Part { a: Status::Old(n) };
        { struct Part { a: Status } enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n: n + 1 } };
    variant_field_comes
        { struct Part { a: Status } enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } enum Status { New, Old { n: u32, #[serde(default)] m: u32 } } } |n| Part { a: Status::Old { n, m: 6 } };
    tagged_variant_field_comes
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32, #[serde(default)] m: u32 } } }
        |n| Part { a: Status::Old { n, m: 6 } };
    untagged_variant_comes
        { struct Part { a: What } #[serde(untagged)] enum What { Number { n: u32 } } } |n| Part { a: What::Number { n } };
        { struct Part { a: What } #[serde(untagged)] enum What { Both { n: u32, #[serde(default)] m: u32 }, Number { n: u32 } } }
        |n| Part { a: What::Number { n } };
    external_to_internal
        { struct Part { a: Status } enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n: n + 1 } };
    internal_to_adjacent
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { Old { n: u32 } } }
        |n| Part { a: Status::Old { n: n + 1 } };
    external_to_untagged
        { struct Part { a: Status } enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(untagged)] enum Status { Old { n: u32 }, Any(all: BTreeMap<String, BTreeMap<String, u32>>) } }
        |n| Part { a: Status::Old { n: n + 1 } };

    // The same names in both where it is flattened: it may be read.
    enum_to_struct
        { enum Part { New { a: u32 } } } |n| Part::New { a: n };
        { struct Part { #[serde(default, rename = "New")] new: Inner } #[derive(Default)] struct Inner { a: u32 } }
        |n| Part { new: Inner { a: n } };
}
