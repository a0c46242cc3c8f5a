//! Repositories for the tests.
