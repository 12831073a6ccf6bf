//! Networks that fail, and what is made of it.

use crate::download::{TAKEN, blob, files, options};
use crate::server::{Fault, ID, Server, etag};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use vlm_core::ErrorKind;
use vlm_core::hub::{HubOptions, HubSettings, resolve};

const WEIGHTS: &str = "model.safetensors";

fn setup() -> (tempfile::TempDir, Server) {
    (tempfile::tempdir().unwrap(), Server::start(&files()))
}

fn incomplete(cache: &Path, server: &Server) -> std::path::PathBuf {
    let path = blob(cache, server, WEIGHTS).with_extension("incomplete");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn whole(folder: &Path, server: &Server) {
    for name in TAKEN {
        assert!(std::fs::read(folder.join(name)).unwrap() == server.bytes(name), "{name}");
    }
}

fn from(at: usize) -> Option<String> {
    Some(format!("bytes={at}-"))
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let (dir, server) = setup();
    std::fs::write(incomplete(dir.path(), &server), &server.bytes(WEIGHTS)[..123_457]).unwrap();
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS), [from(123_457)]);
    assert!(!incomplete(dir.path(), &server).exists());

    // All of it is there, only its name is missing.
    let (dir, server) = setup();
    std::fs::write(incomplete(dir.path(), &server), server.bytes(WEIGHTS)).unwrap();
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert!(server.ranges(WEIGHTS).is_empty());
}

#[test]
fn a_connection_that_breaks_goes_on_where_it_was() {
    let (dir, server) = setup();
    // More breaks than there are attempts: each brings enough to count as progress.
    for _ in 0..6 {
        server.fault("GET /content/model", Fault::Cut(150_000));
    }
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    let expected: Vec<_> = (0..7).map(|i| if i == 0 { None } else { from(i * 150_000) }).collect();
    assert_eq!(server.ranges(WEIGHTS), expected);
}

#[test]
fn a_connection_that_only_breaks_is_given_up_and_the_next_run_goes_on() {
    let (dir, server) = setup();
    server.fault("GET /content/model", Fault::Cut(100_000));
    for _ in 0..3 {
        server.fault("GET /content/model", Fault::Cut(10));
    }
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains(WEIGHTS) && e.to_string().contains("attempts: 4"), "{e}");
    assert_eq!(std::fs::metadata(incomplete(dir.path(), &server)).unwrap().len(), 100_030);
    assert!(!dir.path().join("models--owner--model/refs/main").exists());
    let offline = HubOptions::new(HubSettings { offline: true, ..HubSettings::new(dir.path()) });
    let e = resolve(ID, &offline).unwrap_err().to_string();
    assert!(e.contains("was begun and lacks model.safetensors"), "{e}");
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS).last().unwrap(), &from(100_030));
}

#[test]
fn servers_that_know_no_ranges_begin_anew() {
    let (dir, server) = setup();
    std::fs::write(incomplete(dir.path(), &server), &server.bytes(WEIGHTS)[..1000]).unwrap();
    server.fault("GET /content/model", Fault::Whole);
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS), [from(1000)]);

    let (dir, server) = setup();
    std::fs::write(incomplete(dir.path(), &server), &server.bytes(WEIGHTS)[..1000]).unwrap();
    server.fault("GET /content/model", Fault::Status(416, "Content-Range: bytes */10\r\n"));
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS), [from(1000), None]);

    // Another part than was asked for.
    let (dir, server) = setup();
    std::fs::write(incomplete(dir.path(), &server), &server.bytes(WEIGHTS)[..1000]).unwrap();
    let other = "206 Partial\r\nContent-Range: bytes 500-1199999/1200000\r\nContent-Length: 3\r\n\r\nabc";
    server.fault("GET /content/model", Fault::Raw(other.to_owned()));
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS), [from(1000), None]);
}

#[test]
fn leftovers_of_something_else_are_thrown_away() {
    for left in [vec![7u8; 5000], vec![7u8; 2_000_000]] {
        let (dir, server) = setup();
        std::fs::write(incomplete(dir.path(), &server), &left).unwrap();
        whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
        let ranges = server.ranges(WEIGHTS);
        // A beginning that is too long is dropped at once, a wrong one when the digest is known.
        assert_eq!(ranges, if left.len() == 5000 { vec![from(5000), None] } else { vec![None] });
    }
    // A content of the right name and the wrong length.
    let (dir, server) = setup();
    std::fs::create_dir_all(incomplete(dir.path(), &server).parent().unwrap()).unwrap();
    std::fs::write(blob(dir.path(), &server, WEIGHTS), "short").unwrap();
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
}

