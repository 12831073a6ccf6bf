//! What may be tried again, and when.

use super::OP;
use crate::hub::Network;
use crate::{Error, ErrorKind};
use std::time::Duration;

/// A failure of one attempt.
#[derive(Debug)]
pub(super) enum Fault {
    /// It will be the same the next time.
    Final(Error),
    /// It may pass; the server may have said after what time.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Final(error)
    }
}

/// Counts attempts and waits between them.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    network: &'a Network,
    failed: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        Patience { network, failed: 0 }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The fault's error if it is final, if all attempts are used up, or if the server asks for too long a wait.
    pub(super) fn wait(&mut self, fault: Fault) -> Result<(), Error> {
        let (error, asked) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Passing(error, asked) => (error, asked),
        };
        let Network { retries, first_wait, longest_wait, .. } = *self.network;
        if self.failed >= retries {
            return Err(error.with("attempts", self.failed + 1));
        }
        let doubled = first_wait.saturating_mul(1 << self.failed.min(16)).min(longest_wait);
        if asked.is_some_and(|a| a > longest_wait) {
            let seconds = asked.unwrap_or_default().as_secs();
            return Err(error.with("the server asks to wait", format!("{seconds} s")));
        }
        let wait = asked.map_or(doubled, |asked| asked.max(doubled.min(first_wait)));
        self.failed += 1;
        tracing::warn!(%error, wait_s = wait.as_secs_f64(), "trying again");
        std::thread::sleep(wait);
        Ok(())
    }

    /// Tries until it works.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(super) fn insist<T>(mut self, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Error> {
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(fault) => self.wait(fault)?,
            }
        }
    }
}

/// What a failed connection to `address` means.
pub(super) fn connection_fault(address: &str, e: ureq::Error) -> Fault {
    let error = |what: &str| Error::new(ErrorKind::Io, OP, format!("{address}: {what}"));
    let passing = |what: &str, hint: &str| Fault::Passing(error(what).hint(hint), None);
    match e {
        ureq::Error::Timeout(which) => passing(
            &format!("no answer in time ({which})"),
            "check the connection; HF_HUB_DOWNLOAD_TIMEOUT sets the time",
        ),
        ureq::Error::HostNotFound => passing(
            "the host is not found",
            "check the connection and HF_ENDPOINT; without a network, download the model elsewhere and give its folder",
        ),
        ureq::Error::Io(e) if e.kind() != std::io::ErrorKind::InvalidData => {
            passing(&format!("the connection failed: {e}"), "check the connection, HF_ENDPOINT and HTTPS_PROXY")
        }
        ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => {
            passing("the connection failed", "check the connection, HF_ENDPOINT and HTTPS_PROXY")
        }
        ureq::Error::Protocol(e) => passing(&format!("the answer is not HTTP: {e}"), "check HF_ENDPOINT"),
        ureq::Error::ConnectProxyFailed(e) => {
            Fault::Final(error(&format!("the proxy refused: {e}")).hint("check HTTPS_PROXY and NO_PROXY"))
        }
        // Bytes that are no TLS, or a certificate that is not trusted.
        e => Fault::Final(error(&format!("no safe connection: {e}")).hint(
            "if the network has certificates of its own, set SSL_CERT_FILE to their PEM file; check HF_ENDPOINT",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn network() -> Network {
        Network {
            retries: 2,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_secs(1),
            ..Network::default()
        }
    }

    fn passing(asked: Option<u64>) -> Fault {
        Fault::Passing(Error::new(ErrorKind::Io, "t", "busy"), asked.map(Duration::from_millis))
    }

    #[test]
    fn faults_that_pass_are_tried_again_a_few_times() {
        let network = network();
        let mut calls = 0;
        let done = Patience::new(&network).insist(|| {
            calls += 1;
            if calls < 3 { Err(passing(None)) } else { Ok(calls) }
        });
        assert_eq!(done.unwrap(), 3);
        let e = Patience::new(&network).insist(|| Err::<(), _>(passing(None))).unwrap_err();
        assert!(e.to_string().contains("attempts: 3"), "{e}");
        let mut calls = 0;
        let e = Patience::new(&network).insist(|| {
            calls += 1;
            Err::<(), _>(Fault::Final(Error::new(ErrorKind::Io, "t", "gone")))
        });
        assert_eq!((e.unwrap_err().message(), calls), ("gone", 1));
    }

    #[test]
    fn a_server_is_waited_for_within_bounds() {
        let network = network();
        let began = Instant::now();
        Patience::new(&network).wait(passing(Some(50))).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(50));
        let e = Patience::new(&network).wait(passing(Some(5000))).unwrap_err().to_string();
        assert!(e.contains("asks to wait: 5 s"), "{e}");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
