use super::*;
use crate::Dims;
use crate::weights::WeightFiles;
use proptest::prelude::*;

fn entry(name: &str, dtype: DType, shape: &[usize]) -> Entry {
    Entry { name: name.to_owned(), dtype, shape: Dims::from_slice(shape) }
}

fn filled(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().enumerate().map(|(i, e)| (0..e.len_bytes()).map(|b| (b * 7 + i) as u8).collect()).collect()
}

fn reload(path: &Path) -> (Vec<Entry>, Vec<Vec<u8>>) {
    let files = WeightFiles::open(path).unwrap();
    let all = files.names().map(|name| {
        let w = files.get(name).unwrap();
        (Entry { name: name.to_owned(), dtype: w.dtype, shape: w.shape }, w.bytes.to_vec())
    });
    all.unzip()
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one =
        (0..DType::ALL.len(), proptest::collection::vec(0usize..4, 0..5)).prop_map(|(d, shape)| (DType::ALL[d], shape));
    proptest::collection::btree_map(r#"[a-z.\"é\\]{0,6}"#, one, 0..8)
        .prop_map(|all| all.iter().map(|(name, (dtype, shape))| entry(name, *dtype, shape)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Our files are those of the format's own library, and saving what was loaded gives the same file again.
    #[test]
    fn files_are_byte_for_byte_those_of_the_reference(entries in entries()) {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.safetensors"), dir.path().join("two.safetensors"));
        let data = filled(&entries);
        save(&one, &entries, &default_metadata(), |i| Ok(Cow::Borrowed(&data[i]))).unwrap();
        let views = entries.iter().zip(&data).map(|(e, bytes)| {
            let dtype = ::safetensors::Dtype::from_name(StoredDType::from(e.dtype).name());
            (e.name.as_str(), ::safetensors::tensor::TensorView::new(dtype, e.shape.to_vec(), bytes).unwrap())
        });
        let metadata = default_metadata().into_iter().collect();
        let theirs = ::safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata)).unwrap();
        let ours = std::fs::read(&one).unwrap();
        prop_assert_eq!(&ours, &theirs);
        let (loaded, bytes) = reload(&one);
        save(&two, &loaded, &default_metadata(), |i| Ok(Cow::Borrowed(&bytes[i]))).unwrap();
        prop_assert_eq!(ours, std::fs::read(&two).unwrap());
    }
}

trait FromName {
    fn from_name(name: &str) -> Self;
}
impl FromName for ::safetensors::Dtype {
    fn from_name(name: &str) -> Self {
        serde_json::from_value(name.into()).unwrap()
    }
}

#[test]
fn shards_are_filled_in_order_and_a_later_save_leaves_no_stale_ones() {
    let dir = tempfile::tempdir().unwrap();
    let list = || {
        let mut names: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let all: Vec<Entry> = (0..5).map(|i| entry(&format!("layers.{i}"), DType::F32, &[8])).collect();
    let data = filled(&all);
    let save = |limit| {
        save_sharded(dir.path(), "model", &all, &default_metadata(), limit, |i| Ok(Cow::Borrowed(&data[i]))).unwrap()
    };
    std::fs::write(dir.path().join("model-notes.safetensors"), "mine").unwrap();
    assert_eq!(save(64).len(), 4);
    assert_eq!(reload(dir.path()), (all.clone(), data.clone()));
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("model.safetensors.index.json")).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], 160);
    assert_eq!(index["weight_map"]["layers.4"], "model-00003-of-00003.safetensors");
    assert_eq!(save(1).len(), 6, "one tensor larger than the limit gets a shard of its own");
    assert_eq!(list().len(), 7);
    assert_eq!(save(1 << 20), [dir.path().join("model.safetensors")]);
    assert_eq!(list(), ["model-notes.safetensors", "model.safetensors"]);
    assert_eq!(reload(dir.path()), (all.clone(), data.clone()));
}

#[test]
fn what_cannot_be_saved_is_refused_and_the_old_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let good = [entry("a", DType::U8, &[3])];
    let save = |path: &Path, entries: &[Entry], len: usize| {
        save(path, entries, &default_metadata(), |_| Ok(Cow::Owned(vec![1; len])))
    };
    save(&path, &good, 3).unwrap();
    let before = std::fs::read(&path).unwrap();
    let twice = [good[0].clone(), good[0].clone()];
    for (entries, len, kind, want) in [
        (&good[..], 2, ErrorKind::Shape, r#"tensor "a" of shape [3] and type u8 takes 3 bytes (found: 2)"#),
        (&twice[..], 3, ErrorKind::Config, "given twice"),
        (&[entry("__metadata__", DType::U8, &[3])][..], 3, ErrorKind::Config, "reserved"),
    ] {
        let e = save(&path, entries, len).unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(want), "{e}");
    }
    assert!(save(&dir.path().join("no/w.safetensors"), &good, 3).unwrap_err().to_string().contains("no/w.safetensors"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The test above for a disk that fills up: a child process that may not write files beyond 64 KiB.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file() {
    const FOLDER: &str = "VLM_TEST_SMALL_DISK";
    let big = [entry("a", DType::U8, &[1 << 20])];
    if let Some(dir) = std::env::var_os(FOLDER) {
        let path = Path::new(&dir).join("w.safetensors");
        let e = save(&path, &big, &default_metadata(), |_| Ok(Cow::Owned(vec![1; 1 << 20]))).unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains("w.safetensors"), "{e}");
        assert!(e.to_string().contains("size limit"), "{e}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    save(&path, &[], &default_metadata(), |_| Ok(Cow::Borrowed(&[]))).unwrap();
    let before = std::fs::read(&path).unwrap();
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact weights::save::tests::a_disk_that_fills_up_leaves_the_old_file";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the half-written file is gone");
}
