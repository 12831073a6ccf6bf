//! What a server means by refusing, and what to do about it.

use super::OP;
use super::address::Address;
use super::client::{Client, number, text};
use super::patience::Fault;
use crate::hub::id::shown;
use crate::hub::{ModelId, Revision};
use crate::{Error, ErrorKind};
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;
use ureq::http::header::RETRY_AFTER;

impl Client {
    /// What a status other than success means.
    pub(super) fn refused(
        &self,
        response: &Response<Body>,
        address: &Address,
        id: &ModelId,
        revision: &Revision,
        file: Option<&str>,
    ) -> Fault {
        let (status, headers) = (response.status(), response.headers());
        let said = text(headers, "x-error-message").map(|m| shown(&m));
        let code = text(headers, "x-error-code").unwrap_or_default();
        let what = file.map_or_else(|| id.to_string(), |file| format!("{file} of {id}"));
        let error = |message: String| {
            let e = Error::new(ErrorKind::Io, OP, message).with("status", status.as_u16());
            match &said {
                Some(said) => e.with("the server says", said),
                None => e,
            }
        };
        let page = format!("{}/{id}", self.endpoint.public().trim_end_matches('/'));
        match status.as_u16() {
            // The next attempt gets a new signature from the server.
            401 | 403 if address.origin() != self.origin => {
                let message = format!("{what}: {} refuses what the server has signed", address.public());
                Fault::Passing(error(message).hint("check this machine's clock and the proxy"), None)
            }
            401 | 403 if self.token.is_none() => Fault::Final(error(format!("{what} may not be read without a token")).hint(
                format!(
                    "check the id; if the model is gated, accept its conditions on {page}, then set HF_TOKEN to a token \
                     of yours or log in with `hf auth login`"
                ),
            )),
            401 | 403 => Fault::Final(error(format!("{what} may not be read with this token")).hint(format!(
                "check the id and HF_TOKEN (or the file that HF_TOKEN_PATH or HF_HOME point to); if the model is gated, \
                 accept its conditions on {page} with the account that the token belongs to"
            ))),
            404 if code == "RevisionNotFound" => {
                Fault::Final(error(format!("{id} has no revision {revision}")).hint(format!("see {page} for those it has")))
            }
            404 => {
                let which = match file {
                    Some(file) => format!("{id} has no file {file} in revision {revision}"),
                    None => format!("there is no model {id} with a revision {revision}"),
                };
                Fault::Final(error(which).hint(format!("check id and revision on {page}; HF_ENDPOINT names the server")))
            }
            408 | 429 | 500..=599 => {
                let busy = if status.as_u16() == 429 { "too many requests" } else { "the server cannot answer now" };
                let asked = number(headers, RETRY_AFTER.as_str()).map(Duration::from_secs);
                let hint = "try again later; what was fetched so far is kept";
                Fault::Passing(error(format!("{what}: {busy}")).hint(hint), asked)
            }
            _ => Fault::Final(error(format!("{what}: an answer that was not expected")).hint("check HF_ENDPOINT")),
        }
    }
}
