//! HTTP/1.1, as far as a relay must know it: where a message ends.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request or an answer, byte for byte.
pub(crate) struct Message {
    head: String,
    bytes: Vec<u8>,
}

impl Message {
    /// Reads a request, or nothing if the client closed the connection.
    pub(crate) async fn request(stream: &mut TcpStream) -> Result<Option<Self>> {
        let Some(mut request) = Self::head(stream).await? else { return Ok(None) };
        if request.header("transfer-encoding").is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "a request without a length"));
        }
        request.read_length(stream).await?;
        Ok(Some(request))
    }

    /// Sends `request` to a server and reads the answer.
    pub(crate) async fn exchange(server: &str, request: &Self) -> Result<Self> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        request.send(&mut stream).await?;
        let mut answer = Self::head(&mut stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
        let status = answer.words().nth(1);
        if request.method() == "HEAD" || status == Some("204") || status == Some("304") {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            answer.read_chunks(&mut stream).await?;
        } else {
            answer.read_length(&mut stream).await?;
        }
        Ok(answer)
    }

    /// An answer without a body.
    pub(crate) fn answer(status: u16) -> Self {
        let head = format!("HTTP/1.1 {status} Relay\r\ncontent-length: 0\r\n\r\n");
        Self { bytes: head.clone().into_bytes(), head }
    }

    pub(crate) async fn send(&self, stream: &mut TcpStream) -> Result<()> {
        stream.write_all(&self.bytes).await
    }

    pub(crate) fn method(&self) -> &str {
        self.words().next().unwrap_or_default()
    }

    /// The path and the query, as they were sent.
    pub(crate) fn target(&self) -> &str {
        self.words().nth(1).unwrap_or_default()
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.head.split(' ')
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    async fn head(stream: &mut TcpStream) -> Result<Option<Self>> {
        // What is read belongs to this message: the next request comes only after the answer.
        let mut bytes = Vec::with_capacity(16 << 10);
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            if bytes.len() > 64 << 10 {
                return Err(Error::new(ErrorKind::InvalidData, "a head of more than 64 KiB"));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
        Ok(Some(Self { head, bytes }))
    }

    async fn read_length(&mut self, stream: &mut TcpStream) -> Result<()> {
        let length = self.header("content-length").map_or(Ok(0), str::parse::<usize>);
        let length = length.map_err(|_| ErrorKind::InvalidData)?;
        self.read_to(stream, self.head.len() + length).await
    }

    async fn read_chunks(&mut self, stream: &mut TcpStream) -> Result<()> {
        let mut at = self.head.len();
        loop {
            let line = loop {
                let rest = self.bytes.get(at..).unwrap_or_default();
                if let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
                    break String::from_utf8_lossy(&rest[..end]).into_owned();
                }
                self.read_to(stream, self.bytes.len() + 1).await?;
            };
            let size =
                usize::from_str_radix(line.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
            at += line.len() + 2 + size + 2;
            self.read_to(stream, at).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Reads until there are at least `length` bytes.
    async fn read_to(&mut self, stream: &mut TcpStream, length: usize) -> Result<()> {
        self.bytes.reserve(length.saturating_sub(self.bytes.len()));
        while self.bytes.len() < length {
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
