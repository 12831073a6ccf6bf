//! K1 to K7 and K12 to K15: data files. (What a row of each form may look like is tested beside the reader.)

use crate::catalogue::{MIB, Row, judge, row};
use std::path::Path;
use vlm_core::data::{Dataset, OnBadRow, ReadOptions};
use vlm_core::{ErrorKind, Result};

/// The data file of every row here.
const FILE: &str = "rows.jsonl";

/// A row that is good where `a.png` is there.
fn good(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","image":"a.png","conversations":[{{"from":"human","value":"<image>\n?"}},{{"from":"gpt","value":"a cat"}}]}}"#
    )
}

/// A row without pictures that says this to the reader instead of its messages.
fn messages(json: &str) -> String {
    format!(r#"{{"messages":{json}}}"#)
}

/// A folder with `a.png`, which need not be a picture to be found, and the data file.
fn folder(content: impl AsRef<[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.png"), "no picture").unwrap();
    std::fs::write(dir.path().join(FILE), content).unwrap();
    dir
}

fn read(dir: &Path, options: &ReadOptions) -> Result<String> {
    let data = Dataset::read(&dir.join(FILE), options)?;
    Ok(format!("{} rows, {} left out, first {:?}", data.len(), data.skipped().len(), data.samples()[0].id))
}

fn file(number: &'static str, what: &str, content: impl AsRef<[u8]> + 'static) -> Row {
    row(number, what, move || folder(content), |dir| read(dir.path(), &ReadOptions::default()))
}

fn bad(row: Row, parts: &[&str]) -> Row {
    row.fails(ErrorKind::Data, &[parts, &[FILE]].concat())
}

const MEND: &str = "mend the row, or allow a number of bad rows to be left out";

#[test]
fn files_without_rows_and_rows_that_are_none_are_named_by_line() {
    judge(vec![
        bad(file("K1", "no bytes", ""), &["the file is empty"]),
        bad(file("K1", "blank lines", " \n\t\n\r\n"), &["has no rows"]),
        bad(file("K1", "an empty list", "[]"), &["has no rows"]),
        row("K1", "no file", || tempfile::tempdir().unwrap(), |dir| read(dir.path(), &ReadOptions::default()))
            .fails(ErrorKind::Io, &[FILE, "No such file", "check the path"]),
        bad(
            file("K2", "a third line that is no JSON", format!("{}\n{}\n{{\"id\": \n", good("1"), good("2"))),
            &[":3: not a JSON object: EOF", MEND],
        ),
        bad(file("K2", "a line that is a list", format!("{}\n[1]\n", good("1"))), &[":2: not a JSON object", MEND]),
        bad(
            file("K2", "a list that is cut off", format!("[{},\n{}", good("1"), good("2"))),
            &["the array does not end with ']'", "cut off"],
        ),
        bad(file("K2", "a list with text after it", format!("[{}]\nand more", good("1"))), &["text after the ']'"]),
        bad(
            file("K2", "one line of two rows", format!("{}{}", good("1"), good("2"))),
            &[":1: not a JSON object: trailing characters"],
        ),
        row(
            "K2",
            "two bad lines where one may be left out",
            || folder(format!("x\n{}\ny\n", good("1"))),
            |dir| read(dir.path(), &ReadOptions { on_bad_row: OnBadRow::Skip(1), ..ReadOptions::default() }),
        )
        .fails(ErrorKind::Data, &[":3: not a JSON object", "1 bad rows were left out before, which is the limit"]),
        row(
            "K2",
            "two bad lines where two may be left out",
            || folder(format!("x\n{}\ny\n", good("1"))),
            |dir| read(dir.path(), &ReadOptions { on_bad_row: OnBadRow::Skip(2), ..ReadOptions::default() }),
        )
        .works(&["1 rows, 2 left out, first \"1\""]),
        row(
            "K2",
            "nothing but bad lines",
            || folder("x\ny\n"),
            |dir| read(dir.path(), &ReadOptions { on_bad_row: OnBadRow::Skip(9), ..ReadOptions::default() }),
        )
        .fails(ErrorKind::Data, &["has no usable row; 2 were left out", "first: "]),
        bad(
            file("K3", "no messages", r#"{"text": "hi", "label": 3}"#),
            &[":1: the row has none of \"conversations\", \"messages\"", "its keys: \"text\", \"label\"", "Columns"],
        ),
        bad(file("K3", "an empty conversation", messages("[]")), &[":1: \"messages\" is empty"]),
        bad(
            file("K3", "a conversation that is a text", messages("\"hi\"")),
            &["\"messages\" is a string, expected a list of messages"],
        ),
        bad(
            file("K3", "a message without a role", messages(r#"[{"content":"x"}]"#)),
            &["message 1: no string under \"role\""],
        ),
        bad(
            file("K3", "a role that there is not", messages(r#"[{"role":"boss","content":"x"}]"#)),
            &["message 1: unknown role \"boss\""],
        ),
        bad(
            file("K3", "a message without content", messages(r#"[{"role":"user"}]"#)),
            &["message 1: \"content\" is missing"],
        ),
        bad(
            file("K3", "content that is a number", messages(r#"[{"role":"user","content":3}]"#)),
            &["\"content\" is a number, expected a string or a list of parts"],
        ),
        bad(
            file("K3", "nothing to learn", messages(r#"[{"role":"user","content":"x"}]"#)),
            &["no message of the assistant", "nothing to learn from"],
        ),
        bad(
            file("K3", "an answer of nothing", messages(r#"[{"role":"assistant","content":""}]"#)),
            &["the assistant says nothing"],
        ),
    ]);
}

/// A row with this picture and this question.
fn shown(image: &str, question: &str) -> String {
    format!(
        r#"{{"image":{image},"conversations":[{{"from":"human","value":"{question}"}},{{"from":"gpt","value":"a cat"}}]}}"#
    )
}

#[test]
fn pictures_that_are_not_there_or_not_allowed_are_named() {
    let pictures = |dir: &Path| -> Result<String> {
        let data = Dataset::read(&dir.join(FILE), &ReadOptions::default())?;
        data.samples()[0].pictures().map(|p| format!("{p:?}"))
    };
    judge(vec![
        bad(
            file("K4", "a picture that is not there", shown("\"gone.png\"", "<image>?")),
            &[":1: picture \"gone.png\": No such file", "looked for", MEND],
        ),
        bad(
            file("K4", "a picture on the web", shown("\"https://example.org/a.png\"", "<image>?")),
            &["is a web address: download the picture"],
        ),
        bad(file("K4", "a picture without a name", shown("\"\"", "<image>?")), &["a picture without a path"]),
        bad(
            file("K4", "a picture that is a number", shown("3", "<image>?")),
            &["a picture is a number, expected a path"],
        ),
        bad(file("K4", "a folder for a picture", shown("\".\"", "<image>?")), &["picture \".\" is no regular file"]),
        row("K5", "a picture that is none", || folder(good("the first")), move |dir| pictures(dir.path())).fails(
            ErrorKind::Image,
            &["this is plain text", "row: the first", "picture: 0", "a.png", "JPEG, PNG or WebP"],
        ),
        row(
            "K5",
            "a picture in the row that is none",
            || folder(shown("\"data:image/png;base64,R0lGODlh\"", "<image>?")),
            move |dir| pictures(dir.path()),
        )
        .fails(ErrorKind::Image, &["this is a GIF file", "row: rows.jsonl:1", "picture: 0"]),
        bad(
            file("K5", "a picture in the row that is no base64", shown("\"data:image/png;base64,R0lGO\"", "<image>?")),
            &["base64 of 5 characters, which is no multiple of 4"],
        ),
        bad(file("K6", "a picture above the folder", shown("\"../a.png\"", "<image>?")), &["picture \"../a.png\""]),
        bad(
            file("K6", "a file of the machine", shown("\"/etc/passwd\"", "<image>?")),
            &["picture \"/etc/passwd\" is outside of", "allow_outside_root"],
        ),
        bad(
            file("K6", "a file of the machine by its address", shown("\"file:///etc/passwd\"", "<image>?")),
            &["picture \"file:///etc/passwd\" is outside of", "allow_outside_root"],
        ),
        bad(
            file("K7", "a picture that is not shown", shown("\"a.png\"", "what?")),
            &["0 <image> placeholders but 1 pictures", "each picture needs its placeholder"],
        ),
        bad(
            file("K7", "a picture shown twice", shown("\"a.png\"", "<image><image>")),
            &["2 <image> placeholders but 1 pictures"],
        ),
        bad(file("K7", "no picture", shown("null", "<image>")), &["1 <image> placeholders but 0 pictures"]),
        bad(
            file("K7", "one of two shown", shown("[\"a.png\",\"a.png\"]", "<image>")),
            &["1 <image> placeholders but 2 pictures"],
        ),
    ]);
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_folder() {
    let linked = || {
        let dir = folder(shown("\"link.png\"", "<image>?"));
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.png")).unwrap();
        dir
    };
    let pipe = || {
        let dir = folder(shown("\"pipe.png\"", "<image>?"));
        assert!(std::process::Command::new("mkfifo").arg(dir.path().join("pipe.png")).status().unwrap().success());
        dir
    };
    let usual = |dir: tempfile::TempDir| read(dir.path(), &ReadOptions::default());
    judge(vec![
        bad(
            row("K6", "a link to a file of the machine", linked, usual),
            &["picture \"link.png\" is outside of", "allow_outside_root"],
        ),
        bad(row("K4", "a pipe", pipe, usual), &["picture \"pipe.png\" is no regular file"]),
    ]);
}

#[test]
fn numbers_lines_encodings_and_ids_that_do_not_fit_are_named() {
    let utf16 = |to: fn(u16) -> [u8; 2], mark: &'static [u8]| {
        [mark, &good("ü").encode_utf16().flat_map(to).collect::<Vec<u8>>()].concat()
    };
    let long = |bytes: usize| {
        format!(
            "{}\n{}\n",
            good("1"),
            messages(&format!(r#"[{{"role":"assistant","content":"{}"}}]"#, "x".repeat(bytes)))
        )
    };
    let twice = || folder(format!("{}\n{}\n{}\n", good("1"), good("2"), good("1")));
    judge(vec![
        bad(file("K12", "NaN for an id", good("1").replace("\"1\"", "NaN")), &[":1: not a JSON object", MEND]),
        bad(
            file("K12", "a number beyond all", good("1").replace("\"1\"", "1e999")),
            &[":1: not a JSON object: number out of range"],
        ),
        file("K12", "a number for an id", good("1").replace("\"1\"", "-0.5")).works(&["first \"-0.5\""]),
        bad(
            file("K13", "a line of 11 MiB", long(11 << 20)),
            &[":2: the row has 115", "bytes, more than the 10485760 allowed"],
        )
        .memory(4 * MIB),
        file("K13", "a line of 9 MiB", long(9 << 20)).works(&["2 rows"]).memory(128 * MIB),
        bad(
            file("K13", "a line of a million values", messages(&format!("[{}1]", "1,".repeat(1 << 20)))),
            &["holds more than 200000 values"],
        ),
        bad(file("K13", "a million brackets", "[".repeat(1 << 20)), &["the array does not end with ']'"]),
        bad(
            file("K13", "a line of 100,000 brackets", format!("{{\"messages\":{}", "[".repeat(100_000))),
            &[":1: not a JSON object: recursion limit exceeded"],
        ),
        file("K14", "lines of Windows", format!("{}\r\n{}\r\n", good("1"), good("2"))).works(&["2 rows"]),
        file("K14", "a mark of UTF-8", format!("\u{feff}{}", good("1"))).works(&["1 rows", "first \"1\""]),
        file("K14", "UTF-16, low byte first", utf16(u16::to_le_bytes, b"\xff\xfe")).works(&["first \"ü\""]),
        file("K14", "UTF-16, high byte first", utf16(u16::to_be_bytes, b"\xfe\xff")).works(&["first \"ü\""]),
        bad(
            file("K14", "UTF-16 without its mark", utf16(u16::to_le_bytes, b"")),
            &["no UTF-8, perhaps UTF-16 without its mark", "save the file as UTF-8"],
        ),
        bad(
            file("K14", "half a pair of UTF-16", b"\xff\xfe\x00\xd8"),
            &["begins as UTF-16 but is not", "save the file as UTF-8"],
        ),
        bad(
            file(
                "K14",
                "Latin-1",
                good("1")
                    .replace("a cat", "#")
                    .into_bytes()
                    .into_iter()
                    .map(|b| if b == b'#' { 0xfc } else { b })
                    .collect::<Vec<u8>>(),
            ),
            &[":1: the text is not UTF-8 at byte"],
        ),
        bad(
            row("K15", "an id that comes twice", twice, |dir| read(dir.path(), &ReadOptions::default())),
            &[":3: the id \"1\" is that of", ":1", "allow_duplicate_ids"],
        ),
        row("K15", "an id that may come twice", twice, |dir| {
            read(dir.path(), &ReadOptions { allow_duplicate_ids: true, ..ReadOptions::default() })
        })
        .works(&["3 rows"]),
    ]);
}
