//! Signs and verifies webhooks on the command line:
//!
//! ```text
//! webhook sign ID SECRET[,OLD_SECRET] < body          prints the headers
//! webhook verify ID TIMESTAMP SIGNATURES SECRET < body    ends with 0 if it is right
//! ```

use std::error::Error;
use std::io::Read as _;
use std::time::SystemTime;

use http::HeaderMap;
use snapfold::Timestamp;
use snapfold::service::webhook::WebhookSecret;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let now: Timestamp = SystemTime::now().into();
    match arguments[..] {
        ["sign", id, secrets] => {
            let signatures = secrets.split(',').map(|secret| {
                let secret: WebhookSecret = secret.parse()?;
                secret.sign(id, now, &body)
            });
            let signatures: Vec<String> = signatures.collect::<Result<_, _>>()?;
            println!("webhook-id: {id}");
            println!("webhook-timestamp: {}", now.as_micros().div_euclid(1_000_000));
            println!("webhook-signature: {}", signatures.join(" "));
        }
        ["verify", id, timestamp, signatures, secret] => {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-id", id.parse()?);
            headers.insert("webhook-timestamp", timestamp.parse()?);
            headers.insert("webhook-signature", signatures.parse()?);
            secret.parse::<WebhookSecret>()?.verify(&headers, &body, now)?;
        }
        _ => return Err("use sign ID SECRETS or verify ID TIMESTAMP SIGNATURES SECRET".into()),
    }
    Ok(())
}
