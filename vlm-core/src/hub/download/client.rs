//! Requests to the server: redirects followed by hand, so that the token goes to the server's own host only.

use super::OP;
use super::address::{Address, Origin, escape};
use super::credentials::{certificates, token};
use super::patience::{Fault, Patience, connection_fault};
use crate::hub::id::shown;
use crate::hub::{HubSettings, ModelId, Network, Revision};
use crate::{Error, ErrorKind, Result};
use ureq::http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

/// Longest answer about a model that is read.
const MAX_ANSWER: u64 = 16 << 20;
const MAX_REDIRECTS: usize = 10;

/// A server and what we show it.
pub(super) struct Client {
    agent: Agent,
    pub(super) endpoint: Address,
    pub(super) origin: Origin,
    /// The endpoint without a slash at its end.
    base: String,
    pub(super) token: Option<HeaderValue>,
    pub(super) network: Network,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// What there is.
    Head,
    /// The content from this byte.
    Get(u64),
}

/// A last answer, and what the ones before it said.
struct Answer {
    response: Response<Body>,
    address: Address,
    linked: Linked,
}

/// What the server says about a file that lies elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Linked {
    etag: Option<String>,
    size: Option<u64>,
    /// The commit that the file is of. Pages of networks that want a log-in have none.
    commit: Option<String>,
}

/// A file as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// The name of its content: 64 digits are its SHA-256.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

