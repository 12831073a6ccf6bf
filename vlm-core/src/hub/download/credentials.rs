//! Who we are, and whom we trust.

use super::OP;
use crate::hub::{HubSettings, Token};
use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use std::path::Path;
use ureq::http::HeaderValue;
use ureq::tls::{PemItem, RootCerts, parse_pem};

/// Longest file of certificates, and of a token.
const MAX_CERTIFICATES: u64 = 16 << 20;
const MAX_TOKEN: u64 = 64 << 10;

/// The header that shows the token.
pub(super) fn token(settings: &HubSettings) -> Result<Option<HeaderValue>> {
    let found = match (&settings.token, &settings.token_file) {
        (Some(token), _) => Some((token.clone(), "HF_TOKEN".to_owned())),
        (None, Some(path)) if path.is_file() => {
            let bytes = read_small(OP, path, MAX_TOKEN)?;
            Token::new(&String::from_utf8_lossy(&bytes)).map(|t| (t, path.display().to_string()))
        }
        _ => None,
    };
    let Some((token, source)) = found else { return Ok(None) };
    let plain = token.secret().bytes().all(|b| b.is_ascii_graphic());
    let value = HeaderValue::try_from(format!("Bearer {}", token.secret())).ok().filter(|_| plain);
    let Some(mut value) = value else {
        let message = format!("{source} holds no token: there are characters in it that no token has");
        return Err(Error::new(ErrorKind::Config, OP, message).hint("tokens look like hf_ and letters and digits"));
    };
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The certificates to trust.
pub(super) fn certificates(path: &Path) -> Result<RootCerts> {
    let bytes = read_small(OP, path, MAX_CERTIFICATES)?;
    let fail = |why: String| {
        Error::new(ErrorKind::Config, OP, format!("{} holds no certificates: {why}", path.display()))
            .hint("SSL_CERT_FILE must name a PEM file")
    };
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| fail(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(fail("there is none in it".to_owned()));
    }
    Ok(RootCerts::from(found))
}
