use super::*;
use crate::weights::testing::with_damaged;
use std::time::Instant;

pub(crate) fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![1; data]].concat()
}

const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BOOL","shape":[],"data_offsets":[16,17]},"c":{"dtype":"F8_E4M3","shape":[3,0],"data_offsets":[17,17]},"d":{"dtype":"F32","shape":[1],"data_offsets":[17,21]}}"#;

#[test]
fn a_good_header_is_read_exactly() {
    let header = Header::parse(&file(GOOD, 21)).unwrap();
    assert_eq!(header.metadata["format"], "pt");
    let start = 8 + GOOD.len();
    let a = &header.tensors["a"];
    assert_eq!((a.dtype.dtype(), &*a.shape, a.range.clone()), (Some(DType::F32), &[2, 2][..], start..start + 16));
    assert_eq!((header.tensors["c"].dtype.name(), header.tensors["c"].dtype.dtype()), ("F8_E4M3", None));
    // An f32 at an odd address is legal: whoever uses it copies it.
    assert_eq!(header.tensors["d"].range.start - start, 17);
    assert_eq!(Header::parse(&file("{}  ", 0)).unwrap(), Header::default());
}

#[test]
fn every_dtype_of_ours_has_its_name_in_the_format() {
    for dtype in DType::ALL {
        let stored = StoredDType::from(dtype);
        assert_eq!((stored.dtype(), stored.bits()), (Some(dtype), 8 * dtype.size()));
        assert_eq!(StoredDType::parse(stored.name()), Some(stored));
    }
}

