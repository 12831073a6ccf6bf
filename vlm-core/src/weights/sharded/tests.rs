use super::*;
use crate::weights::save::{Entry, default_metadata, save, save_sharded};
use crate::weights::testing::{skipped, with_damaged};
use crate::{Dims, Element};
use std::borrow::Cow;

fn write(path: &Path, names: &[&str]) {
    let entries: Vec<Entry> = names
        .iter()
        .map(|n| Entry { name: (*n).to_owned(), dtype: DType::F32, shape: Dims::from_slice(&[2]) })
        .collect();
    save(path, &entries, &default_metadata(), |_| Ok(Cow::Borrowed(f32::as_bytes(&[1.0, 2.0])))).unwrap();
}

fn index(dir: &Path, map: &[(&str, &str)], total: u64) {
    let map: serde_json::Map<_, _> = map.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
    let json = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    std::fs::write(dir.join("model.safetensors.index.json"), json.to_string()).unwrap();
}

#[test]
fn tensors_are_found_by_name_in_all_shards() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("x.safetensors"), &["a.weight", "b.weight"]);
    write(&dir.path().join("y.safetensors"), &["c.weight", "extra"]);
    // A wrong total and a tensor that the index does not name are worth a warning, no more.
    index(
        dir.path(),
        &[("a.weight", "x.safetensors"), ("b.weight", "x.safetensors"), ("c.weight", "y.safetensors")],
        7,
    );
    for mode in [LoadMode::Map, LoadMode::Read] {
        let files = WeightFiles::open_with(dir.path(), LoadOptions { mode, verify: true }).unwrap();
        assert_eq!(files.names().collect::<Vec<_>>(), ["a.weight", "b.weight", "c.weight", "extra"]);
        let w = files.get_shaped("c.weight", &Dims::from_slice(&[2])).unwrap();
        assert_eq!((w.dtype, f32::from_bytes(&w.bytes)), (DType::F32, vec![1.0, 2.0]));
        assert_eq!((files.total_bytes(), files.metadata()["format"].as_str()), (32, "pt"));
        let e = files.get_shaped("a.weight", &Dims::from_slice(&[3, 1])).unwrap_err().to_string();
        assert!(e.contains(r#""a.weight": expected shape [3, 1], found [2]"#), "{e}");
        let e = files.get("model.c.weight").unwrap_err();
        assert!(e.kind() == ErrorKind::Format && e.to_string().contains("model.c.weight"), "{e}");
        let coverage = files.coverage(["a.weight", "b.weight", "d.weight"]);
        assert_eq!((coverage.missing.len(), coverage.unexpected.len()), (1, 2));
        let e = coverage.check(true).unwrap_err().to_string();
        assert!(
            e.contains(r#"1 tensors are missing: "d.weight""#) && e.contains(r#"2 tensors are unexpected: "c.weight""#),
            "{e}"
        );
        assert!(!coverage.check(false).unwrap_err().to_string().contains("unexpected"));
        files.coverage(["extra"]).check(false).unwrap();
    }
}

#[test]
fn an_index_that_lies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("model");
    std::fs::create_dir(&inside).unwrap();
    write(&dir.path().join("outside.safetensors"), &["a"]);
    write(&inside.join("x.safetensors"), &["a", "b"]);
    write(&inside.join("y.safetensors"), &["b"]);
    write(&inside.join("z.safetensors"), &["c"]);
    let absolute = dir.path().join("outside.safetensors").display().to_string();
    for (map, want) in [
        (&[("a", "../outside.safetensors")][..], "only name .safetensors files in its own folder"),
        (&[("a", absolute.as_str())], "in its own folder"),
        (&[("a", "sub/x.safetensors")], "in its own folder"),
        (&[("a", "..\\outside.safetensors")], "in its own folder"),
        (&[("a", "..")], "in its own folder"),
        (&[("a", "")], "in its own folder"),
        (&[("a", "x.bin")], "in its own folder"),
        (&[("a", "gone.safetensors")], "gone.safetensors: No such file"),
        (&[("a", "x.safetensors"), ("q", "x.safetensors")], r#"tensor "q" is not in "x.safetensors""#),
        (
            &[("a", "z.safetensors"), ("b", "x.safetensors")],
            r#"tensor "a" is in x.safetensors, but the index says "z.safetensors""#,
        ),
        (
            &[("a", "x.safetensors"), ("b", "y.safetensors")],
            r#"tensor "b" is in two shards: x.safetensors and y.safetensors"#,
        ),
    ] {
        index(&inside, map, 8);
        let e = WeightFiles::open(&inside).expect_err(want).to_string();
        assert!(e.contains(want) && e.contains("index"), "{e}");
    }
    let path = inside.join("model.safetensors.index.json");
    for (text, want) in [
        ("", "EOF"),
        ("[]", "expected a JSON object"),
        ("{}", "missing field `weight_map`"),
        (r#"{"weight_map":{"a":1}}"#, "invalid type: integer"),
        (r#"{"weight_map":{"a":"x.safetensors","a":"z.safetensors"}}"#, r#""a" appears twice in weight_map"#),
    ] {
        std::fs::write(&path, text).unwrap();
        let e = WeightFiles::open(&inside).expect_err(text).to_string();
        assert!(e.contains(want) && e.contains("model.safetensors.index.json"), "{e}");
    }
}

#[test]
fn folders_without_weights_say_what_to_give() {
    let dir = tempfile::tempdir().unwrap();
    assert!(WeightFiles::open(dir.path()).unwrap_err().to_string().contains("give the folder of a downloaded model"));
    std::fs::write(dir.path().join("pytorch_model.bin"), "PK").unwrap();
    assert!(WeightFiles::open(dir.path()).unwrap_err().to_string().contains("is a pickle"));
    std::fs::write(dir.path().join("model.safetensors"), "").unwrap();
    let e = WeightFiles::open(dir.path()).unwrap_err().to_string();
    assert!(e.contains("is empty") && e.contains("model.safetensors"), "{e}");
}

#[test]
fn verify_names_the_tensor_and_the_element_that_is_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let entries = ["good", "bad"].map(|n| Entry { name: n.into(), dtype: DType::F32, shape: Dims::from_slice(&[3]) });
    let data = [[1.0f32, 2.0, 3.0], [0.0, f32::NAN, 1.0]];
    save(&path, &entries, &default_metadata(), |i| Ok(Cow::Borrowed(f32::as_bytes(&data[i])))).unwrap();
    WeightFiles::open(&path).unwrap();
    let e = WeightFiles::open_with(&path, LoadOptions { verify: true, ..Default::default() }).unwrap_err();
    assert!(e.kind() == ErrorKind::NonFinite && e.to_string().contains(r#""bad" (element 1)"#), "{e}");
}

#[test]
fn element_types_without_a_counterpart_are_named_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let header = r#"{"q":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#;
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0, 0]].concat()).unwrap();
    let files = WeightFiles::open(&path).unwrap();
    let e = files.get("q").unwrap_err();
    assert!(e.kind() == ErrorKind::DType && e.to_string().contains("F8_E4M3") && e.to_string().contains("bf16"), "{e}");
    files.verify().unwrap();
}

#[test]
fn a_shortened_file_gives_an_error_and_not_a_dead_process() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("model.safetensors"), &["a"]);
    let files = WeightFiles::open(dir.path()).unwrap();
    std::fs::File::options().write(true).open(dir.path().join("model.safetensors")).unwrap().set_len(9).unwrap();
    assert!(files.get("a").unwrap_err().to_string().contains("shortened"));
}

