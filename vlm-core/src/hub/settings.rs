//! What the environment says about the cache and the server, as a value.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The public server.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where models are kept and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    /// The folder that holds `models--owner--name`. `None` where neither a variable nor a home folder tells.
    pub cache: Option<PathBuf>,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// Whether snapshots may be made of symbolic links. Where they may not, or the system refuses them, files are shared by
    /// hard links, or copied.
    pub symlinks: bool,
    /// The server's address, `http://` or `https://`, with or without a path.
    pub endpoint: String,
    /// The token for gated and private models. It is sent to the endpoint's own host only.
    pub token: Option<Token>,
    /// A file with a token, read where `token` is `None` and something is to be downloaded. It need not exist.
    pub token_file: Option<PathBuf>,
    /// How connections are made.
    pub network: Network,
}

/// How connections are made, how long they may take, and how often something is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether to go through the proxy that `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY` names, `NO_PROXY` excepted.
    pub proxy: bool,
    /// A PEM file of the certificates to trust. `None` trusts those of the Mozilla list that is built in.
    pub certificates: Option<PathBuf>,
    /// Longest time until a connection is there.
    pub connect_timeout: Duration,
    /// Longest time without a byte.
    pub stall_timeout: Duration,
    /// How many times something is tried again after faults that may pass. Progress starts the count anew.
    pub retries: u32,
    /// The wait before the first repetition; it doubles from one to the next.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for more is not waited for.
    pub longest_wait: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            proxy: true,
            certificates: None,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            retries: 4,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// A secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token, without the white space around it; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.to_owned()))
    }

    /// The token itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl HubSettings {
    /// Settings for a cache in `folder` and the public server, whatever the environment says.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        HubSettings { cache: Some(folder.into()), ..HubSettings::from_lookup(|_| None) }
    }

    /// Reads the environment as `huggingface_hub` does:
    ///
    /// | variable | what |
    /// |---|---|
    /// | `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE` | the cache |
    /// | `HF_HOME` | the cache is `hub` in it, the token is in its file `token` |
    /// | `XDG_CACHE_HOME` | where `HF_HOME` is not set, `huggingface` in it takes its place; without it `~/.cache` |
    /// | `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE` | `1`, `ON`, `YES` or `TRUE` in any case: no downloads |
    /// | `HF_ENDPOINT` | the server |
    /// | `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN` | the token |
    /// | `HF_TOKEN_PATH` | the file of the token |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | no token is sent |
    /// | `HF_HUB_DISABLE_SYMLINKS` | no symbolic links |
    /// | `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT` | whole seconds until a connection is there, and without a byte |
    /// | `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` | the certificates to trust; the first that is set |
    ///
    /// Empty variables count as not set. `~` and `$NAME` are replaced in those that name a file or folder.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var_os(name).or_else(|| home_of_system(name)))
    }

    /// As [`from_env`](Self::from_env), with variables from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let env = Env { lookup: &lookup };
        let home = env.path("HF_HOME").or_else(|| {
            let cache = env.path("XDG_CACHE_HOME").or_else(|| Some(env.home()?.join(".cache")));
            Some(cache?.join("huggingface"))
        });
        let inside = |name: &str| home.as_ref().map(|h| h.join(name));
        let first = |names: &[&str]| names.iter().find_map(|n| env.text(n));
        let network = Network::default();
        let seconds = |name: &str, default: Duration| match env.text(name).and_then(|t| t.trim().parse::<u64>().ok()) {
            Some(0) | None => default,
            Some(seconds) => Duration::from_secs(seconds),
        };
        let silent = env.is_true(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]);
        let token = first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]).and_then(|t| Token::new(&t));
        HubSettings {
            cache: ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].iter().find_map(|n| env.path(n)).or_else(|| inside("hub")),
            offline: env.is_true(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            symlinks: !env.is_true(&["HF_HUB_DISABLE_SYMLINKS"]),
            endpoint: env.text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: token.filter(|_| !silent),
            token_file: env.path("HF_TOKEN_PATH").or_else(|| inside("token")).filter(|_| !silent),
            network: Network {
                certificates: ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
                    .iter()
                    .find_map(|n| env.path(n)),
                connect_timeout: seconds("HF_HUB_ETAG_TIMEOUT", network.connect_timeout),
                stall_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT", network.stall_timeout),
                ..network
            },
        }
    }
}

/// The home folder as the system knows it, for processes that were started without the variable.
fn home_of_system(name: &str) -> Option<OsString> {
    (name == "HOME").then(std::env::home_dir).flatten().map(PathBuf::into_os_string)
}

struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Env<'_> {
    fn raw(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.raw(name)?.into_string().ok()
    }

    fn home(&self) -> Option<PathBuf> {
        self.raw("HOME").or_else(|| self.raw("USERPROFILE")).map(PathBuf::from)
    }

    /// Whether the first of these that is set says yes.
    fn is_true(&self, names: &[&str]) -> bool {
        let said = names.iter().find_map(|n| self.text(n)).unwrap_or_default();
        ["1", "ON", "YES", "TRUE"].contains(&&*said.to_uppercase())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.raw(name)?;
        // What is no text is a path already.
        Some(value.to_str().map_or_else(|| PathBuf::from(&value), |text| self.expand(text)))
    }

    /// Replaces `~` at the beginning, and `$NAME` and `${NAME}` where they are set.
    fn expand(&self, text: &str) -> PathBuf {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, end) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                Some((name, _)) => (name, name.len() + 2),
                None => {
                    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                    (&after[..end], end)
                }
            };
            match (!name.is_empty()).then(|| self.text(name)).flatten() {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + 1 + end]),
            }
            rest = &after[end..];
        }
        out.push_str(rest);
        match (out.strip_prefix('~'), self.home()) {
            (Some(""), Some(home)) => home,
            (Some(tail), Some(home)) if tail.starts_with(['/', '\\']) => {
                home.join(tail.trim_start_matches(['/', '\\']))
            }
            _ => Path::new(&out).to_path_buf(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Vars<'a> = &'a [(&'a str, &'a str)];

    fn from(vars: Vars<'_>) -> HubSettings {
        HubSettings::from_lookup(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into()))
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let cases: &[(Vars<'_>, Option<&str>, Option<&str>)] = &[
            (&[], None, None),
            (&[("HOME", "/u")], Some("/u/.cache/huggingface/hub"), Some("/u/.cache/huggingface/token")),
            (&[("USERPROFILE", "/p")], Some("/p/.cache/huggingface/hub"), Some("/p/.cache/huggingface/token")),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], Some("/x/huggingface/hub"), Some("/x/huggingface/token")),
            (&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], Some("/h/hub"), Some("/h/token")),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], Some("/old"), Some("/h/token")),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")],
                Some("/c"),
                Some("/h/token"),
            ),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", ""), ("HF_TOKEN_PATH", "/t")], Some("/h/hub"), Some("/t")),
            (&[("HF_HOME", "~/m"), ("HOME", "/u")], Some("/u/m/hub"), Some("/u/m/token")),
            (&[("HF_HUB_CACHE", "~"), ("HOME", "/u"), ("HF_TOKEN_PATH", "~x")], Some("/u"), Some("~x")),
            (&[("HF_HOME", "$A/${B}/$C$"), ("A", "/a"), ("B", "b")], Some("/a/b/$C$/hub"), Some("/a/b/$C$/token")),
        ];
        for (vars, cache, token) in cases {
            let s = from(vars);
            assert_eq!(s.cache.as_deref(), cache.map(Path::new), "{vars:?}");
            assert_eq!(s.token_file.as_deref(), token.map(Path::new), "{vars:?}");
        }
    }

    #[test]
    fn truth_values_are_those_of_huggingface_hub() {
        for yes in ["1", "on", "ON", "Yes", "true", "TRUE"] {
            assert!(from(&[("HF_HUB_OFFLINE", yes)]).offline, "{yes}");
            assert!(from(&[("TRANSFORMERS_OFFLINE", yes)]).offline, "{yes}");
            assert!(!from(&[("HF_HUB_DISABLE_SYMLINKS", yes)]).symlinks, "{yes}");
        }
        for no in ["", "0", "2", "off", "no", "false", "enabled"] {
            assert!(!from(&[("HF_HUB_OFFLINE", no)]).offline, "{no}");
        }
        // The first that is set decides.
        assert!(!from(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(from(&[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "1")]).offline);
    }

    #[test]
    fn endpoint_token_and_times_are_taken_and_the_token_stays_hidden() {
        let s = from(&[]);
        assert_eq!((&*s.endpoint, s.token, s.network), (DEFAULT_ENDPOINT, None, Network::default()));
        let s = from(&[
            ("HF_ENDPOINT", "http://mirror"),
            ("HUGGING_FACE_HUB_TOKEN", "old"),
            ("HF_TOKEN", " hf_secret\r\n"),
            ("HF_HUB_ETAG_TIMEOUT", "3"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "many"),
            ("CURL_CA_BUNDLE", "/curl"),
            ("REQUESTS_CA_BUNDLE", "/requests"),
        ]);
        assert_eq!(s.token.as_ref().map(Token::secret), Some("hf_secret"));
        assert_eq!((&*s.endpoint, s.network.connect_timeout), ("http://mirror", Duration::from_secs(3)));
        assert_eq!(s.network.stall_timeout, Network::default().stall_timeout);
        assert_eq!(s.network.certificates.as_deref(), Some(Path::new("/requests")));
        assert!(!format!("{s:?}").contains("secret"), "{s:?}");
        let s = from(&[("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", ""), ("HOME", "/u")]);
        assert_eq!(s.token.as_ref().map(Token::secret), Some("old"));
        let s = from(&[("HF_TOKEN", "x"), ("HOME", "/u"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!((s.token, s.token_file), (None, None));
        assert_eq!(HubSettings::new("/c").cache.as_deref(), Some(Path::new("/c")));
    }
}
