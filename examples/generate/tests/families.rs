//! The program with the model folder of every family: what it prints is what transformers answers.
#![allow(clippy::print_stdout)] // A test that cannot run says so.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlm_core::text::Tokenizer;

/// Tokens of an answer in the reference data.
const TOKENS: &str = "12";

fn parity() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/dev");
    if root.is_dir() {
        return Some(root);
    }
    println!("SKIPPED: there is no reference data beside the workspace");
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The families that write text, with their folders.
fn families() -> Vec<(String, PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in parity().into_iter().flat_map(|root| std::fs::read_dir(root).unwrap()) {
        let dir = entry.unwrap().path();
        let told = json(&dir.join("expected.json"));
        if told["kind"] == "vlm" {
            found.push((dir.file_name().unwrap().to_string_lossy().into_owned(), dir, told));
        }
    }
    found
}

fn run(model: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
    command.arg("--model").arg(model).args(["--device", "cpu", "--max-new-tokens", TOKENS]).args(args);
    command.output().unwrap()
}

fn stdout(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// What transformers says in a case, its end token and what follows it left out.
fn expected(dir: &Path, case: &str) -> Vec<String> {
    let file = vlm_core::weights::WeightFiles::open(dir.join("expected.safetensors")).unwrap();
    let ids = file.tensor(&format!("case/{case}/greedy_ids"), &vlm_core::Device::reference()).unwrap();
    let width = ids.shape()[1];
    let told = json(&dir.join("model/generation_config.json"))["eos_token_id"].clone();
    let ends: Vec<i64> = match told {
        Value::Array(all) => all.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    };
    let tokenizer = Tokenizer::load(&dir.join("model")).unwrap();
    let rows = ids.to_vec::<i64>().unwrap();
    let text = |row: &[i64]| {
        let said: Vec<u32> = row.iter().take_while(|id| !ends.contains(id)).map(|&id| id as u32).collect();
        tokenizer.decode(&said, true).unwrap()
    };
    rows.chunks(width).map(text).collect()
}

#[test]
fn one_prompt_about_one_picture_is_answered_as_transformers_answers() {
    for (family, dir, told) in families() {
        let messages = &told["cases"]["one_image"]["messages"][0];
        let content = messages[0]["content"].as_array().unwrap();
        let (image, text) = (content[0]["image"].as_str().unwrap(), content[1]["text"].as_str().unwrap());
        assert_eq!((messages.as_array().unwrap().len(), content.len()), (1, 2), "{family}: another kind of case");
        let image = dir.join(image);
        let out = run(&dir.join("model"), &["--image", image.to_str().unwrap(), "--prompt", text]);
        let want = &expected(&dir, "one_image")[0];
        // Bytes that are no character can be shown otherwise while they come.
        let sound = want.split('\u{fffd}').next().unwrap();
        assert!(stdout(&out).starts_with(sound), "{family}: {:?}, expected {want:?}", stdout(&out));
        if !want.contains('\u{fffd}') {
            assert_eq!(stdout(&out), format!("{want}\n"), "{family}");
        }
    }
}

#[test]
fn a_file_of_conversations_is_answered_side_by_side() {
    for (family, dir, told) in families().into_iter().filter(|(f, ..)| f == "qwen2_5_vl" || f == "smolvlm") {
        let scratch = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.join("images")).unwrap().map(Result::unwrap) {
            std::fs::create_dir_all(scratch.path().join("images")).unwrap();
            std::fs::copy(entry.path(), scratch.path().join("images").join(entry.file_name())).unwrap();
        }
        let mut lines = String::new();
        for (i, messages) in told["cases"]["batch_left_pad"]["messages"].as_array().unwrap().iter().enumerate() {
            lines += &format!("{}\n", serde_json::json!({"id": format!("row {i}"), "messages": messages}));
        }
        let input = scratch.path().join("rows.jsonl");
        std::fs::write(&input, lines).unwrap();
        let want = expected(&dir, "batch_left_pad");
        for batch in ["1", "3"] {
            let out = run(&dir.join("model"), &["--input", input.to_str().unwrap(), "--batch", batch]);
            let said: Vec<Value> = stdout(&out).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(said.len(), want.len(), "{family}");
            for (i, (said, want)) in said.iter().zip(&want).enumerate() {
                assert_eq!(said["id"], format!("row {i}"), "{family}");
                let sound = want.split('\u{fffd}').next().unwrap();
                assert!(said["text"].as_str().unwrap().starts_with(sound), "{family} {batch}: {said}, {want:?}");
            }
        }
    }
}

#[test]
fn a_chat_goes_on_after_mistakes() {
    use std::io::Write;
    let Some(dir) = parity().map(|root| root.join("llava")) else { return };
    let picture = dir.join("images/photo_64x48.png");
    let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
    command.arg("--model").arg(dir.join("model")).args(["--chat", "--max-new-tokens", "3", "--device", "cpu"]);
    let pipe = std::process::Stdio::piped;
    let mut child = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    let talk = format!("/image nowhere.png\n/image {}\nWhat is it?\n/dance\n/new\nHi\n/quit\n", picture.display());
    child.stdin.take().unwrap().write_all(talk.as_bytes()).unwrap();
    let said = stdout(&child.wait_with_output().unwrap());
    for part in ["nowhere.png", "64 x 48 pixels", "commands: /image"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    assert_eq!(said.matches("> ").count(), 7, "{said:?}");
}

#[test]
fn what_cannot_be_asked_is_told_with_exit_code_2() {
    let Some(root) = parity() else { return };
    let (llava, clip) = (root.join("llava/model"), root.join("clip/model"));
    let scratch = tempfile::tempdir().unwrap();
    let rows = scratch.path().join("rows.jsonl");
    std::fs::write(&rows, "{\"messages\": [{\"role\": \"user\", \"content\": \"<image>hi\"}]}\n").unwrap();
    let rows = rows.to_str().unwrap();
    let adapter = root.join("clip/adapters/lora_qv");
    for (model, args, parts) in [
        (&llava, &["--image", "nowhere.png", "--prompt", "x"][..], &["nowhere.png"][..]),
        (&llava, &["--prompt", "what is <image>?"], &["1 placeholders", "0 pictures"]),
        (&llava, &["--input", rows], &["rows.jsonl:1", "1 <image> placeholders but 0 pictures"]),
        (&llava, &["--prompt", "x", "--top-p", "0"], &["top_p is 0"]),
        (&llava, &["--prompt", "x", "--adapter", adapter.to_str().unwrap()], &["adapter", "lora_qv"]),
        (&clip, &["--prompt", "x"], &["clip", "embed"]),
        (&scratch.path().join("none"), &["--prompt", "x"], &["none"]),
    ] {
        let out = run(model, args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?}: {part:?} is not in {said}");
        }
    }
}