#[test]
fn hostile_and_damaged_files_are_refused_with_their_reason() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
        )
    };
    let length = |n: u64, rest: &[u8]| [&n.to_le_bytes(), rest].concat();
    let huge = usize::MAX / 2;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty"),
        ("short", vec![1, 2, 3], "3 bytes, too few"),
        ("header of 2^64-1 bytes", length(u64::MAX, b"{}"), "more than the 16777216 allowed"),
        ("header beyond the file", length(100, b"{}"), "only 2 more"),
        ("no header at all", length(0, b""), "not valid: EOF"),
        ("not JSON", file("hello!!!", 0), "does not begin with '{'"),
        ("cut JSON", file(r#"{"a":"#, 0), "not valid: EOF"),
        ("not UTF-8", length(6, b"{\"\xff\":1"), "not valid"),
        ("NUL padding", file("{}\0\0", 0), "not valid: trailing characters"),
        ("text after the object", file("{}{}", 0), "trailing characters"),
        ("deep nesting", file(&format!(r#"{{"__metadata__":{}"#, "[".repeat(100_000)), 0), "not valid"),
        ("overlap", file(&two("[0,4]", "[2,6]"), 6), r#"tensor "b" overlaps tensor "a""#),
        ("same place twice", file(&two("[0,4]", "[0,4]"), 4), "overlaps"),
        ("hole", file(&two("[0,4]", "[6,10]"), 10), r#"2 unused bytes after tensor "a" and before tensor "b""#),
        ("hole at the start", file(&one("U8", "[2]", "[1,3]"), 3), "1 unused bytes and before"),
        ("trailing bytes", file(&one("U8", "[2]", "[0,2]"), 5), "3 bytes after the last tensor"),
        ("bytes without tensors", file("{}", 4), "4 bytes after the last tensor"),
        (
            "repeated name",
            file(
                r#"{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
                2,
            ),
            r#"tensor "w" appears twice"#,
        ),
        ("repeated field", file(r#"{"w":{"dtype":"U8","dtype":"U8"}}"#, 0), "dtype appears twice"),
        ("repeated metadata", file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "__metadata__ appears twice"),
        ("metadata that is no string", file(r#"{"__metadata__":{"a":1}}"#, 0), "invalid type: integer"),
        ("unknown field", file(r#"{"w":{"dtype":"U8","code":"x"}}"#, 0), r#"unknown field "code""#),
        ("missing field", file(r#"{"w":{"dtype":"U8","shape":[]}}"#, 0), "data_offsets is missing"),
        ("unknown dtype", file(&one("F33", "[1]", "[0,4]"), 4), r#"tensor "w": unknown dtype "F33""#),
        ("shape overflow", file(&one("F64", &format!("[{huge},{huge}]"), "[0,8]"), 8), "too many elements"),
        ("byte count overflow", file(&one("F64", &format!("[{}]", usize::MAX / 8), "[0,8]"), 8), "too many elements"),
        ("negative size", file(&one("U8", "[-1]", "[0,1]"), 1), "invalid value: integer `-1`"),
        ("rank 9", file(&one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "more than 8 numbers"),
        (
            "shape and bytes disagree",
            file(&one("F32", "[2]", "[0,4]"), 4),
            "takes 8 bytes, but its data_offsets are [0, 4]",
        ),
        ("end before begin", file(&one("U8", "[2]", "[4,2]"), 4), "data_offsets are [4, 2]"),
        (
            "beyond the end",
            file(&one("F32", "[8]", "[0,32]"), 20),
            "ends at byte 32 of the data, of which the file has 20",
        ),
        ("three offsets", file(&one("U8", "[1]", "[0,1,2]"), 1), "more than 2 numbers"),
        ("one offset", file(&one("U8", "[1]", "[0]"), 1), "has 1 numbers, expected 2"),
        ("half a byte", file(&one("F4", "[3]", "[0,1]"), 1), "no whole number of bytes"),
        ("pickle", b"\x80\x02}q\x00(X\x01\x00\x00\x00".to_vec(), "pickle can run any code"),
        ("zip", b"PK\x03\x04\x00\x00\x00\x00\x00\x00archive/data.pkl".to_vec(), "convert the file to safetensors"),
        ("gguf", b"GGUF\x03\x00\x00\x00\x00\x00\x00".to_vec(), "a GGUF file"),
        ("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n".to_vec(), "git lfs pull"),
        ("web page", b"<!DOCTYPE html><title>401".to_vec(), "a web page"),
    ];
    for (what, bytes, want) in cases {
        let e = Header::parse(&bytes).expect_err(what);
        assert_eq!(e.kind(), ErrorKind::Format, "{what}");
        assert!(e.to_string().contains(want), "{what}: {e}");
    }
}

#[test]
fn a_header_that_is_long_for_its_own_sake_costs_little() {
    let entry = |i: usize| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    let million: Vec<String> = (0..1_000_000).map(entry).collect();
    let many: Vec<String> = (0..MAX_TENSORS + 1).map(entry).collect();
    let rank = format!(r#"{{"w":{{"dtype":"U8","shape":[{}1],"data_offsets":[0,1]}}}}"#, "1,".repeat(7 << 20));
    let name = format!(r#"{{"{}":{{"dtype":"X","shape":[],"data_offsets":[0,1]}}}}"#, "n".repeat(15 << 20));
    for (header, want) in [
        (format!("{{{}}}", million.join(",")), "allowed"),
        (format!("{{{}}}", many.join(",")), "more than 200000 tensors"),
        (rank, "more than 8 numbers"),
        (name, "bytes): unknown dtype"),
    ] {
        let bytes = file(&header, 1);
        let start = Instant::now();
        let e = Header::parse(&bytes).unwrap_err().to_string();
        assert!(e.contains(want) && e.len() < 1000, "{e}");
        assert!(start.elapsed().as_secs() < 5, "{want}: {:?}", start.elapsed());
    }
}

/// Whatever we accept, the format's own library accepts and reads in the same way.
#[test]
fn damaged_files_are_read_as_the_formats_library_reads_them_or_refused() {
    let inputs = [file(GOOD, 21), file("{}", 0), file(r#"{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 2)];
    let mut accepted = 0;
    with_damaged(&inputs, 20_000, |bytes| {
        let Ok(header) = Header::parse(bytes) else { return };
        accepted += 1;
        let theirs = ::safetensors::SafeTensors::deserialize(bytes).expect("accepted by us but not by the library");
        assert_eq!(theirs.len(), header.tensors.len());
        for (name, info) in &header.tensors {
            let view = theirs.tensor(name).unwrap();
            assert_eq!((view.shape(), view.data()), (&*info.shape, &bytes[info.range.clone()]));
            assert_eq!(view.dtype().to_string(), info.dtype.name());
        }
    });
    assert!(accepted > 100, "the damage never left a file intact: {accepted}");
}
