//! Fetching a model that is not in the cache.

use crate::COMMIT;
use crate::server::{Fault, ID, Server, etag};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use vlm_core::hub::{HubOptions, HubSettings, Network, Progress, Token, download, resolve, resolve_with};

/// Files of a model, and others beside them that nobody needs.
pub(crate) fn files() -> Vec<(&'static str, &'static [u8])> {
    let weights: &'static [u8] = Vec::leak((0..300_000u32).flat_map(u32::to_le_bytes).collect());
    vec![
        ("config.json", b"{\"model_type\": \"llava\"}"),
        ("tokenizer.json", b"{}"),
        ("empty.txt", b""),
        ("chat_template.jinja", b"{{ messages }}"),
        ("model.safetensors", weights),
        ("consolidated.safetensors", b"the same again"),
        ("pytorch_model.bin", b"a pickle"),
        ("README.md", b"read me"),
        ("onnx/config.json", b"{}"),
        ("../evil.json", b"{}"),
    ]
}

pub(crate) const TAKEN: [&str; 5] =
    ["chat_template.jinja", "config.json", "empty.txt", "model.safetensors", "tokenizer.json"];

pub(crate) fn options(cache: &Path, server: &Server) -> HubOptions {
    let network = Network {
        proxy: false,
        connect_timeout: Duration::from_secs(20),
        stall_timeout: Duration::from_secs(20),
        retries: 3,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_secs(3),
        ..Network::default()
    };
    HubOptions::new(HubSettings { endpoint: server.address(), network, ..HubSettings::new(cache) })
}

pub(crate) fn blob(cache: &Path, server: &Server, name: &str) -> PathBuf {
    cache.join("models--owner--model/blobs").join(etag(name, server.bytes(name)))
}

/// Every path below a folder: `-> target` for links, the content for files.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    fn walk(dir: &Path, above: &str, out: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = format!("{above}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), &format!("{name}/"), out);
            } else if kind.is_symlink() {
                out.insert(name, format!("-> {}", std::fs::read_link(entry.path()).unwrap().display()));
            } else {
                out.insert(name, crate::server::hex(&std::fs::read(entry.path()).unwrap(), 64));
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, "", &mut out);
    out
}

fn whole(folder: &Path, server: &Server) {
    for name in TAKEN {
        assert!(std::fs::read(folder.join(name)).unwrap() == server.bytes(name), "{name}");
    }
}

#[test]
fn the_cache_has_huggingface_hubs_layout_to_the_last_file() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files()));
    let folder = resolve(ID, &options(dir.path(), &server)).unwrap();
    assert_eq!(folder, dir.path().join("models--owner--model/snapshots").join(COMMIT));
    let mut expected = BTreeMap::new();
    for name in TAKEN {
        let etag = etag(name, server.bytes(name));
        expected.insert(format!("models--owner--model/snapshots/{COMMIT}/{name}"), format!("-> ../../blobs/{etag}"));
        expected.insert(format!("models--owner--model/blobs/{etag}"), crate::server::hex(server.bytes(name), 64));
        expected.insert(format!(".locks/models--owner--model/{etag}.lock"), crate::server::hex(b"", 64));
    }
    expected.insert("models--owner--model/refs/main".to_owned(), crate::server::hex(COMMIT.as_bytes(), 64));
    let mut found = tree(dir.path());
    assert!(found.remove("CACHEDIR.TAG").is_some());
    assert_eq!(found, expected);
    // Nothing else was asked for, and no part of anything.
    let log = server.log();
    let unwanted = ["consolidated", ".bin", "README", "onnx", "evil"];
    assert!(!log.iter().any(|r| unwanted.iter().any(|u| r.line.contains(u)) || r.range.is_some()), "{log:?}");
    assert!(!log.iter().any(|r| r.elsewhere && r.line.starts_with("HEAD")), "{log:?}");

    // What is there needs no server; bringing it up to date is one question.
    let offline = HubOptions::new(HubSettings { offline: true, ..HubSettings::new(dir.path()) });
    assert_eq!(resolve(ID, &offline).unwrap(), folder);
    assert_eq!(resolve(ID, &options(dir.path(), &server)).unwrap(), folder);
    assert_eq!(server.log().len(), log.len());
    assert_eq!(download(ID, &options(dir.path(), &server), &mut |_| {}).unwrap(), folder);
    assert_eq!(server.log().len(), log.len() + 1);
}

