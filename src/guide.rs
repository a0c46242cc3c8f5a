//! Guides as part of the reference documentation: the design and its rules, the formats, how to
//! test an aggregate or an application, deploys, retention, operations, the command line, states over HTTP, supported state types,
//! how to write a store or an event source, PostgreSQL, object storage, and the changelog.

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/format.md")]
pub mod format {}

#[doc = include_str!("../docs/format-file-store.md")]
pub mod format_file_store {}

#[doc = include_str!("../docs/format-object-store.md")]
pub mod format_object_store {}

#[doc = include_str!("../docs/format-documents.md")]
pub mod format_documents {}

#[doc = include_str!("../docs/format-archive.md")]
pub mod format_archive {}

// The examples need the feature.
#[cfg(any(feature = "conformance", not(doctest)))]
#[doc = include_str!("../docs/aggregate-authors.md")]
pub mod aggregate_authors {}

// The examples need the features.
#[cfg(any(all(feature = "memory", feature = "postcard", feature = "lz4"), not(doctest)))]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

// The example needs the features.
#[cfg(any(all(feature = "memory", feature = "postcard", feature = "lz4"), not(doctest)))]
#[doc = include_str!("../docs/deploys.md")]
pub mod deploys {}

#[doc = include_str!("../docs/state-types.md")]
pub mod state_types {}

#[doc = include_str!("../docs/store-authors.md")]
pub mod store_authors {}

// The examples need the feature.
#[cfg(any(feature = "conformance", not(doctest)))]
#[doc = include_str!("../docs/event-sources.md")]
pub mod event_sources {}

// The examples need the feature.
#[cfg(any(feature = "postgres", not(doctest)))]
#[doc = include_str!("../docs/postgres.md")]
pub mod postgres {}

#[doc = include_str!("../docs/object-store.md")]
pub mod object_store {}

// Its example needs the features.
#[cfg(any(all(feature = "memory", feature = "postcard"), not(doctest)))]
#[doc = include_str!("../docs/schedules.md")]
pub mod schedules {}

#[doc = include_str!("../docs/retention.md")]
pub mod retention {}

#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[doc = include_str!("../docs/command-line.md")]
pub mod command_line {}

// The examples need the features.
#[cfg(any(all(feature = "http", feature = "postgres"), not(doctest)))]
#[doc = include_str!("../docs/http.md")]
pub mod http {}

// The examples need the features.
#[cfg(any(all(feature = "webhooks", feature = "file"), not(doctest)))]
#[doc = include_str!("../docs/webhooks.md")]
pub mod webhooks {}

#[cfg(any(all(feature = "publish", feature = "http", feature = "file"), not(doctest)))]
#[doc = include_str!("../docs/publish.md")]
pub mod publish {}

#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