#[test]
fn contents_that_are_not_what_they_are_called_are_refused() {
    let (dir, server) = setup();
    let mut wrong = server.bytes(WEIGHTS).to_vec();
    wrong[77] ^= 1;
    server.fault("GET /content/model", Fault::Body(wrong));
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Format);
    assert!(e.to_string().contains("model.safetensors has another SHA-256"), "{e}");
    assert!(e.to_string().contains(&etag(WEIGHTS, server.bytes(WEIGHTS))), "{e}");
    assert!(!incomplete(dir.path(), &server).exists() && !blob(dir.path(), &server, WEIGHTS).exists());
    assert!(!dir.path().join("models--owner--model/refs/main").exists());

    for (body, says) in [(vec![0; 5], "another size"), (vec![0; 2_000_000], "another size")] {
        let (dir, server) = setup();
        server.fault("GET /content/model", Fault::Body(body));
        let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
        assert!(e.kind() == ErrorKind::Format && e.to_string().contains(says), "{e}");
    }
    // No length is told, and more comes than there should be.
    let (dir, server) = setup();
    server.fault("GET /content/model", Fault::Raw(format!("200 OK\r\n\r\n{}", "x".repeat(1_300_000))));
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
    assert!(
        e.kind() == ErrorKind::Format && e.to_string().contains("sends more of model.safetensors than the 1200000"),
        "{e}"
    );
}

#[test]
fn a_busy_server_is_waited_for_and_not_for_ever() {
    let (dir, server) = setup();
    server.fault("/revision/", Fault::Status(429, "Retry-After: 1\r\n"));
    server.fault("HEAD", Fault::Status(503, ""));
    server.fault("HEAD", Fault::Status(500, ""));
    server.fault("GET /content/", Fault::Status(504, "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"));
    // A signature that is no longer good; the next one is.
    server.fault("GET /content/", Fault::Status(403, ""));
    let began = Instant::now();
    whole(&resolve(ID, &options(dir.path(), &server)).unwrap(), &server);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.log().iter().filter(|r| r.line.contains("/revision/")).count(), 2);

    let (dir, server) = setup();
    server.fault("/revision/", Fault::Status(429, "Retry-After: 3600\r\n"));
    let began = Instant::now();
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err().to_string();
    assert!(e.contains("too many requests") && e.contains("asks to wait: 3600 s"), "{e}");
    assert!(began.elapsed() < Duration::from_secs(3) && server.log().len() == 1);

    let (dir, server) = setup();
    for _ in 0..4 {
        server.fault("/revision/", Fault::Status(503, ""));
    }
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err().to_string();
    assert!(e.contains("the server cannot answer now") && e.contains("503") && e.contains("attempts: 4"), "{e}");
}

#[test]
fn silence_ends_an_attempt_and_slowness_does_not() {
    let (dir, server) = setup();
    let mut options = options(dir.path(), &server);
    options.settings.network.stall_timeout = Duration::from_millis(700);
    server.fault("GET /content/model", Fault::Stall(100_000, Duration::from_secs(5)));
    server.fault("GET /content/model", Fault::Slow(20, Duration::from_millis(100)));
    let began = Instant::now();
    whole(&resolve(ID, &options).unwrap(), &server);
    assert_eq!(server.ranges(WEIGHTS), [None, from(100_000)]);
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < Duration::from_secs(5));

    // Nothing at all comes.
    let (dir, server) = setup();
    let mut options = self::options(dir.path(), &server);
    options.settings.network.stall_timeout = Duration::from_millis(200);
    for _ in 0..4 {
        server.fault("/revision/", Fault::Stall(0, Duration::from_secs(5)));
    }
    let e = resolve(ID, &options).unwrap_err().to_string();
    assert!(e.contains("no answer in time"), "{e}");
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let (dir, server) = setup();
    let mut options = options(dir.path(), &server);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    options.settings.endpoint = format!("http://127.0.0.1:{port}");
    let e = resolve(ID, &options).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let text = e.to_string();
    assert!(text.contains(&port.to_string()) && text.contains("HF_ENDPOINT") && text.contains("attempts: 4"), "{text}");
    // TLS where there is none.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    options.settings.endpoint = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    let e = resolve(ID, &options).unwrap_err().to_string();
    assert!(e.contains("no safe connection") && e.contains("SSL_CERT_FILE"), "{e}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_with_the_remedy() {
    let (dir, server) = setup();
    std::os::unix::fs::symlink("/dev/full", incomplete(dir.path(), &server)).unwrap();
    let e = resolve(ID, &options(dir.path(), &server)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("incomplete") && e.to_string().contains("free some space"), "{e}");
}
