//! Addresses: the server's, and where it sends us.

use super::OP;
use crate::hub::id::shown;
use crate::{Error, ErrorKind, Result};
use ureq::http::Uri;

/// The address of something on a server, `http` or `https`, without a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(Uri);

/// Scheme, host and port: what must be the same for a token to go along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Address {
    /// Reads a whole address.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for anything but `http://` or `https://` with a host and without a user's name.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let fail = |why: &str| Error::new(ErrorKind::Config, OP, format!("{} is not an address: {why}", shown(text)));
        let uri: Uri = text.parse().map_err(|e| fail(&format!("{e}")))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if scheme != "http" && scheme != "https" {
            return Err(fail("it does not begin with http:// or https://"));
        }
        let authority = uri.authority().map_or("", |a| a.as_str());
        if uri.host().is_none_or(str::is_empty) {
            return Err(fail("it names no host"));
        }
        if authority.contains('@') {
            // What stands there is secret.
            let message = format!("the address of {} names a user", uri.host().unwrap_or_default());
            return Err(Error::new(ErrorKind::Config, OP, message).hint("a token is the way to say who you are"));
        }
        Ok(Address(uri))
    }

    pub(super) fn origin(&self) -> Origin {
        let https = self.0.scheme_str() == Some("https");
        let port = self.0.port_u16().unwrap_or(if https { 443 } else { 80 });
        Origin { https, host: self.0.host().unwrap_or_default().to_ascii_lowercase(), port }
    }

    /// The address without what may be secret in it: signatures are in the part after `?`.
    pub(super) fn public(&self) -> String {
        format!("{}://{}{}", self.0.scheme_str().unwrap_or_default(), self.authority(), self.0.path())
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Where `location`, found at this address, points to.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if it points nowhere, or from `https` to `http`.
    pub(super) fn join(&self, location: &str) -> Result<Self> {
        let location = location.trim();
        let scheme = self.0.scheme_str().unwrap_or_default();
        let text = if location.contains("://") && !location.starts_with(['/', '?', '.']) {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.authority())
        } else {
            let folder = self.0.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{}{folder}/{location}", self.authority())
        };
        let fail = |why: String| {
            let message = format!("{} sends us to {}: {why}", self.public(), shown(&text));
            Error::new(ErrorKind::Format, OP, message)
        };
        let next = Address::parse(&text).map_err(|e| fail(e.message().to_owned()))?;
        if self.origin().https && !next.origin().https {
            return Err(fail("that is http, anybody on the way could change what comes".to_owned()));
        }
        Ok(next)
    }

    fn authority(&self) -> &str {
        self.0.authority().map_or("", |a| a.as_str())
    }
}

/// A text as one part of a path: all but letters, digits, `-`, `_`, `.` and `~` escaped.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_http_with_a_host() {
        for (bad, says) in [
            ("", "address"),
            ("mirror", "begin with"),
            ("ftp://a/b", "begin with"),
            ("file:///etc", "address"),
            ("http://", "address"),
            ("https://user:secret@a/", "names a user"),
            ("http://a b/", "address"),
        ] {
            let e = Address::parse(bad).unwrap_err().to_string();
            assert!(e.contains(says), "{bad}: {e}");
        }
        let a = Address::parse("https://A.example/x?secret=1#f").unwrap();
        assert_eq!(a.public(), "https://A.example/x");
        assert_eq!(a.origin(), Address::parse("https://a.example:443/other").unwrap().origin());
        assert_ne!(a.origin(), Address::parse("http://a.example/x").unwrap().origin());
        assert_ne!(a.origin(), Address::parse("https://a.example:444/x").unwrap().origin());
        assert_ne!(a.origin(), Address::parse("https://b.example/x").unwrap().origin());
    }

    #[test]
    fn locations_are_followed_from_where_they_stand() {
        let from = Address::parse("http://h:81/a/b?q=1").unwrap();
        for (location, to) in [
            ("https://o/x?y=http://z", "https://o/x?y=http://z"),
            ("//o/x", "http://o/x"),
            ("/x/y?z", "http://h:81/x/y?z"),
            ("c", "http://h:81/a/c"),
            ("/x?to=https://o/", "http://h:81/x?to=https://o/"),
        ] {
            assert_eq!(from.join(location).unwrap(), Address::parse(to).unwrap(), "{location}");
        }
        let safe = Address::parse("https://h/a").unwrap();
        assert!(safe.join("http://h/a").unwrap_err().to_string().contains("that is http"));
        assert!(safe.join("gopher://h/a").unwrap_err().to_string().contains("sends us to"));
        assert!(safe.join("//u@h/a").is_err());
    }

    #[test]
    fn parts_of_paths_are_escaped() {
        assert_eq!(escape("refs/pr/4"), "refs%2Fpr%2F4");
        assert_eq!(escape("a b?c#d%e&é.json"), "a%20b%3Fc%23d%25e%26%C3%A9.json");
        assert_eq!(escape("Az09-_.~"), "Az09-_.~");
    }
}
