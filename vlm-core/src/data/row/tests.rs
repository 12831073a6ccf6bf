use super::*;
use crate::weights::testing::with_damaged;

fn folder() -> (tempfile::TempDir, ImageRoot) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data/sub")).unwrap();
    for name in ["outside.png", "data/a.png", "data/sub/b.png"] {
        std::fs::write(dir.path().join(name), "picture").unwrap();
    }
    let root = ImageRoot::new(&dir.path().join("data"), false).unwrap();
    (dir, root)
}

#[test]
fn every_style_gives_the_same_sample() {
    let (_dir, root) = folder();
    let path = |name: &str| ImageRef::Path(root.dir.join(name));
    let turn = [
        Message { role: Role::User, content: vec![Part::Image(0), Part::Text("What is it?".into())] },
        Message::text(Role::Assistant, "A cat"),
    ];
    let want = Sample { id: "7".into(), messages: turn.to_vec(), images: vec![path("a.png")] };
    for text in [
        r#"{"id":7,"image":"a.png","conversations":[{"from":"human","value":"<image>\nWhat is it?"},{"from":"gpt","value":"A cat"}]}"#,
        r#"{"id":"7","images":["sub/../a.png"],"messages":[{"role":"user","content":"<image>What is it?"},{"role":"assistant","content":"A cat"}]}"#,
        r#"{"id":"7","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a.png"}},{"type":"text","text":"What is it?"}]},{"role":"assistant","content":[{"type":"text","text":"A cat"}]}]}"#,
        r#"{"id":"7","images":[{"path":"a.png","bytes":null}],"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"What is it?"}]},{"role":"assistant","content":"A cat"}]}"#,
    ] {
        assert_eq!(parse_row(text, None, &root, "x:1").unwrap(), want, "{text}");
    }
    let two = r#"{"system":"Be brief","images":["a.png","sub/b.png"],"messages":[{"role":"user","content":"Compare:\n<image> and <image>"},{"role":"assistant","content":"Same"}]}"#;
    let sample = parse_row(two, None, &root, "x:1").unwrap();
    assert_eq!((sample.id.as_str(), sample.messages[0].role, sample.images.len()), ("x:1", Role::System, 2));
    assert_eq!(sample.messages[1].to_text(), "Compare:\n<image> and <image>");
    assert_eq!(sample.messages[1].images().collect::<Vec<_>>(), [0, 1]);
    let end = r#"{"image":"a.png","conversations":[{"from":"human","value":"Look:\n<image>"},{"from":"gpt","value":"A cat"}]}"#;
    assert_eq!(
        parse_row(end, None, &root, "x").unwrap().messages[0].content,
        [Part::Text("Look:".into()), Part::Image(0)]
    );
    let data = r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,Zm9v"}}]},{"role":"assistant","content":"x"}]}"#;
    assert_eq!(parse_row(data, None, &root, "x").unwrap().images, [ImageRef::Bytes(b"foo"[..].into())]);
    let own = Columns {
        messages: "dialog".into(),
        role_tag: "who".into(),
        content_tag: "says".into(),
        user_tags: vec!["A".into()],
        assistant_tags: vec!["B".into()],
        ..Columns::messages()
    };
    let text = r#"{"dialog":[{"who":"A","says":"hi"},{"who":"B","says":"ho"}]}"#;
    assert_eq!(parse_row(text, Some(&own), &root, "x").unwrap().messages.len(), 2);
}