#[test]
fn damaged_indexes_never_name_a_file_outside_their_folder() {
    let good = br#"{"metadata":{"total_size":1.0},"weight_map":{"a":"x.safetensors","b":"../y.safetensors"}}"#.to_vec();
    let other = br#"{"weight_map":{"a":"model-00001-of-00002.safetensors"}}"#.to_vec();
    with_damaged(&[good, other], 5000, |bytes| {
        for file in Index::parse(bytes).iter().flat_map(|i| i.weight_map.values()) {
            assert!(!file.contains('/') && file.ends_with(".safetensors"), "{file:?}");
        }
    });
}

/// The sharded model of the reference data, when it is there.
#[test]
fn shards_written_by_transformers_hold_what_its_single_file_holds() {
    let root = std::path::PathBuf::from(std::env::var_os("VLM_PARITY_DIR").unwrap_or("../../shared/parity/dev".into()));
    let sharded = root.join("llava/model_v5");
    if !sharded.is_dir() {
        skipped(format!("no reference data at {}; set VLM_PARITY_DIR", sharded.display()));
        return;
    }
    let (many, one) = (WeightFiles::open(&sharded).unwrap(), WeightFiles::open(root.join("llava/model")).unwrap());
    let names: BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(sharded.join("weight_names.json")).unwrap()).unwrap();
    assert_eq!((many.files().count(), many.len()), (3, one.len()));
    for (old, new) in &names {
        let (a, b) = (one.get(old).unwrap(), many.get(new).unwrap());
        assert_eq!((a.dtype, a.shape, &*a.bytes), (b.dtype, b.shape, &*b.bytes), "{old}");
    }
    let dir = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> = one
        .names()
        .map(|n| (n.to_owned(), one.get(n).unwrap()))
        .map(|(name, w)| Entry { name, dtype: w.dtype, shape: w.shape })
        .collect();
    save_sharded(dir.path(), "model", &entries, one.metadata(), usize::MAX, |i| {
        Ok(Cow::Owned(one.get(&entries[i].name)?.bytes.to_vec()))
    })
    .unwrap();
    let read = |p: &Path| std::fs::read(p.join("model.safetensors")).unwrap();
    assert!(read(dir.path()) == read(&root.join("llava/model")), "the file differs from the one Python wrote");
}
