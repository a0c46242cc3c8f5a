//! [`Archive`]: lines as newline-delimited JSON, or as the files of a ZIP.

use std::io::{self, Write};
use std::mem;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression};
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, DataDescriptorOutput, ZipArchiveWriter};

use super::download_manifest::DownloadManifest;
use super::line::Line;
use crate::checksum::crc32;
use crate::error::{BoxError, Error, ErrorKind};
use crate::service::http::files::file_name;
use crate::service::http::gzip::deflate;
use crate::service::http::media::Coding;
use crate::service::http::segment;
use crate::timestamp::Timestamp;

/// The form of a download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ArchiveFormat {
    /// A line for each aggregate, and the manifest on the last one.
    #[default]
    Ndjson,
    /// A file for each aggregate, and the manifest in the last one.
    Zip,
}

impl FromStr for ArchiveFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ndjson" => Ok(Self::Ndjson),
            "zip" => Ok(Self::Zip),
            _ => Err(()),
        }
    }
}

impl ArchiveFormat {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Zip => "application/zip",
        }
    }

    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Zip => "zip",
        }
    }
}

/// Writes lines and a manifest into memory, from which they are drained.
pub(super) enum Archive {
    Ndjson(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zip(Box<ZipFiles>),
}

impl Archive {
    pub(super) fn new(format: ArchiveFormat, coding: Coding) -> Self {
        match (format, coding) {
            (ArchiveFormat::Ndjson, Coding::Gzip) => {
                Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))
            }
            (ArchiveFormat::Ndjson, _) => Self::Ndjson(Vec::new()),
            (ArchiveFormat::Zip, _) => Self::Zip(Box::new(ZipFiles::new())),
        }
    }

    pub(super) fn add(&mut self, line: &Line) -> Result<(), Error> {
        match self {
            Self::Ndjson(out) => {
                out.extend_from_slice(&line.text);
                Ok(())
            }
            Self::Gzip(out) => out.write_all(&line.text).map_err(failed),
            Self::Zip(files) => {
                let kind = segment::encode(line.key.kind());
                let path = format!("{kind}/{}", file_name(line.key.id()));
                files.add(&path, &line.text, line.as_of)
            }
        }
    }

    /// How many bytes can be drained.
    pub(super) fn ready(&self) -> usize {
        match self {
            Self::Ndjson(out) => out.len(),
            Self::Gzip(out) => out.get_ref().len(),
            Self::Zip(files) => files.out.bytes().len(),
        }
    }

    pub(super) fn drain(&mut self) -> Bytes {
        Bytes::from(match self {
            Self::Ndjson(out) => {
                let capacity = out.len();
                mem::replace(out, Vec::with_capacity(capacity))
            }
            Self::Gzip(out) => mem::take(out.get_mut()),
            Self::Zip(files) => mem::take(&mut *files.out.bytes()),
        })
    }

    /// Ends the file, and drains the rest of it.
    pub(super) fn finish(self, manifest: &DownloadManifest) -> Result<Bytes, Error> {
        let text = manifest.text() + "\n";
        match self {
            Self::Ndjson(mut out) => {
                out.extend_from_slice(text.as_bytes());
                Ok(out.into())
            }
            Self::Gzip(mut out) => {
                out.write_all(text.as_bytes()).map_err(failed)?;
                Ok(out.finish().map_err(failed)?.into())
            }
            Self::Zip(mut files) => {
                files.add("manifest.json", text.as_bytes(), Some(manifest.at))?;
                let ZipFiles { archive, out, .. } = *files;
                archive.finish().map_err(failed)?;
                let rest = mem::take(&mut *out.bytes());
                Ok(rest.into())
            }
        }
    }
}

/// The files of a ZIP. The directory at its end needs about 200 bytes for each of them until then.
pub(super) struct ZipFiles {
    archive: ZipArchiveWriter<Out>,
    out: Out,
    compress: Compress,
}

impl ZipFiles {
    fn new() -> Self {
        let out = Out::default();
        let compress = Compress::new(Compression::fast(), false);
        Self { archive: ZipArchiveWriter::new(out.clone()), out, compress }
    }

    fn add(&mut self, path: &str, content: &[u8], at: Option<Timestamp>) -> Result<(), Error> {
        let mut packed = Vec::with_capacity(content.len() / 2 + 64);
        deflate(&mut self.compress, content, &mut packed);
        let mut file = self.archive.new_file(path).compression_method(CompressionMethod::DEFLATE);
        if let Some(at) = at {
            let second = at.as_micros().div_euclid(1_000_000);
            file = file.last_modified(UtcDateTime::from_unix(second));
        }
        let (mut entry, _) = file.start().map_err(failed)?;
        entry.write_all(&packed).map_err(failed)?;
        let descriptor = DataDescriptorOutput::new(crc32(content), content.len() as u64);
        entry.finish(descriptor).map_err(failed)?;
        Ok(())
    }
}

/// What a ZIP has written and nobody has drained. Clones share it.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(source: impl Into<BoxError>) -> Error {
    let source = source.into();
    Error::new(ErrorKind::Encode, "write a download", source.to_string()).with_source(source)
}
