//! `sign ID TIMESTAMP SECRET` prints a signature; `verify ID TIMESTAMP SIGNATURES SECRET` ends with 0 if it is right.

use std::error::Error;
use std::io::Read as _;

use http::HeaderMap;
use standardwebhooks::Webhook;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    match arguments[..] {
        ["sign", id, timestamp, secret] => {
            print!("{}", Webhook::new(secret)?.sign(id, timestamp.parse()?, &body)?);
        }
        ["verify", id, timestamp, signatures, secret] => {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-id", id.parse()?);
            headers.insert("webhook-timestamp", timestamp.parse()?);
            headers.insert("webhook-signature", signatures.parse()?);
            Webhook::new(secret)?.verify(&body, &headers)?;
        }
        _ => return Err("use sign or verify".into()),
    }
    Ok(())
}