#[test]
fn questions_with_one_answer_are_conversations_too() {
    let (_dir, root) = folder();
    let says = |text: &str, columns: Option<&Columns>| {
        let sample = parse_row(text, columns, &root, "x").unwrap();
        let said: Vec<String> = sample.messages.iter().map(|m| format!("{:?} {}", m.role, m.to_text())).collect();
        (said, sample.images.len())
    };
    let alpaca = r#"{"instruction":"<image>What is it?","input":"Be brief.","output":"A cat","image":"a.png","system":"S",
        "history":[["Hi","Ho"]]}"#;
    let want = ["System S", "User Hi", "Assistant Ho", "User <image>What is it?\nBe brief.", "Assistant A cat"];
    assert_eq!(says(alpaca, None), (want.map(str::to_owned).to_vec(), 1));
    let swift = r#"{"query":"Hi","response":"Ho","history":[]}"#;
    assert_eq!(says(swift, None).0, ["User Hi", "Assistant Ho"]);
    // A column of this name beside a list of messages changes nothing.
    let both = r#"{"response":1,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Ho"}]}"#;
    assert_eq!(says(both, None).0, ["User Hi", "Assistant Ho"]);
    let named = Columns::alpaca(AlpacaColumns { prompt: "q".into(), response: "a".into(), ..AlpacaColumns::alpaca() });
    assert_eq!(says(r#"{"q":"Hi","a":"Ho","instruction":"no"}"#, Some(&named)).0, ["User Hi", "Assistant Ho"]);
    for (text, part) in [
        (r#"{"instruction":"Hi","output":""}"#, "\"output\" is missing or empty"),
        (r#"{"instruction":"Hi"}"#, "\"output\" is missing or empty"),
        (r#"{"instruction":["Hi"],"output":"Ho"}"#, "\"instruction\" is a list, expected a string"),
        (r#"{"instruction":"Hi","output":"Ho","history":"x"}"#, "\"history\" is a string, expected a list of pairs"),
        (r#"{"instruction":"Hi","output":"Ho","history":[["a"]]}"#, "\"history\", entry 1: expected a question and"),
        (r#"{"instruction":"<image>","output":"Ho"}"#, "1 <image> placeholders but 0 pictures"),
    ] {
        let e = parse_row(text, None, &root, "x").unwrap_err();
        assert!(e.contains(part), "{text}: {e}");
    }
}

#[test]
fn what_is_wrong_with_a_row_is_said() {
    let (dir, root) = folder();
    let absolute = dir.path().join("outside.png").display().to_string();
    let conv = |image: &str, value: &str| {
        format!(
            r#"{{"image":{image},"conversations":[{{"from":"human","value":"{value}"}},{{"from":"gpt","value":"x"}}]}}"#
        )
    };
    let one = |message: &str| format!(r#"{{"messages":[{message}]}}"#);
    for (text, want) in [
        ("{".to_owned(), "not a JSON object: EOF"),
        ("[1]".to_owned(), "not a JSON object"),
        (
            r#"{"a":1,"b":2}"#.to_owned(),
            r#"none of "conversations", "messages", "instruction", "response" (its keys: "a", "b")"#,
        ),
        (r#"{"messages":[]}"#.to_owned(), r#""messages" is empty"#),
        (r#"{"messages":"hi"}"#.to_owned(), r#""messages" is a string, expected a list"#),
        (one("3"), r#"message 1: no string under "role""#),
        (one(r#"{"role":"boss","content":"x"}"#), r#"message 1: unknown role "boss""#),
        (one(r#"{"role":"user"}"#), r#"message 1: "content" is missing"#),
        (one(r#"{"role":"user","content":3}"#), r#""content" is a number, expected a string or a list"#),
        (one(r#"{"role":"user","content":[{"type":"video"}]}"#), r#"a part of type "video""#),
        (one(r#"{"role":"user","content":["x"]}"#), r#"a part is a string without "type""#),
        (one(r#"{"role":"user","content":"x"}"#), "nothing to learn from"),
        (one(r#"{"role":"assistant","content":""}"#), "the assistant says nothing"),
        (
            one(r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.org/a.png"}}]}"#),
            "download the picture",
        ),
        (one(r#"{"role":"user","content":[{"type":"image","image":"data:image/png;base64,Z"}]}"#), "no multiple of 4"),
        (one(r#"{"role":"user","content":[{"type":"image","image":"data:image/svg+xml,<svg/>"}]}"#), "expected base64"),
        (conv("\"gone.png\"", "<image>"), r#"picture "gone.png": No such file"#),
        (conv("\"../outside.png\"", "<image>"), "is outside of"),
        (conv(&format!("{absolute:?}"), "<image>"), "is outside of"),
        (conv("\"sub\"", "<image>"), "is no regular file"),
        (conv("\"\"", "<image>"), "without a path"),
        (conv("3", "<image>"), "a picture is a number, expected a path"),
        (conv("\"a.png\"", "no mark"), "0 <image> placeholders but 1 pictures"),
        (conv("\"a.png\"", "<image><image>"), "2 <image> placeholders but 1 pictures"),
        (conv("null", "<image>"), "1 <image> placeholders but 0 pictures"),
    ] {
        let e = parse_row(&text, None, &root, "x").expect_err(&text);
        assert!(e.contains(want), "{text}: {e}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../outside.png", root.dir.join("link.png")).unwrap();
        let e = parse_row(&conv("\"link.png\"", "<image>"), None, &root, "x").unwrap_err();
        assert!(e.contains("is outside of"), "{e}");
    }
    let free = ImageRoot { allow_outside: true, ..root.clone() };
    parse_row(&conv("\"../outside.png\"", "<image>"), None, &free, "x").unwrap();
}

#[test]
fn damaged_rows_give_a_consistent_sample_or_an_error() {
    let (_dir, root) = folder();
    let good = r#"{"id":7,"image":"a.png","conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"A"}]}"#;
    let parts = r#"{"images":["a.png"],"messages":[{"role":"user","content":[{"type":"image"},{"type":"image_url","image_url":"sub/b.png"}]},{"role":"assistant","content":"x"}]}"#;
    parse_row(parts, None, &root, "x").unwrap();
    with_damaged(&[good.as_bytes().to_vec(), parts.as_bytes().to_vec()], 3000, |text| {
        let Ok(sample) = parse_row(&String::from_utf8_lossy(text), None, &root, "x") else { return };
        let mut shown: Vec<usize> = sample.messages.iter().flat_map(Message::images).collect();
        shown.sort_unstable();
        assert_eq!(shown, (0..sample.images.len()).collect::<Vec<_>>());
    });
}