#[test]
fn progress_tells_every_file_and_its_bytes() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files()));
    let mut seen: Vec<Progress> = Vec::new();
    resolve_with(ID, &options(dir.path(), &server), &mut |p| seen.push(p.clone())).unwrap();
    for name in TAKEN {
        let of_file: Vec<_> = seen.iter().filter(|p| p.file == name).collect();
        let size = server.bytes(name).len() as u64;
        assert!(of_file.windows(2).all(|w| w[0].done <= w[1].done), "{name}");
        let last = of_file.last().unwrap();
        assert_eq!((last.done, last.size, last.files), (size, Some(size), TAKEN.len()), "{name}");
    }
    assert!(seen.windows(2).all(|w| w[0].number <= w[1].number));
    assert_eq!(seen.last().unwrap().number, TAKEN.len());
}

#[test]
fn revisions_are_noted_when_all_is_there() {
    let server = Server::start(&files());
    for (revision, noted) in [("refs/pr/4", true), (COMMIT, false)] {
        let dir = tempfile::tempdir().unwrap();
        let options = HubOptions { revision: revision.to_owned(), ..options(dir.path(), &server) };
        whole(&resolve(ID, &options).unwrap(), &server);
        let note = dir.path().join("models--owner--model/refs").join(revision);
        assert_eq!(std::fs::read_to_string(note).is_ok_and(|t| t == COMMIT), noted);
        assert!(!dir.path().join("models--owner--model/refs/main").exists());
    }
    let log = server.log();
    assert!(log.iter().any(|r| r.line.ends_with("/revision/refs%2Fpr%2F4")), "{log:?}");
}

#[test]
fn shards_are_those_that_the_index_names() {
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let mut all = files();
    all.retain(|(name, _)| *name != "model.safetensors");
    all.extend([
        ("model.safetensors.index.json", index as &[u8]),
        ("model-1.safetensors", b"one"),
        ("model-2.safetensors", b"two"),
        ("model-3.safetensors", b"three"),
    ]);
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&all));
    let mut first = String::new();
    let mut show = |p: &Progress| {
        if first.is_empty() {
            first.clone_from(&p.file);
        }
    };
    let folder = resolve_with(ID, &options(dir.path(), &server), &mut show).unwrap();
    assert_eq!(first, "model.safetensors.index.json");
    assert_eq!(std::fs::read(folder.join("model-2.safetensors")).unwrap(), b"two");
    assert!(folder.join("tokenizer.json").exists() && !folder.join("model-3.safetensors").exists());
    assert!(!folder.join("consolidated.safetensors").exists());
}

#[test]
fn adapters_are_fetched_too() {
    let all = [("adapter_config.json", b"{}" as &[u8]), ("adapter_model.safetensors", b"w"), ("README.md", b"")];
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&all));
    let folder = resolve(ID, &options(dir.path(), &server)).unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
}

#[test]
fn the_token_goes_to_the_server_alone() {
    let server = Server::with_token(&files(), Some("hf_secret"));
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), &server);
    options.settings.token = Token::new("hf_secret");
    whole(&resolve(ID, &options).unwrap(), &server);
    let log = server.log();
    assert!(log.iter().any(|r| r.elsewhere));
    for request in &log {
        assert_eq!(request.token.is_some(), !request.elsewhere, "{request:?}");
    }

    // The same token out of a file; a file that is not there is none.
    let again = tempfile::tempdir().unwrap();
    let file = again.path().join("token");
    std::fs::write(&file, "hf_secret\n").unwrap();
    options.settings =
        HubSettings { token: None, token_file: Some(file), cache: Some(again.path().join("hub")), ..options.settings };
    whole(&resolve(ID, &options).unwrap(), &server);
    options.settings.cache = Some(again.path().join("other"));
    options.settings.token_file = Some(again.path().join("gone"));
    let e = resolve(ID, &options).unwrap_err().to_string();
    assert!(e.contains("without a token"), "{e}");
}

#[test]
fn two_at_once_fetch_everything_once() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files()));
    server.fault("GET /content/", Fault::Slow(20, Duration::from_millis(10)));
    let folders = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| folders.lock().unwrap().push(resolve(ID, &options(dir.path(), &server)).unwrap()));
        }
    });
    let folders = folders.into_inner().unwrap();
    assert_eq!(folders.len(), 4);
    folders.iter().for_each(|f| whole(f, &server));
    assert_eq!(server.ranges("model.safetensors"), [None]);
}

#[test]
fn without_symbolic_links_files_stand_for_themselves() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files()));
    let mut options = options(dir.path(), &server);
    options.settings.symlinks = false;
    let folder = resolve(ID, &options).unwrap();
    whole(&folder, &server);
    for name in TAKEN {
        assert!(folder.join(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), TAKEN.len());
}

#[test]
fn a_server_may_live_below_a_path() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files()));
    let mut options = options(dir.path(), &server);
    options.settings.endpoint = format!("{}/mirror/", server.address());
    let e = resolve(ID, &options).unwrap_err().to_string();
    assert!(e.contains("/mirror/owner/model"), "{e}");
    assert_eq!(server.log()[0].line, "GET /mirror/api/models/owner/model/revision/main");
}
