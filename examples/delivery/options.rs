//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;
use snapfold::BoxError;
use snapfold::service::http::CachePolicy;
use tracing::Level;

const HELP: &str = "\
Usage: cargo run --features http,publish --example delivery -- [REPOSITORY] [REVISION]...

  REPOSITORY      the repository, or a directory inside it (default: this one)
  REVISION        branches, tags or commits, each an aggregate (default: HEAD)
  --port N        the port on 127.0.0.1; 0 for any that is free (default: 8080)
  --open          let everybody read. Without it, two keys are printed: one that
                  reads, and one that also sees how a state was loaded
  --public S      let shared caches serve a state for S seconds. Implies --open
  --stale-while-revalidate S
                  with --public, let them serve it for S more seconds while they ask
                  again
  --stale-if-error S
                  with --public, let them serve it for S more seconds while this
                  server does not answer
  --keys FILE     keep the keys in a file. They are made and printed if it has none
  --tokens FILE   also accept JSON Web Tokens (HS256) that are signed with the
                  secret in this file
  --publish       let clients publish artifacts, and hear of what is published
  --cors ORIGIN   let pages of this origin read, such as https://example.org
  --log LEVEL     error, info, or debug, which logs each request (default: info)
";

pub(crate) struct Options {
    pub(crate) directory: OsString,
    pub(crate) revisions: Vec<OsString>,
    pub(crate) port: u16,
    pub(crate) is_open: bool,
    pub(crate) publishes: bool,
    pub(crate) policy: CachePolicy,
    pub(crate) keys: Option<PathBuf>,
    pub(crate) tokens: Option<PathBuf>,
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) log: Level,
}

impl Options {
    /// Reads the command line. `None` if it asks for help, which was printed.
    pub(crate) fn parse() -> Result<Option<Self>, BoxError> {
        let mut options = Self {
            directory: ".".into(),
            revisions: Vec::new(),
            port: 8080,
            is_open: false,
            publishes: false,
            policy: CachePolicy::private(),
            keys: None,
            tokens: None,
            origin: None,
            log: Level::INFO,
        };
        let (mut while_asking, mut if_error) = (Duration::ZERO, Duration::ZERO);
        let mut named = Vec::new();
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Value(value) => named.push(value),
                Long("port") => options.port = parser.value()?.parse()?,
                Long("open") => options.is_open = true,
                Long("publish") => options.publishes = true,
                Long("public") => {
                    let policy = CachePolicy::public(seconds(&mut parser)?);
                    (options.is_open, options.policy) = (true, policy);
                }
                Long("stale-while-revalidate") => while_asking = seconds(&mut parser)?,
                Long("stale-if-error") => if_error = seconds(&mut parser)?,
                Long("keys") => options.keys = Some(parser.value()?.into()),
                Long("tokens") => options.tokens = Some(parser.value()?.into()),
                Long("cors") => options.origin = Some(parser.value()?.parse()?),
                Long("log") => options.log = parser.value()?.parse()?,
                Short('h') | Long("help") => {
                    print!("{HELP}");
                    return Ok(None);
                }
                _ => return Err(arg.unexpected().into()),
            }
        }
        if options.is_open && (options.keys.is_some() || options.tokens.is_some()) {
            return Err("with --open or --public, nobody is asked for a key or a token".into());
        }
        options.policy =
            options.policy.stale_while_revalidate(while_asking).stale_if_error(if_error);
        let mut named = named.into_iter();
        options.directory = named.next().unwrap_or(options.directory);
        options.revisions = named.collect();
        Ok(Some(options))
    }
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    Ok(Duration::from_secs(parser.value()?.parse()?))
}
