use super::*;
use crate::data::{ImageRef, Part, Role};

fn row(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","image":"a.png","conversations":[{{"from":"human","value":"<image>?"}},{{"from":"gpt","value":"x"}}]}}"#
    )
}

fn write(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn files_and_folders_of_every_kind_are_read() {
    let lines = format!("\u{feff}{}\r\n\r\n{}\r\n", row("1"), row("2"));
    let array = format!("[{},\n{}]", row("1"), row("2"));
    let dir = write(&[("a.png", "p"), ("lines.jsonl", &lines), ("array.json", &array), ("sub/one.json", &row("1"))]);
    for name in ["lines.jsonl", "array.json"] {
        let data = Dataset::read(&dir.path().join(name), &ReadOptions::default()).unwrap();
        assert_eq!(data.samples().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((data.digest().len(), data.skipped().len()), (64, 0));
    }
    let elsewhere = dir.path().join("sub/one.json");
    let e = Dataset::read(&elsewhere, &ReadOptions::default()).unwrap_err().to_string();
    assert!(e.contains("one.json:1: picture \"a.png\": No such file"), "{e}");
    let options = ReadOptions { image_root: Some(dir.path().to_path_buf()), ..Default::default() };
    assert_eq!(Dataset::read(&elsewhere, &options).unwrap().len(), 1);
}

#[test]
fn bad_rows_are_named_by_file_and_line_and_may_be_left_out() {
    let text = format!("{}\nnot json\n{}\n{}\n", row("1"), row("1"), row("2"));
    let dir = write(&[
        ("a.png", "p"),
        ("d.jsonl", &text),
        ("empty.jsonl", ""),
        ("blank.jsonl", " \n\n"),
        ("bad.jsonl", "1\n2"),
    ]);
    let read = |name: &str, on_bad_row| {
        Dataset::read(&dir.path().join(name), &ReadOptions { on_bad_row, ..Default::default() })
    };
    let e = read("d.jsonl", OnBadRow::Fail).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Data);
    assert!(e.to_string().contains("d.jsonl:2: not a JSON object"), "{e}");
    let e = read("d.jsonl", OnBadRow::Skip(1)).unwrap_err().to_string();
    assert!(
        e.contains("d.jsonl:3: the id \"1\" is that of") && e.contains("d.jsonl:1") && e.contains("the limit"),
        "{e}"
    );
    let data = read("d.jsonl", OnBadRow::Skip(2)).unwrap();
    assert_eq!((data.len(), data.skipped().len()), (2, 2));
    assert!(read("empty.jsonl", OnBadRow::Fail).unwrap_err().to_string().contains("is empty"));
    assert!(read("blank.jsonl", OnBadRow::Fail).unwrap_err().to_string().contains("has no rows"));
    let e = read("bad.jsonl", OnBadRow::Skip(9)).unwrap_err().to_string();
    assert!(e.contains("no usable row; 2 were left out") && e.contains("bad.jsonl:1"), "{e}");
    assert!(read("gone.jsonl", OnBadRow::Fail).unwrap_err().to_string().contains("No such file"));
    let twice = ReadOptions { allow_duplicate_ids: true, on_bad_row: OnBadRow::Skip(1), ..Default::default() };
    assert_eq!(Dataset::read(&dir.path().join("d.jsonl"), &twice).unwrap().len(), 3);
}

#[test]
fn folders_of_pictures_take_captions_from_metadata_or_beside_them() {
    let dir = write(&[
        ("beside/b.JPG", "p"),
        ("beside/b.txt", "a dog\n"),
        ("beside/sub/a.png", "p"),
        ("beside/sub/a.txt", "a cat"),
        ("beside/notes.md", "x"),
        ("meta/x.png", "p"),
        ("meta/metadata.jsonl", "{\"file_name\":\"x.png\",\"text\":\"a bird\"}\n"),
        ("none/readme.md", "x"),
        ("lacks/a.png", "p"),
    ]);
    let options = ReadOptions { caption_prompt: "Describe it.".into(), ..Default::default() };
    let read = |name: &str| Dataset::read(&dir.path().join(name), &options);
    let data = read("beside").unwrap();
    assert_eq!(data.samples().iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b.JPG", "sub/a.png"]);
    let cat = &data.samples()[1];
    assert_eq!(cat.messages[0].content, [Part::Image(0), Part::Text("Describe it.".into())]);
    assert_eq!((cat.messages[1].role, cat.messages[1].to_text()), (Role::Assistant, "a cat".into()));
    assert!(matches!(&cat.images[0], ImageRef::Path(p) if p.ends_with("beside/sub/a.png")));
    assert_eq!(read("meta").unwrap().samples()[0].messages[1].to_text(), "a bird");
    assert!(read("none").unwrap_err().to_string().contains("has no rows"));
    assert!(read("lacks").unwrap_err().to_string().contains("a.png: no caption"));
    let before = data.digest().to_owned();
    std::fs::write(dir.path().join("beside/b.txt"), "a wolf").unwrap();
    assert_ne!(read("beside").unwrap().digest(), before);
    for (text, want) in [
        (r#"{"text":"x"}"#, r#"metadata.jsonl:1: no string under "file_name""#),
        (r#"{"file_name":"x.png"}"#, "no caption"),
        (r#"{"file_name":"../none/readme.md","text":"x"}"#, "is outside of"),
        ("{", "not a JSON object"),
    ] {
        std::fs::write(dir.path().join("meta/metadata.jsonl"), text).unwrap();
        let e = read("meta").unwrap_err().to_string();
        assert!(e.contains(want), "{e}");
    }
}

#[test]
fn rows_on_one_line_have_names_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.json");
    let row = r#"{"instruction":"Hi","output":"Ho"}"#;
    std::fs::write(&path, format!("[{row},{row},\n{row}]")).unwrap();
    let read = Dataset::read(&path, &ReadOptions::default()).unwrap();
    let ids: Vec<&str> = read.samples().iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["rows.json:1", "rows.json:1.2", "rows.json:2"]);
    std::fs::write(&path, format!("[{row},{{}}]")).unwrap();
    let e = Dataset::read(&path, &ReadOptions::default()).unwrap_err();
    assert!(e.to_string().contains("rows.json:1.2: "), "{e}");
}
