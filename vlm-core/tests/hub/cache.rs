//! Looking up without a network.

use crate::COMMIT;
use std::path::{Path, PathBuf};
use vlm_core::ErrorKind;
use vlm_core::hub::{HubOptions, HubSettings, resolve};

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

const OTHER: &str = "01234ffffffffffffffffffffffffffffffffff1";
const ID: &str = "owner/model";
const INDEX: &str = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A cache with snapshots of these files, and these references.
fn cache(snapshots: &[(&str, Files<'_>)], references: Files<'_>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("models--owner--model");
    for (commit, files) in snapshots {
        std::fs::create_dir_all(model.join("snapshots").join(commit)).unwrap();
        files.iter().for_each(|(name, text)| write(&model.join("snapshots").join(commit).join(name), text));
    }
    references.iter().for_each(|(name, commit)| write(&model.join("refs").join(name), commit));
    dir
}

fn options(cache: &Path, revision: &str) -> HubOptions {
    let settings = HubSettings { offline: true, ..HubSettings::new(cache) };
    HubOptions { revision: revision.to_owned(), ..HubOptions::new(settings) }
}

fn look(dir: &tempfile::TempDir, revision: &str) -> vlm_core::Result<PathBuf> {
    resolve(ID, &options(dir.path(), revision))
}

const WHOLE: Files<'_> = &[("config.json", "{}"), ("model.safetensors", "w")];

#[test]
fn branches_tags_and_commits_lead_to_snapshots() {
    let references = [
        ("main", COMMIT),
        ("v1.0", OTHER),
        ("refs/pr/4", OTHER),
        ("feature/x", &format!("{COMMIT}\n")),
        ("abcdef", OTHER),
    ];
    let dir = cache(&[(COMMIT, WHOLE), (OTHER, WHOLE)], &references);
    for (revision, commit) in [
        ("main", COMMIT),
        ("v1.0", OTHER),
        ("refs/pr/4", OTHER),
        ("feature/x", COMMIT),
        (COMMIT, COMMIT),
        (&COMMIT.to_uppercase(), COMMIT),
        ("012345", COMMIT),
        ("01234F", OTHER),
        // A branch goes before the beginning of a commit.
        ("abcdef", OTHER),
    ] {
        let folder = look(&dir, revision).unwrap();
        assert_eq!(folder, dir.path().join("models--owner--model/snapshots").join(commit), "{revision}");
    }
    let e = look(&dir, "01234").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config);
    assert!(
        e.to_string().contains(COMMIT) && e.to_string().contains(OTHER) && e.to_string().contains("more digits"),
        "{e}"
    );
    // Too short to be a commit, and parts of names are no names.
    for revision in ["0123", "refs/pr", "feature", "v1", "ffffff", "dev"] {
        let e = look(&dir, revision).unwrap_err().to_string();
        assert!(e.contains("revisions that are there: abcdef, feature/x, main, refs/pr/4, v1.0"), "{revision}: {e}");
        assert!(e.contains(&format!("hf download owner/model --revision {revision}")), "{e}");
    }
    for bad in ["../main", "", "a b", "/main"] {
        assert_eq!(look(&dir, bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
    }
}

#[test]
fn a_snapshot_counts_if_it_can_be_loaded() {
    let config = ("config.json", "{}");
    let index = ("model.safetensors.index.json", INDEX);
    let adapter = ("adapter_config.json", "{}");
    let (one, first, second) = (("model.safetensors", ""), ("model-1.safetensors", ""), ("model-2.safetensors", ""));
    let cases: &[(Files<'_>, Option<&str>)] = &[
        (&[config, one], None),
        (&[config, index, first, second], None),
        // As loading does, the single file goes first.
        (&[config, one, index], None),
        (&[adapter, ("adapter_model.safetensors", "")], None),
        (&[config, one, ("vocab.txt", ""), ("onnx/model.onnx", "")], None),
        (&[], Some("config.json, model.safetensors (or model.safetensors.index.json)")),
        (&[one], Some("lacks config.json;")),
        (&[config], Some("lacks model.safetensors (or model.safetensors.index.json);")),
        (&[config, ("other.safetensors", "")], Some("lacks model.safetensors (or")),
        (&[config, index], Some("lacks model-1.safetensors, model-2.safetensors;")),
        (&[config, index, second], Some("lacks model-1.safetensors;")),
        (&[adapter], Some("lacks adapter_model.safetensors;")),
        (&[adapter, ("adapter_model.bin", "")], Some("lacks adapter_model.safetensors;")),
    ];
    for (files, lacks) in cases {
        let dir = cache(&[(COMMIT, files)], &[("main", COMMIT)]);
        match (look(&dir, "main"), lacks) {
            (Ok(folder), None) => assert!(folder.ends_with(COMMIT)),
            (Err(e), Some(lacks)) => {
                assert_eq!(e.kind(), ErrorKind::Io);
                assert!(e.to_string().contains(lacks) && e.to_string().contains("hf download owner/model`"), "{e}");
                assert!(e.to_string().contains("snapshot: "), "{e}");
            }
            (found, _) => panic!("{files:?}: {found:?}"),
        }
    }
    // A reference to a snapshot that was deleted.
    let dir = cache(&[], &[("main", COMMIT)]);
    assert!(look(&dir, "main").unwrap_err().to_string().contains("lacks config.json, model.safetensors"));
}

#[test]
#[cfg(unix)]
fn links_to_nothing_are_named() {
    let link = |dir: &tempfile::TempDir, name: &str| {
        let snapshot = dir.path().join("models--owner--model/snapshots").join(COMMIT);
        std::os::unix::fs::symlink("../../blobs/gone", snapshot.join(name)).unwrap();
    };
    for (files, broken, lacks) in [
        (&[("config.json", "{}")] as &[_], "model.safetensors", Some("lacks model.safetensors;")),
        (&[("model.safetensors", "")], "config.json", Some("lacks config.json;")),
        (WHOLE, "tokenizer.json", Some("lacks tokenizer.json;")),
        // Nobody opens these.
        (WHOLE, "pytorch_model.bin", None),
        (WHOLE, "consolidated.safetensors", None),
    ] {
        let dir = cache(&[(COMMIT, files)], &[("main", COMMIT)]);
        link(&dir, broken);
        match lacks {
            Some(lacks) => assert!(look(&dir, "main").unwrap_err().to_string().contains(lacks), "{broken}"),
            None => assert!(look(&dir, "main").is_ok(), "{broken}"),
        }
    }
}

#[test]
fn damage_in_the_cache_is_named() {
    let dir = cache(&[(COMMIT, WHOLE)], &[("main", "../../../etc")]);
    let e = look(&dir, "main").unwrap_err();
    assert!(e.kind() == ErrorKind::Format && e.to_string().contains("expected a commit of 40 digits"), "{e}");
    let long = "0".repeat(10_000);
    let dir = cache(&[(COMMIT, WHOLE)], &[("main", &long)]);
    assert!(look(&dir, "main").unwrap_err().to_string().contains("larger than"));
    for (index, says) in [("{", "index is not valid"), (r#"{"weight_map": {"a": "../x.safetensors"}}"#, "../x")] {
        let files = [("config.json", "{}"), ("model.safetensors.index.json", index)];
        let dir = cache(&[(COMMIT, &files)], &[("main", COMMIT)]);
        let e = look(&dir, "main").unwrap_err();
        assert!(e.kind() == ErrorKind::Format && e.to_string().contains(says), "{e}");
        assert!(e.to_string().contains("model.safetensors.index.json"), "{e}");
    }
}

#[test]
fn a_model_that_is_not_there_gets_directions() {
    let dir = tempfile::tempdir().unwrap();
    let e = look(&dir, "main").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    let text = e.to_string();
    let looked = dir.path().join("models--owner--model");
    for part in [
        "owner/model",
        &looked.display().to_string(),
        "`hf download owner/model`",
        "`huggingface-cli download owner/model`",
        "HF_HOME",
        "HF_HUB_CACHE",
        "give the folder of a model",
        "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.contains("build with the feature"), cfg!(not(feature = "download")), "{text}");
    // A download that was never finished is told.
    let begun = cache(&[(COMMIT, &[("config.json", "{}")])], &[]);
    let e = look(&begun, "main").unwrap_err().to_string();
    assert!(e.contains(&format!("a download of commit {COMMIT} was begun and lacks model.safetensors")), "{e}");
    let other = cache(&[(COMMIT, WHOLE)], &[]);
    assert!(look(&other, "main").unwrap_err().to_string().contains(&format!("commits that are there: {COMMIT}")));
    let nowhere = HubOptions::new(HubSettings::from_lookup(|_| None));
    let e = resolve(ID, &nowhere).unwrap_err();
    assert!(e.kind() == ErrorKind::Config && e.to_string().contains("set HF_HOME"), "{e}");
}

#[test]
fn paths_are_paths_and_ids_are_ids() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir.path().join("cache"), "main");
    let here = dir.path().to_str().unwrap();
    // A folder is itself, whatever is in it and whatever its name.
    assert_eq!(resolve(here, &options).unwrap(), dir.path());
    assert_eq!(resolve("src", &options).unwrap(), Path::new("src"));
    std::fs::write(dir.path().join("model.safetensors"), "").unwrap();
    let cases = [
        (format!("{here}/model.safetensors"), ErrorKind::Io, "is not a folder"),
        (format!("{here}/gone"), ErrorKind::Io, "does not exist"),
        ("./x".to_owned(), ErrorKind::Io, "the folder \"./x\" does not exist"),
        ("../x".to_owned(), ErrorKind::Io, "does not exist (seen from: "),
        ("~/x".to_owned(), ErrorKind::Io, "replaced by the shell"),
        ("owner\\model".to_owned(), ErrorKind::Io, "does not exist"),
        ("D:models".to_owned(), ErrorKind::Io, "does not exist"),
        ("owner/model/".to_owned(), ErrorKind::Io, "does not exist"),
        (".".to_owned() + "hidden", ErrorKind::Io, "does not exist"),
        ("https://example.org/owner/model".to_owned(), ErrorKind::Config, "is an address"),
        (String::new(), ErrorKind::Config, "1 to 96"),
        ("a/b/c".to_owned(), ErrorKind::Config, "there is no folder \"a/b/c\", and \"a/b/c\" is not the id"),
        ("a b".to_owned(), ErrorKind::Config, "ASCII"),
        ("a\0b".to_owned(), ErrorKind::Config, "ASCII"),
        ("x".repeat(5000), ErrorKind::Config, "1 to 96"),
    ];
    for (model, kind, says) in cases {
        let e = resolve(&model, &options).unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(says), "{model}: {e}");
        assert!(e.to_string().len() < 800, "{e}");
    }
}
