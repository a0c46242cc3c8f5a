//! [`QueryParameter`]: what a route knows in a query.

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryParameter {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) form: ParameterForm,
    pub(super) is_required: bool,
}

/// What the value of a parameter looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterForm {
    Version,
    /// A version, or any number beyond all versions.
    Bound,
    /// A time of RFC 3339.
    Time,
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// How many items a page has.
    PageSize,
}

const fn optional(name: &'static str, form: ParameterForm, about: &'static str) -> QueryParameter {
    QueryParameter { name, about, form, is_required: false }
}

#[cfg(feature = "publish")]
const fn required(name: &'static str, about: &'static str) -> QueryParameter {
    QueryParameter { name, about, form: ParameterForm::Text, is_required: true }
}

impl QueryParameter {
    pub(super) const FILTER_KIND: Self =
        optional("filter[kind]", ParameterForm::Text, "Only aggregates of this kind.");

    #[cfg(feature = "publish")]
    pub(super) const FILTER_COLLECTION: Self =
        optional("filter[collection]", ParameterForm::Text, "Only those of this collection.");

    #[cfg(feature = "publish")]
    pub(super) const FILTER_TAG: Self =
        optional("filter[tag]", ParameterForm::Text, "Only those with this tag.");

    #[cfg(feature = "publish")]
    pub(super) const FILTER_STATUS: Self = optional(
        "filter[status]",
        ParameterForm::OneOf(&["completed", "all"]),
        "`completed` by default. `all` is for those who may publish.",
    );

    /// The query of a signed URL. Use it as it was given.
    #[cfg(feature = "publish")]
    pub(super) const SIGNATURE: &[Self] = &[
        required("exp", "Until when the URL is valid, in seconds since 1970."),
        required("kid", "The key that signed it."),
        required("sig", "The signature."),
    ];

    pub(super) const PAGE_SIZE: Self = optional(
        "page[size]",
        ParameterForm::PageSize,
        "How many items the page may have, at most. 100 by default.",
    );

    pub(super) const PAGE_AFTER: Self = optional(
        "page[after]",
        ParameterForm::Text,
        "Where the page begins. Follow `links.next` of the page before, which has it.",
    );

    pub(super) const VERSION: Self = optional(
        "version",
        ParameterForm::Version,
        "The state at this version, instead of now. Not together with `at`.",
    );

    pub(super) const AT: Self = optional(
        "at",
        ParameterForm::Time,
        "The state at this time, instead of now: after all events that were recorded by then. Not \
         together with `version`.",
    );

    pub(super) const FORMAT: Self = optional(
        "format",
        ParameterForm::OneOf(&["ndjson", "zip"]),
        "What the file is: lines of JSON (the default), or a ZIP.",
    );

    pub(super) const DOWNLOAD_AT: Self = optional(
        "at",
        ParameterForm::Time,
        "The instant of all states, at most now. Now by default.",
    );

    pub(super) const AFTER: Self =
        optional("after", ParameterForm::Version, "Only versions after this one.");

    pub(super) const BEFORE: Self = Self {
        name: "before",
        about: "The version below which snapshots are deleted. It is not deleted itself.",
        form: ParameterForm::Bound,
        is_required: true,
    };

    pub(super) const FROM: Self = Self {
        name: "from",
        about: "The version to which the patch applies.",
        form: ParameterForm::Version,
        is_required: true,
    };

    pub(super) const TO: Self = optional(
        "to",
        ParameterForm::Version,
        "The version that the patch makes of it. The newest one by default.",
    );
}
