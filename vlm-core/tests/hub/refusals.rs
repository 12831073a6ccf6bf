//! Servers that refuse, lie, or lead astray.

use crate::COMMIT;
use crate::download::{files, options};
use crate::server::{Fault, Files, ID, Server};
use vlm_core::ErrorKind;
use vlm_core::hub::{HubOptions, Token, download, resolve};

fn setup() -> (tempfile::TempDir, Server) {
    (tempfile::tempdir().unwrap(), Server::start(&files()))
}

#[test]
fn what_may_not_be_read_says_how_to_get_access() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_token(&files(), Some("hf_right"));
    let mut options = options(dir.path(), &server);
    let e = resolve(ID, &options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let text = e.to_string();
    let page = format!("{}/owner/model", server.address());
    for part in ["owner/model may not be read without a token", "401", "Access is restricted", &page, "HF_TOKEN"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    options.settings.token = Token::new("hf_wrong");
    let text = resolve(ID, &options).unwrap_err().to_string();
    for part in ["may not be read with this token", &page, "HF_TOKEN"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hf_wrong") && server.log().len() == 2, "{text}");
    options.settings.token = Token::new("hf_a\nb");
    let e = resolve(ID, &options).unwrap_err();
    assert!(e.kind() == ErrorKind::Config && e.to_string().contains("HF_TOKEN holds no token"), "{e}");
    assert!(!e.to_string().contains("hf_a"), "{e}");

    // Refused for one file only, as some servers do.
    let (dir, server) = setup();
    server.fault("HEAD", Fault::Status(403, "X-Error-Message: no \"entry\"\r\n"));
    let e = resolve(ID, &self::options(dir.path(), &server)).unwrap_err().to_string();
    assert!(e.contains("of owner/model may not be read") && e.contains(r#"the server says: "no \"entry\"""#), "{e}");
}

#[test]
fn what_is_not_there_is_named() {
    let (dir, server) = setup();
    let options = options(dir.path(), &server);
    let e = resolve("owner/nothing", &options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("there is no model owner/nothing with a revision main"), "{e}");
    let other = HubOptions { revision: "v2".to_owned(), ..options.clone() };
    let e = resolve(ID, &other).unwrap_err().to_string();
    assert!(e.contains("owner/model has no revision v2"), "{e}");
    server.fault("HEAD", Fault::Status(404, "X-Error-Code: EntryNotFound\r\n"));
    let e = resolve(ID, &options).unwrap_err().to_string();
    assert!(e.contains("has no file chat_template.jinja"), "{e}");
    // Nothing was asked for that is not an id, and nothing at all where that is switched off.
    let before = server.log().len();
    assert_eq!(resolve("./owner/model", &options).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(download("../etc", &options, &mut |_| {}).unwrap_err().kind(), ErrorKind::Config);
    let mut offline = options;
    offline.settings.offline = true;
    let e = resolve(ID, &offline).unwrap_err().to_string();
    assert!(e.contains("unset HF_HUB_OFFLINE"), "{e}");
    let e = download(ID, &offline, &mut |_| {}).unwrap_err().to_string();
    assert!(e.contains("unset HF_HUB_OFFLINE"), "{e}");
    assert_eq!(server.log().len(), before);
}

#[test]
fn repositories_without_usable_weights_are_refused_before_anything_is_fetched() {
    let cases: [(Files<'_>, &str); 3] = [
        (&[("config.json", b"{}"), ("pytorch_model.bin", b"x")], "save_pretrained"),
        (&[("README.md", b"x")], "has no config.json"),
        (&[("config.json", b"{}"), ("x/model.safetensors", b"x")], "has no weights"),
    ];
    for (files, says) in cases {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(files));
        let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains(says), "{e}");
        assert!(e.to_string().contains("model: owner/model, revision: main"), "{e}");
        assert!(server.log().len() == 1 && std::fs::read_dir(dir.path()).unwrap().count() == 0);
    }
    let index: &[u8] = br#"{"weight_map": {"a": "model-1.safetensors"}}"#;
    let files = [("config.json", b"{}" as &[u8]), ("model.safetensors.index.json", index)];
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start(&files));
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
    assert!(e.kind() == ErrorKind::Format && e.to_string().contains("does not have: model-1.safetensors"), "{e}");
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let described = |etag: &str| format!("200 OK\r\nETag: {etag}\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: 2");
    let loops = "302 Found\r\nLocation: /a/b\r\nContent-Length: 0".to_owned();
    let cases: Vec<(&str, Fault, &str)> = vec![
        ("/revision/", Fault::Body(b"<html>login</html>".to_vec()), "HF_ENDPOINT"),
        ("/revision/", Fault::Body(br#"{"sha": "../../x", "siblings": []}"#.to_vec()), "expected 40 digits"),
        ("/revision/", Fault::Body(vec![b' '; (16 << 20) + 1]), "more than 16777216 bytes"),
        ("/revision/", Fault::Status(204, ""), "204"),
        ("HEAD", Fault::Raw("200 OK\r\nETag: \"a\"\r\nContent-Length: 2".to_owned()), "X-Repo-Commit: none"),
        ("HEAD", Fault::Raw(format!("200 OK\r\nX-Repo-Commit: {}", "0".repeat(40))), "answers for another commit"),
        ("HEAD", Fault::Raw(format!("200 OK\r\nX-Repo-Commit: {COMMIT}")), "gives no ETag"),
        ("HEAD", Fault::Raw(described("\"../../x\"")), "cannot be a file's name"),
        ("HEAD", Fault::Raw(described("\".x\"")), "cannot be a file's name"),
        ("HEAD", Fault::Raw("302 Found\r\nLocation: ftp://x/y\r\nContent-Length: 0".to_owned()), "sends us to"),
        (
            "GET /owner/model/resolve/",
            Fault::Raw(format!("{}\r\nContent-Encoding: gzip\r\n\r\nxx", described("\"a\""))),
            "which was not asked for",
        ),
        ("/revision/", Fault::Raw(loops), "sends us on more than 10 times"),
    ];
    for (part, fault, says) in cases {
        let (dir, server) = setup();
        if says.starts_with("sends us on") {
            (0..11).for_each(|_| server.fault(" /a", fault.clone()));
        }
        server.fault(part, fault);
        let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
        assert!(e.to_string().contains(says), "{says}: {e}");
        assert!(!dir.path().join("models--owner--model/refs/main").exists());
    }
}

#[test]
fn settings_that_are_none_are_named() {
    let (dir, server) = setup();
    for (endpoint, says) in [
        ("mirror.example", "begin with http"),
        ("ftp://mirror.example", "begin with http"),
        ("https://me:secret@mirror.example", "names a user"),
        ("http://mirror.example/?x=1", "not the address of a server"),
        ("", "not an address"),
    ] {
        let mut options = options(dir.path(), &server);
        options.settings.endpoint = endpoint.to_owned();
        let e = resolve(ID, &options).unwrap_err();
        assert!(e.kind() == ErrorKind::Config && e.to_string().contains(says), "{endpoint}: {e}");
        assert!(e.to_string().contains("HF_ENDPOINT") && !e.to_string().contains("secret"), "{e}");
    }
    let file = dir.path().join("certificates");
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        let mut options = options(dir.path(), &server);
        options.settings.network.certificates = Some(file.clone());
        let e = resolve(ID, &options).unwrap_err();
        assert!(e.kind() == ErrorKind::Config && e.to_string().contains("SSL_CERT_FILE"), "{e}");
    }
}