impl Client {
    /// # Errors
    /// [`ErrorKind::Config`] for an endpoint, a token or certificates that are none.
    pub(super) fn new(settings: &HubSettings) -> Result<Self> {
        let base = settings.endpoint.trim_end_matches('/').to_owned();
        let endpoint = Address::parse(&base).map_err(|e| e.hint("check HF_ENDPOINT"))?;
        if endpoint.uri().query().is_some() || base.contains('#') {
            return Err(Error::new(ErrorKind::Config, OP, format!("{} is not the address of a server", shown(&base)))
                .hint("check HF_ENDPOINT"));
        }
        let network = settings.network.clone();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("vlm-core/", env!("CARGO_PKG_VERSION")))
            // What is named by its size and digest must come as it is.
            .accept_encoding("identity")
            .timeout_resolve(Some(network.connect_timeout))
            .timeout_connect(Some(network.connect_timeout))
            .timeout_recv_response(Some(network.stall_timeout))
            // A body may take as long as it likes while something comes.
            .timeout_per_read(Some(network.stall_timeout))
            .timeout_per_write(Some(network.stall_timeout));
        if !network.proxy {
            config = config.proxy(None);
        }
        if let Some(path) = &network.certificates {
            config = config.tls_config(TlsConfig::builder().root_certs(certificates(path)?).build());
        }
        Ok(Client {
            agent: config.build().new_agent(),
            origin: endpoint.origin(),
            endpoint,
            base,
            token: token(settings)?,
            network,
        })
    }

    /// The server's answer about a revision of a model, not yet looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is no such model or revision, if it may not be read, or if the server cannot be reached.
    pub(super) fn describe_model(&self, id: &ModelId, revision: &Revision) -> Result<Vec<u8>> {
        let address = self.address(&format!("{}/api/models/{id}/revision/{}", self.base, escape(revision.as_str())))?;
        Patience::new(&self.network).insist(|| {
            let Answer { mut response, address, .. } = self.follow(&address, Ask::Get(0))?;
            if response.status() != StatusCode::OK {
                return Err(self.refused(&response, &address, id, revision, None));
            }
            let read = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
            read.map_err(|e| match e {
                ureq::Error::BodyExceedsLimit(_) => {
                    let message = format!("{} answers with more than {MAX_ANSWER} bytes", address.public());
                    Fault::Final(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT"))
                }
                e => connection_fault(&address.public(), e),
            })
        })
    }

    /// Name and size of a file's content.
    ///
    /// # Errors
    /// As [`describe_model`](Self::describe_model); [`ErrorKind::Format`] if the server does not name the content.
    pub(super) fn describe_file(&self, id: &ModelId, commit: &Revision, file: &str) -> Result<Described> {
        let start = self.file_address(id, commit, file)?;
        Patience::new(&self.network).insist(|| {
            let Answer { response, address, linked } = self.follow(&start, Ask::Head)?;
            let status = response.status();
            if status != StatusCode::OK && !(status.is_redirection() && linked.etag.is_some()) {
                return Err(self.refused(&response, &address, id, commit, Some(file)));
            }
            if linked.commit.as_deref().is_none_or(|c| !c.eq_ignore_ascii_case(commit.as_str())) {
                let found = linked.commit.map_or_else(|| "none".to_owned(), |c| shown(&c));
                let message = format!("{} answers for another commit of {file}", start.public());
                return Err(Error::new(ErrorKind::Format, OP, message)
                    .with("X-Repo-Commit", found)
                    .hint("is this the address of a server of models? check HF_ENDPOINT, and whether the network wants a log-in")
                    .into());
            }
            let headers = response.headers();
            let own = || text(headers, "etag").map(normal_etag);
            let Some(etag) = linked.etag.or_else(own) else {
                let message = format!("{} gives no ETag for {file}", start.public());
                return Err(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT").into());
            };
            let length = || if status == StatusCode::OK { number(headers, "content-length") } else { None };
            Ok(Described { etag: checked_etag(etag, file)?, size: linked.size.or_else(length) })
        })
    }

    /// One request for a file's content from byte `from` on: a status of 200, 206 or 416.
    pub(super) fn open_file(
        &self,
        id: &ModelId,
        commit: &Revision,
        file: &str,
        from: u64,
    ) -> Result<Response<Body>, Fault> {
        let Answer { response, address, .. } = self.follow(&self.file_address(id, commit, file)?, Ask::Get(from))?;
        let fine = match response.status() {
            StatusCode::OK => true,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => from > 0,
            _ => false,
        };
        if !fine {
            return Err(self.refused(&response, &address, id, commit, Some(file)));
        }
        if let Some(coding) = response.headers().get(CONTENT_ENCODING).filter(|v| v.as_bytes() != b"identity") {
            let message = format!("{} sends {file} as {coding:?}, which was not asked for", address.public());
            return Err(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT and the proxy").into());
        }
        Ok(response)
    }

    fn file_address(&self, id: &ModelId, commit: &Revision, file: &str) -> Result<Address> {
        self.address(&format!("{}/{id}/resolve/{}/{}", self.base, escape(commit.as_str()), escape(file)))
    }

    fn address(&self, text: &str) -> Result<Address> {
        Address::parse(text)
    }

    /// Asks, and goes where the server sends us. A question what there is ends where the server has said it, before
    /// another host is asked: signed addresses are often good for fetching only.
    fn follow(&self, start: &Address, ask: Ask) -> Result<Answer, Fault> {
        let mut address = start.clone();
        let mut linked = Linked::default();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&address, ask)?;
            let headers = response.headers();
            linked.etag = linked.etag.or_else(|| text(headers, "x-linked-etag").map(normal_etag));
            linked.size = linked.size.or_else(|| number(headers, "x-linked-size"));
            linked.commit = linked.commit.or_else(|| text(headers, "x-repo-commit"));
            let moved = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
            let Some(location) = headers.get(LOCATION).filter(|_| moved) else {
                return Ok(Answer { response, address, linked });
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let next = address.join(&location)?;
            if ask == Ask::Head && linked.etag.is_some() && next.origin() != self.origin {
                return Ok(Answer { response, address, linked });
            }
            address = next;
        }
        let message = format!("{} sends us on more than {MAX_REDIRECTS} times", start.public());
        Err(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT").into())
    }

    fn once(&self, address: &Address, ask: Ask) -> Result<Response<Body>, Fault> {
        let mut request = match ask {
            Ask::Head => self.agent.head(address.uri()),
            Ask::Get(_) => self.agent.get(address.uri()),
        };
        if let Some(token) = self.token.as_ref().filter(|_| address.origin() == self.origin) {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Ask::Get(from) = ask
            && from > 0
        {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|e| connection_fault(&address.public(), e))
    }
}

/// A header as text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// A header as a number.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// `"x"` and `W/"x"` are `x`.
fn normal_etag(etag: String) -> String {
    etag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

/// An ETag becomes a file's name.
fn checked_etag(etag: String, file: &str) -> Result<String> {
    let fine = (1..=128).contains(&etag.len())
        && !etag.starts_with('.')
        && etag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !fine {
        let message = format!("the server names the content of {file} {}, which cannot be a file's name", shown(&etag));
        return Err(Error::new(ErrorKind::Format, OP, message).hint("check HF_ENDPOINT"));
    }
    Ok(etag)
}
