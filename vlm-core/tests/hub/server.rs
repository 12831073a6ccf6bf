//! A server of models, small but with all that can go wrong: HTTP/1.1 on two ports, the second one for large contents.

use crate::COMMIT;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const ID: &str = "owner/model";

/// Names and contents.
pub(crate) type Files<'a> = &'a [(&'a str, &'a [u8])];

/// What a request was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Whether it came to the port of large contents.
    pub(crate) elsewhere: bool,
    /// Method and path.
    pub(crate) line: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
}

/// What happens to one request in place of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Nothing more comes after so many bytes of the body, for this time.
    Stall(usize, Duration),
    /// The body comes in so many pieces with this pause after each.
    Slow(usize, Duration),
    /// A status with headers.
    Status(u16, &'static str),
    /// All of it, whatever part was asked for.
    Whole,
    /// Another body; of its own length.
    Body(Vec<u8>),
    /// An answer with these headers and no body.
    Raw(String),
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    revisions: Vec<String>,
    token: Option<String>,
    ports: [u16; 2],
    faults: Mutex<Vec<(String, Fault)>>,
    log: Mutex<Vec<Request>>,
}

/// A running server. It ends with the process.
pub(crate) struct Server(Arc<State>);

pub(crate) fn hex(bytes: &[u8], digits: usize) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>()[..digits].to_owned()
}

/// The name of a content: a SHA-256 for large ones, 40 digits for the others.
pub(crate) fn etag(name: &str, bytes: &[u8]) -> String {
    hex(bytes, if name.ends_with(".safetensors") { 64 } else { 40 })
}

impl Server {
    pub(crate) fn start(files: Files<'_>) -> Self {
        Self::with_token(files, None)
    }

    /// A server that asks for a token.
    pub(crate) fn with_token(files: Files<'_>, token: Option<&str>) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let state = Arc::new(State {
            files: files.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect(),
            revisions: ["main", "refs%2Fpr%2F4", COMMIT].map(str::to_owned).to_vec(),
            token: token.map(str::to_owned),
            ports: [0, 1].map(|i| listeners[i].local_addr().unwrap().port()),
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        for (elsewhere, listener) in [false, true].into_iter().zip(listeners) {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    std::thread::spawn(move || {
                        let _ = state.serve(stream, elsewhere);
                    });
                }
            });
        }
        Server(state)
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.ports[0])
    }

    /// The next request whose line contains `part` meets with this. Several are met in their order.
    pub(crate) fn fault(&self, part: &str, fault: Fault) {
        self.0.faults.lock().unwrap().push((part.to_owned(), fault));
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.0.log.lock().unwrap().clone()
    }

    /// The ranges of the requests for a content.
    pub(crate) fn ranges(&self, part: &str) -> Vec<Option<String>> {
        let begin = format!("GET /content/{part}");
        self.log().into_iter().filter(|r| r.line.starts_with(&begin)).map(|r| r.range).collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        &self.0.files[name]
    }
}

impl State {
    fn serve(&self, stream: TcpStream, elsewhere: bool) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let mut request = Request { elsewhere, line, ..Request::default() };
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = Some(value.to_owned()),
                "authorization" => request.token = Some(value.to_owned()),
                _ => {}
            }
        }
        self.log.lock().unwrap().push(request.clone());
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let at = faults.iter().position(|(part, _)| request.line.contains(&**part));
            at.map(|at| faults.remove(at).1)
        };
        self.answer(stream, &request, fault)
    }

    fn answer(&self, mut stream: TcpStream, request: &Request, fault: Option<Fault>) -> std::io::Result<()> {
        match &fault {
            Some(Fault::Status(status, headers)) => return head(&mut stream, *status, headers, 0),
            Some(Fault::Raw(headers)) => return write!(stream, "HTTP/1.1 {headers}\r\nConnection: close\r\n\r\n"),
            _ => {}
        }
        let (method, path) = request.line.split_once(' ').unwrap_or_default();
        if request.elsewhere {
            // As with signed addresses, only fetching is allowed.
            let name = path.split('?').next().unwrap_or_default().strip_prefix("/content/");
            return match name.and_then(|n| self.files.get(n)).filter(|_| method == "GET") {
                Some(bytes) => body(&mut stream, bytes, "", request, fault),
                None => head(&mut stream, 403, "", 0),
            };
        }
        if let Some(token) = &self.token
            && request.token.as_deref() != Some(&*format!("Bearer {token}"))
        {
            return head(&mut stream, 401, "X-Error-Code: GatedRepo\r\nX-Error-Message: Access is restricted\r\n", 0);
        }
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{ID}/revision/")) {
            if !self.revisions.iter().any(|r| r == revision) {
                return head(&mut stream, 404, "X-Error-Code: RevisionNotFound\r\n", 0);
            }
            let siblings: Vec<_> = self.files.keys().map(|f| serde_json::json!({"rfilename": f})).collect();
            let json = serde_json::json!({"id": ID, "sha": COMMIT, "siblings": siblings}).to_string();
            return body(&mut stream, json.as_bytes(), "", request, fault);
        }
        let name = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/")).map(str::to_owned);
        let Some((name, bytes)) = name.and_then(|n| self.files.get_key_value(&n)) else {
            return head(&mut stream, 404, "X-Error-Code: EntryNotFound\r\n", 0);
        };
        let (etag, size) = (etag(name, bytes), bytes.len());
        if name.ends_with(".safetensors") {
            let headers = format!(
                "Location: http://127.0.0.1:{}/content/{name}?signature=secret\r\nETag: \"of the redirect\"\r\n\
                 X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\nX-Repo-Commit: {COMMIT}\r\n",
                self.ports[1]
            );
            return head(&mut stream, 302, &headers, 0);
        }
        let headers = format!("ETag: W/\"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
        if method == "HEAD" {
            head(&mut stream, 200, &headers, size)
        } else {
            body(&mut stream, bytes, &headers, request, fault)
        }
    }
}

fn head(stream: &mut TcpStream, status: u16, headers: &str, length: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Some\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n")
}

fn body(
    stream: &mut TcpStream,
    bytes: &[u8],
    headers: &str,
    request: &Request,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let range =
        request.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let range = range.filter(|_| !matches!(fault, Some(Fault::Whole)));
    let bytes = if let Some(Fault::Body(other)) = &fault { other.as_slice() } else { bytes };
    let (status, from, more) = match range {
        Some(from) if from >= bytes.len() => {
            return head(stream, 416, &format!("Content-Range: bytes */{}\r\n", bytes.len()), 0);
        }
        Some(from) => (206, from, format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len())),
        None => (200, 0, String::new()),
    };
    let bytes = &bytes[from..];
    head(stream, status, &format!("{headers}{more}"), bytes.len())?;
    match fault {
        Some(Fault::Cut(n)) => stream.write_all(&bytes[..n.min(bytes.len())]),
        Some(Fault::Stall(n, time)) => {
            stream.write_all(&bytes[..n.min(bytes.len())])?;
            std::thread::sleep(time);
            Ok(())
        }
        Some(Fault::Slow(pieces, pause)) => {
            for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
                stream.write_all(piece)?;
                std::thread::sleep(pause);
            }
            Ok(())
        }
        _ => stream.write_all(bytes),
    }
}
