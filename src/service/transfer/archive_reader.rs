//! [`ArchiveReader`]: reads and checks the frames of an archive.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::frame::{
    ArchiveEnd, CRITICAL, DICTIONARY, END, FrameChain, FrameHead, HEAD_BYTES, MAGIC, SNAPSHOT,
    START, read_snapshot,
};
use crate::codec::Dictionary;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::wire::ByteReader;

const READ: &str = "read an archive";

/// A checked snapshot in an archive.
pub(super) struct Archived {
    pub(super) key: AggregateKey,
    pub(super) record: Record,
    pub(super) marks: Marks,
}

pub(super) struct ArchiveReader<R> {
    from: R,
    /// Where the next frame begins.
    offset: u64,
    chain: FrameChain,
    key: Option<AggregateKey>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) dictionaries: Vec<Dictionary>,
    pub(super) aggregates: u64,
    pub(super) snapshots: u64,
}

impl<R: AsyncRead + Unpin> ArchiveReader<R> {
    /// Reads the first bytes of an archive.
    pub(super) async fn open(from: R) -> Result<Self, Error> {
        let mut archive = Self {
            from,
            offset: 0,
            chain: FrameChain::default(),
            key: None,
            created_at: None,
            dictionaries: Vec::new(),
            aggregates: 0,
            snapshots: 0,
        };
        let found: [u8; MAGIC.len()] = archive.array().await?;
        let ([magic @ .., own], [start @ .., format]) = (MAGIC, found);
        if start != magic {
            return Err(archive.damaged("it does not begin as an archive does"));
        }
        if format != own {
            let message = format!(
                "the archive has format {format}, but this release reads format {own}: upgrade \
                 snapfold"
            );
            return Err(Error::new(ErrorKind::Unsupported, READ, message));
        }
        archive.offset = MAGIC.len() as u64;
        Ok(archive)
    }

    /// The number of bytes read.
    pub(super) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Returns the next snapshot. `None` at the end of a complete archive.
    pub(super) async fn next(&mut self) -> Result<Option<Archived>, Error> {
        loop {
            let bytes: [u8; HEAD_BYTES] = self.array().await?;
            let head = FrameHead::of(&bytes);
            let body = self.body(head.length).await?;
            let before = self.chain;
            if !self.chain.accept(&bytes, &body) {
                return Err(self.damaged("the checksum does not match"));
            }
            let read = match head.tag {
                SNAPSHOT => self.snapshot(&body)?,
                END => return self.end(&body, before).await,
                _ => {
                    self.other(head.tag, &body)?;
                    None
                }
            };
            self.offset += (HEAD_BYTES + body.len()) as u64;
            if read.is_some() {
                return Ok(read);
            }
        }
    }

    fn snapshot(&mut self, body: &[u8]) -> Result<Option<Archived>, Error> {
        let (marks, record) =
            read_snapshot(body).ok_or_else(|| self.damaged("the snapshot is malformed"))?;
        let key = match record.verify() {
            Ok(header) => AggregateKey::from_stored(header.tenant, header.kind, header.id)?,
            Err(reject) => return Err(self.damaged(&reject.to_string())),
        };
        if self.key.as_ref() != Some(&key) {
            self.key = Some(key.clone());
            self.aggregates += 1;
        }
        self.snapshots += 1;
        Ok(Some(Archived { key, record, marks }))
    }

    fn other(&mut self, tag: u8, body: &[u8]) -> Result<(), Error> {
        match tag {
            START => self.created_at = ByteReader(body).time(),
            DICTIONARY => {
                let dictionary = Dictionary::from_bytes(body.to_vec());
                let malformed = |error: Error| self.damaged(&error.to_string());
                let dictionary = dictionary.map_err(malformed)?;
                self.dictionaries.push(dictionary);
            }
            tag if tag >= CRITICAL => {
                let message = format!(
                    "the archive contains something that a newer release wrote (tag {tag:#x} at \
                     byte {}): upgrade snapfold",
                    self.offset
                );
                return Err(Error::new(ErrorKind::Unsupported, READ, message));
            }
            _ => {}
        }
        Ok(())
    }

    async fn end(&mut self, body: &[u8], chain: FrameChain) -> Result<Option<Archived>, Error> {
        let (aggregates, snapshots) = (self.aggregates, self.snapshots);
        if ArchiveEnd::read(body) != Some(ArchiveEnd { aggregates, snapshots, chain }) {
            return Err(self.damaged("parts before its end are missing, or in another order"));
        }
        self.offset += (HEAD_BYTES + body.len()) as u64;
        match self.from.read(&mut [0]).await {
            Ok(0) => Ok(None),
            Ok(_) => Err(self.damaged("something follows its end")),
            Err(source) => Err(failed(source)),
        }
    }

    async fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        match self.from.read_exact(&mut bytes).await {
            Ok(_) => Ok(bytes),
            Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it is truncated"))
            }
            Err(source) => Err(failed(source)),
        }
    }

    /// Reads a body. The memory grows with what is really there, whatever the claimed length.
    async fn body(&mut self, length: u32) -> Result<Vec<u8>, Error> {
        let mut body = Vec::with_capacity(length.min(1 << 20) as usize);
        let mut rest = (&mut self.from).take(length.into());
        rest.read_to_end(&mut body).await.map_err(failed)?;
        if body.len() as u64 == u64::from(length) {
            Ok(body)
        } else {
            Err(self.damaged("it is truncated"))
        }
    }

    fn damaged(&self, why: &str) -> Error {
        let message = format!(
            "the archive is damaged at byte {} (after {} snapshots): {why}: use another copy",
            self.offset, self.snapshots
        );
        Error::new(ErrorKind::CorruptStore, READ, message)
    }
}

fn failed(source: std::io::Error) -> Error {
    let message = "the archive cannot be read: check its source, and try again";
    Error::new(ErrorKind::Store, READ, message).with_source(source).with_retry(Retry::Later)
}
