//! Guides. Each page answers one question.
//!
//! | | |
//! |---|---|
//! | **Begin** | [getting started](getting_started), [commands], [event sources](event_sources) |
//! | **Decide** | [triggers], [retention], [defaults and limits](defaults) |
//! | **Change** | [deploys], [state types](state_types), [upgrading] |
//! | **Look back** | [time travel](time_travel), [the command line](command_line) |
//! | **Stores** | [files](file_store), [PostgreSQL](postgres), [object storage](object_store), [writing a store](store_authors) |
//! | **Services** | [states over HTTP](http), [publications](publish), [webhooks], [schedules] |
//! | **Run** | [operations], [metrics], [security] |
//! | **Test** | [an aggregate](aggregate_authors), [an application](testing) |
//! | **Know** | [benchmarks], [design], [the simulation](simulation), [the fault suite](fault_suite), [changelog] |
//! | **Formats** | [records](mod@format), [files](format_file_store), [objects](format_object_store), [documents](format_documents), [archives](format_archive) |

/// Mounts a page. Its links to other pages name files (`[text][postgres.md]`), so that they work in
/// the repository too. The definitions in `links.md` come first, so they win over those at its end.
macro_rules! page {
    ($(#[$attribute:meta])* $name:ident, $file:literal) => {
        $(#[$attribute])*
        #[doc = include_str!("guide/links.md")]
        #[doc = ""]
        #[doc = include_str!(concat!("../", $file))]
        pub mod $name {}
    };
}

// The examples of a page are compiled only with the features that they need.
page!(
    #[cfg(any(all(feature = "file", feature = "lz4", feature = "postcard"), not(doctest)))]
    getting_started,
    "docs/getting-started.md"
);
page!(
    #[cfg(any(all(feature = "memory", feature = "lz4", feature = "postcard"), not(doctest)))]
    commands,
    "docs/commands.md"
);
page!(
    #[cfg(any(feature = "conformance", not(doctest)))]
    event_sources,
    "docs/event-sources.md"
);
page!(triggers, "docs/triggers.md");
page!(retention, "docs/retention.md");
page!(defaults, "docs/defaults.md");
page!(
    #[cfg(any(all(feature = "memory", feature = "postcard", feature = "lz4"), not(doctest)))]
    deploys,
    "docs/deploys.md"
);
page!(state_types, "docs/state-types.md");
page!(upgrading, "docs/upgrading.md");
page!(
    #[cfg(any(all(feature = "memory", feature = "postcard", feature = "lz4"), not(doctest)))]
    time_travel,
    "docs/time-travel.md"
);
page!(command_line, "docs/command-line.md");
page!(
    #[cfg(any(feature = "file", not(doctest)))]
    file_store,
    "docs/file-store.md"
);
page!(
    #[cfg(any(feature = "postgres", not(doctest)))]
    postgres,
    "docs/postgres.md"
);
page!(object_store, "docs/object-store.md");
page!(store_authors, "docs/store-authors.md");
page!(
    #[cfg(any(all(feature = "http", feature = "postgres"), not(doctest)))]
    http,
    "docs/http.md"
);
page!(
    #[cfg(any(all(feature = "publish", feature = "http", feature = "file"), not(doctest)))]
    publish,
    "docs/publish.md"
);
page!(
    #[cfg(any(all(feature = "webhooks", feature = "file"), not(doctest)))]
    webhooks,
    "docs/webhooks.md"
);
page!(
    #[cfg(any(all(feature = "memory", feature = "postcard"), not(doctest)))]
    schedules,
    "docs/schedules.md"
);
page!(operations, "docs/operations.md");
page!(metrics, "docs/metrics.md");
page!(security, "docs/security.md");
page!(
    #[cfg(any(feature = "conformance", not(doctest)))]
    aggregate_authors,
    "docs/aggregate-authors.md"
);
page!(
    #[cfg(any(all(feature = "memory", feature = "postcard", feature = "lz4"), not(doctest)))]
    testing,
    "docs/testing.md"
);
page!(benchmarks, "docs/benchmarks.md");
page!(design, "docs/design.md");
page!(simulation, "docs/simulation.md");
page!(fault_suite, "docs/fault-suite.md");
page!(format, "docs/format.md");
page!(format_file_store, "docs/format-file-store.md");
page!(format_object_store, "docs/format-object-store.md");
page!(format_documents, "docs/format-documents.md");
page!(format_archive, "docs/format-archive.md");
page!(changelog, "CHANGELOG.md");
