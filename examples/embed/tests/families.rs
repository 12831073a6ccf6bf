//! The program with the model folder of every dual encoder: its probabilities are those of transformers.
#![allow(clippy::print_stdout)] // A test that cannot run says so.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlm_core::Device;
use vlm_core::weights::WeightFiles;

fn folder(family: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/dev").join(family);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("SKIPPED: there is no reference data for {family} beside the workspace");
    None
}

fn run(model: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embed"));
    command.arg("--model").arg(model).args(["--device", "cpu"]).args(args).output().unwrap()
}

fn lines(out: &Output) -> Vec<Value> {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn values(file: &Path, name: &str) -> Vec<f32> {
    WeightFiles::open(file).unwrap().tensor(name, &Device::reference()).unwrap().to_vec().unwrap()
}

fn assert_near(what: &str, found: &[f32], want: &[f32]) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (f, w) in found.iter().zip(want) {
        assert!((f - w).abs() < 2e-5, "{what}: {found:?}, expected {want:?}");
    }
}

#[test]
fn probabilities_and_embeddings_are_those_of_transformers() {
    for family in ["clip", "siglip", "siglip2"] {
        let Some(dir) = folder(family) else { return };
        let told: Value = serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
        let (expected, out) = (dir.join("expected.safetensors"), tempfile::tempdir().unwrap());
        for case in ["zero_shot", "pairs"] {
            let of = |key: &str| -> Vec<String> {
                let all = told["cases"][case][key].as_array().unwrap();
                all.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
            };
            let (texts, images) = (of("texts"), of("images"));
            let files: Vec<String> = images.iter().map(|i| dir.join(i).to_str().unwrap().to_owned()).collect();
            let (top, saved) = (texts.len().to_string(), out.path().join("e.safetensors"));
            let mut args = vec!["--json", "--top", &top, "--batch", "2", "--out", saved.to_str().unwrap()];
            files.iter().for_each(|f| args.extend(["--image", f]));
            texts.iter().for_each(|t| args.extend(["--text", t]));
            let said = lines(&run(&dir.join("model"), &args));
            assert_eq!(said.len(), files.len(), "{family}");
            for name in ["image_embeds", "text_embeds"].into_iter().filter(|_| case == "pairs") {
                assert_near(name, &values(&saved, name), &values(&expected, &format!("case/{case}/{name}")));
            }
            if case == "zero_shot" {
                let best = said[0]["best"].as_array().unwrap();
                let of =
                    |text: &String| best.iter().find(|b| b["text"] == *text).unwrap()["probability"].as_f64().unwrap();
                let found: Vec<f32> = texts.iter().map(|t| of(t) as f32).collect();
                assert_near(family, &found, &values(&expected, "case/zero_shot/probs"));
            }
        }
    }
}

#[test]
fn a_folder_of_folders_gives_labels_and_accuracy() {
    let Some(dir) = folder("clip") else { return };
    let scratch = tempfile::tempdir().unwrap();
    for (label, picture) in [("cat", "photo_64x48.png"), ("dog", "odd_37x91.png"), ("dog", "gray_33x57.png")] {
        std::fs::create_dir_all(scratch.path().join(label)).unwrap();
        std::fs::copy(dir.join("images").join(picture), scratch.path().join(label).join(picture)).unwrap();
    }
    let root = scratch.path().to_str().unwrap();
    let said = lines(&run(&dir.join("model"), &["--folder", root, "--json", "--top", "1"]));
    let (last, pictures) = said.split_last().unwrap();
    assert_eq!((pictures.len(), last["pictures"].as_u64()), (3, Some(3)));
    let right = pictures.iter().filter(|p| {
        let label = p["best"][0]["text"].as_str().unwrap();
        Path::new(p["image"].as_str().unwrap()).parent().unwrap().ends_with(label)
    });
    assert!((last["accuracy"].as_f64().unwrap() - right.count() as f64 / 3.0).abs() < 1e-9, "{said:?}");
}

#[test]
fn what_cannot_be_embedded_is_told_with_exit_code_2() {
    let (Some(clip), Some(llava)) = (folder("clip"), folder("llava")) else { return };
    let (clip, llava) = (clip.join("model"), llava.join("model"));
    for (model, args, part) in [
        (&clip, &[][..], "nothing to embed"),
        (&clip, &["--image", "nowhere.png"], "nowhere.png"),
        (&clip, &["--label", "a", "--label", "a", "--image", "x.png"], "given twice"),
        (&clip, &["--label", "a", "--template", "no place", "--text", "b"], "has no {}"),
        (&clip, &["--label", "a", "--text", "b"], "not both"),
        (&llava, &["--text", "a"], "llava"),
    ] {
        let out = run(model, args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {part:?} is not in {said}");
    }
}
