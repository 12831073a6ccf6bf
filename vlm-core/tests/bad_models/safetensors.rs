//! J19 to J24, J28: files that claim to be safetensors. (What random damage does, and every reason of the reader, is tested
//! beside it.)

use crate::catalogue::{MIB, Row};
use crate::folder::{Folder, everything, judge, load, on};
use std::fmt::Write;
use vlm_core::ErrorKind;

/// A file of this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn one(number: &'static str, what: &str, parts: &[&str], bytes: impl FnOnce() -> Vec<u8> + 'static) -> Option<Row> {
    let made = on(number, "llava", what, move |f| f.write("model.safetensors", bytes()), load)?;
    Some(made.fails(ErrorKind::Format, &[parts, &["model.safetensors"]].concat()))
}

/// A tensor's entry.
fn entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

fn of(entries: &[String], data: usize) -> Vec<u8> {
    file(&format!("{{{}}}", entries.join(",")), &vec![0; data])
}

#[test]
fn damaged_files_say_what_is_wrong_with_them() {
    let a = || entry("a", "F32", "[2]", 0, 8);
    judge(vec![
        one("J19", "seven bytes", &["the file has 7 bytes, too few", "fetch the file again"], || vec![0; 7]),
        one("J19", "a header of 2^64 - 1 bytes", &["the header claims 18446744073709551615 bytes, more than"], || {
            vec![0xff; 64]
        }),
        one(
            "J19",
            "a header longer than the file",
            &["the header claims 1000 bytes but the file has only 8 more", "fetch the file again"],
            || [&1000u64.to_le_bytes()[..], b"{       "].concat(),
        ),
        one("J19", "a header that is no JSON", &["the header is not valid"], || file("{\"a\":", &[])),
        one("J19", "tensors that overlap", &["tensor \"b\" overlaps tensor \"a\""], move || {
            of(&[a(), entry("b", "F32", "[2]", 4, 12)], 12)
        }),
        one("J19", "a hole", &["4 unused bytes after tensor \"a\" and before tensor \"b\""], move || {
            of(&[a(), entry("b", "F32", "[1]", 12, 16)], 16)
        }),
        one("J19", "bytes at the end", &["5 bytes after the last tensor belong to no tensor"], move || of(&[a()], 13)),
        one("J19", "a name twice", &["tensor \"a\" appears twice"], move || of(&[a(), a()], 8)),
        one("J19", "an unknown type", &["tensor \"a\": unknown dtype \"F5\""], || {
            of(&[entry("a", "F5", "[2]", 0, 8)], 8)
        }),
        one("J19", "a shape that overflows", &["tensor \"a\": "], || {
            of(&[entry("a", "F32", "[4294967296,4294967296,4294967296]", 0, 8)], 8)
        }),
        one("J19", "a size below 0", &["tensor \"a\"", "invalid value"], || of(&[entry("a", "F32", "[-2]", 0, 8)], 8)),
        one(
            "J19",
            "a tensor beyond the end",
            &["tensor \"a\" ends at byte 8 of the data, of which the file has 3", "fetch the file again"],
            move || of(&[a()], 3),
        ),
        one(
            "J19",
            "a shape that is not that of its bytes",
            &["tensor \"a\": F32 of shape [3] takes 12 bytes, but its data_offsets are [0, 8]"],
            || of(&[entry("a", "F32", "[3]", 0, 8)], 8),
        ),
        one(
            "J20",
            "a header of a million tensors",
            &["the header claims", "bytes, more than the 16777216 allowed"],
            || empty(1_000_000),
        )
        .map(|r| r.memory(MIB)),
        // Below the bound of the header there is one of the number.
        one("J20", "250,000 tensors in 14 MiB", &["more than 200000 tensors"], || empty(250_000))
            .map(|r| r.memory(128 * MIB)),
        one("J21", "a tensor of 5 million dimensions", &["a list of more than 8 numbers"], || {
            of(&[entry("a", "F32", &format!("[{}1]", "1,".repeat(5_000_000)), 0, 4)], 4)
        })
        .map(|r| r.memory(MIB)),
        one("J24", "no bytes at all", &["the file is empty", "fetch the file again"], Vec::new),
        one("J28", "a pickle", &["a PyTorch pickle or zip archive", "can run any code", "convert"], || {
            b"\x80\x02}q\0.".to_vec()
        }),
        one("J28", "a zip archive", &["a PyTorch pickle or zip archive", "can run any code", "convert"], || {
            b"PK\x03\x04archive/data.pkl".to_vec()
        }),
        one("J28", "a GGUF file", &["a GGUF file", "safetensors weights"], || b"GGUF\x03\0\0\0\0\0\0\0".to_vec()),
        one("J28", "an HDF5 file", &["an HDF5 file"], || b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec()),
        one("J28", "a web page", &["a web page", "login"], || b"<!DOCTYPE html><html>401</html>".to_vec()),
    ]);
}

/// A file of so many empty tensors.
fn empty(count: usize) -> Vec<u8> {
    let mut header = String::from("{");
    for i in 0..count {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(header, r#"{comma}"{i:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    }
    file(&(header + "}"), &[])
}

#[test]
fn folders_of_pickles_are_refused_with_the_way_out() {
    let renamed = |name: &'static str| {
        move |f: &Folder| {
            f.remove("model.safetensors");
            f.write(name, b"\x80\x02}q\0.");
        }
    };
    let row = |name: &'static str| on("J28", "llava", &format!("{name} alone"), renamed(name), everything);
    judge(vec![
        row("pytorch_model.bin").map(|r| {
            r.fails(
                ErrorKind::Io,
                &["holds neither model.safetensors nor model.safetensors.index.json", "pickle", "convert"],
            )
        }),
        row("pytorch_model.bin.index.json")
            .map(|r| r.fails(ErrorKind::Io, &["holds neither model.safetensors", "pickle"])),
        row("weights.pt").map(|r| r.fails(ErrorKind::Io, &["holds neither model.safetensors", "downloaded model"])),
    ]);
}
