//! Conversations and pairs as a trainer meets them, with the real (tiny) models of every family.
#![cfg(feature = "image-formats")]

mod common;

use common::parity_folder;
use std::path::Path;
use vlm_core::data::{ImageRef, Message, Part, Role, Sample};
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::{ModuleNames, PeftConfig};
use vlm_core::models::processor::{DualProcessor, Processor};
use vlm_core::models::{ModelPart, VisionLanguageModel, load, load_dual_encoder, set_trainable_parts};
use vlm_core::tensor::IGNORE_INDEX;
use vlm_core::train::{ConversationOptions, ConversationTask, PairTask, Task, Trainer, TrainerOptions};
use vlm_core::{Device, ErrorKind};

const FAMILIES: [&str; 11] = [
    "llava",
    "llava_next",
    "llava_onevision",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "smolvlm",
    "idefics3",
    "internvl",
    "paligemma",
    "gemma3",
];

fn picture(side: u32) -> ImageRef {
    let rgb: Vec<u8> = (0..side * side * 3).map(|i| (i * 7 % 251) as u8).collect();
    ImageRef::Raw { width: side, height: side, rgb: rgb.into() }
}

fn user(parts: Vec<Part>) -> Message {
    Message { role: Role::User, content: parts }
}

/// Two turns about two pictures; for PaliGemma, which learns one answer, the first turn alone.
fn talk(id: &str, turns: usize) -> Sample {
    let mut messages = vec![
        user(vec![Part::Image(0), Part::Text("What is in it?".into())]),
        Message::text(Role::Assistant, "a small red house"),
    ];
    let mut images = vec![picture(30)];
    if turns > 1 {
        messages.push(user(vec![Part::Text("And in this one?".into()), Part::Image(1)]));
        messages.push(Message::text(Role::Assistant, "two blue birds"));
        images.push(picture(41));
    }
    Sample { id: id.to_owned(), messages, images }
}

fn said(id: &str, question: &str, answer: &str) -> Sample {
    let messages = vec![user(vec![Part::Text(question.into())]), Message::text(Role::Assistant, answer)];
    Sample { id: id.to_owned(), messages, images: Vec::new() }
}

struct Held {
    model: Box<dyn VisionLanguageModel>,
    processor: Processor,
}

fn held(folder: &Path) -> Held {
    let dir = folder.join("model");
    Held { model: load(&dir, None, &Device::reference()).unwrap(), processor: Processor::load(&dir).unwrap() }
}

impl Held {
    fn task<'a>(&'a self, samples: &'a [Sample], options: ConversationOptions) -> ConversationTask<'a> {
        ConversationTask::new(&*self.model, &self.processor, samples, options).unwrap()
    }

    /// Runs of learnt tokens of the first row, decoded.
    fn learnt(&self, samples: &[Sample], options: ConversationOptions) -> Vec<String> {
        let labels = self.task(samples, options).batch(&[0]).unwrap().labels.unwrap().remove(0);
        let runs = labels.split(|&l| l == IGNORE_INDEX).filter(|run| !run.is_empty());
        let text = |run: &[i64]| {
            let ids: Vec<u32> = run.iter().map(|&id| id as u32).collect();
            self.processor.tokenizer().decode(&ids, true).unwrap().trim().to_owned()
        };
        runs.map(text).collect()
    }
}

#[test]
fn what_the_assistant_says_is_learnt_and_nothing_else() {
    for family in FAMILIES {
        let Some(folder) = parity_folder(family) else { return };
        let held = held(&folder);
        let turns = if family == "paligemma" { 1 } else { 2 };
        let samples = [talk("row", turns)];
        let all = ["a small red house", "two blue birds"];
        assert_eq!(held.learnt(&samples, ConversationOptions::default()), all[..turns], "{family}");
        let last = ConversationOptions { mask_history: true, ..ConversationOptions::default() };
        assert_eq!(held.learnt(&samples, last), all[turns - 1..turns], "{family}");
        if turns > 1 {
            let everything = ConversationOptions { train_on_prompt: true, ..ConversationOptions::default() };
            let batch = held.task(&samples, everything).batch(&[0]).unwrap();
            let picture = held.model.image_token_id();
            for (id, label) in batch.input_ids[0].iter().zip(&batch.labels.unwrap()[0]) {
                assert_eq!(*label, if *id == picture { IGNORE_INDEX } else { *id }, "{family}");
            }
        }
    }
}

#[test]
fn long_rows_are_cut_after_pictures_and_never_inside() {
    let Some(folder) = parity_folder("qwen2_vl") else { return };
    let held = held(&folder);
    let samples = [talk("first", 2), talk("second", 1)];
    let cut = |cutoff_len| ConversationOptions { cutoff_len: Some(cutoff_len), ..ConversationOptions::default() };
    let whole = held.task(&samples, ConversationOptions::default()).survey(9).unwrap();
    assert_eq!(whole.rows, 2);
    assert!(whole.learnt > 0 && whole.tokens > whole.longest);
    let shorter = held.task(&samples, cut(whole.longest - 2)).batch(&[0, 1]).unwrap();
    assert_eq!(shorter.size(0).unwrap(), (2, whole.longest - 2));
    let e = held.task(&samples, cut(whole.longest / 2)).batch(&[1, 0]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Data);
    assert!(e.to_string().contains("row first") && e.to_string().contains("would cut its pictures"), "{e}");
    let text = [said("t", "hello there, this is a question?", "yes")];
    let e = held.task(&text, cut(4)).survey(1).unwrap_err().to_string();
    assert!(e.contains("row t has nothing to learn within cutoff_len 4"), "{e}");
}

#[test]
fn rows_that_cannot_be_learnt_are_named() {
    let Some(folder) = parity_folder("llava") else { return };
    let held = held(&folder);
    let fails = |sample: Sample| held.task(&[sample], ConversationOptions::default()).survey(1).unwrap_err();
    let mut unanswered = talk("u", 1);
    unanswered.messages.pop();
    let e = fails(unanswered);
    assert!(e.kind() == ErrorKind::Data && e.to_string().contains("row: u"), "{e}");
    let mut hidden = talk("h", 1);
    hidden.messages[0].content.remove(0);
    let e = fails(hidden).to_string();
    assert!(e.contains("h") && e.contains("0 placeholders") && e.contains("1 pictures"), "{e}");
    let mut damaged = talk("d", 1);
    damaged.images[0] = ImageRef::Bytes((*b"no picture at all").into());
    let e = fails(damaged);
    assert!(e.kind() == ErrorKind::Image && e.to_string().contains("row: d"), "{e}");
    // A user cannot smuggle a picture in by its placeholder.
    let e = fails(said("s", "what is <image>?", "nothing")).to_string();
    assert!(e.contains("1 placeholders") && e.contains("0 pictures"), "{e}");
    let none = ConversationTask::new(&*held.model, &held.processor, &[], ConversationOptions::default());
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Data);
    let both = ConversationOptions { train_on_prompt: true, mask_history: true, ..ConversationOptions::default() };
    let e = ConversationTask::new(&*held.model, &held.processor, &[talk("x", 1)], both).unwrap_err();
    assert!(e.to_string().contains("contradict"), "{e}");
}

fn options(dir: &Path, steps: u64) -> TrainerOptions {
    TrainerOptions {
        max_steps: Some(steps),
        per_device_train_batch_size: 2,
        learning_rate: 1e-2,
        warmup_ratio: 0.0,
        ..TrainerOptions::new(dir)
    }
}

#[test]
fn every_part_of_every_family_learns_and_what_takes_no_part_stays_frozen() {
    for family in FAMILIES {
        let Some(folder) = parity_folder(family) else { return };
        let held = held(&folder);
        // The first batch may be text alone, which does not reach the tower.
        let samples = [talk("a", 1), said("b", "hello?", "yes"), talk("c", 1)];
        let task = held.task(&samples, ConversationOptions::default());
        assert!(task.reaches_all(&[1, 2]) && !task.reaches_all(&[1]), "{family}");
        set_trainable_parts(&*held.model, &ModelPart::ALL).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let params = held.model.modules().trainable();
        for part in ModelPart::ALL {
            assert!(params.iter().any(|p| held.model.part(p.name()) == part), "{family} has no {part:?}");
        }
        // The trainer refuses to run if a trained parameter gets no gradient.
        let trainer = Trainer::new(options(dir.path(), 2), params, held.model.config()).unwrap();
        let done = trainer.run(&task).unwrap_or_else(|e| panic!("{family}: {e}"));
        assert!(done.finished && done.loss.is_some_and(f64::is_finite), "{family}");
        set_trainable_parts(&*held.model, &[ModelPart::Projector]).unwrap();
        let left = held.model.modules().trainable();
        assert!(!left.is_empty() && left.iter().all(|p| held.model.part(p.name()) == ModelPart::Projector), "{family}");
        assert_eq!(set_trainable_parts(&*held.model, &[]).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn adapters_of_some_parts_name_their_layers_and_load_again() {
    let Some(folder) = parity_folder("llava") else { return };
    let held = held(&folder);
    let config = || PeftConfig::new(2, 4.0, ModuleNames::AllLinear);
    let model = &*held.model;
    let whole = LoraAdapter::inject(model, "whole", config(), 1).unwrap();
    let layers = whole.parameters().len();
    whole.remove().unwrap();
    let text = |path: &str| model.part(path) == ModelPart::LanguageModel;
    let adapter = LoraAdapter::inject_where(model, "text", config(), 1, text).unwrap();
    assert!(adapter.parameters().len() < layers);
    assert!(adapter.parameters().iter().all(|p| text(p.name())));
    let names: Vec<String> = adapter.peft_names().into_iter().map(|(name, _)| name).collect();
    let dir = tempfile::tempdir().unwrap();
    adapter.save(dir.path()).unwrap();
    adapter.remove().unwrap();
    let again = LoraAdapter::load(model, "again", dir.path()).unwrap();
    assert_eq!(again.peft_names().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    again.remove().unwrap();
    let e = LoraAdapter::inject_where(model, "none", config(), 1, |_| false).unwrap_err().to_string();
    assert!(e.contains("frozen parts only"), "{e}");
}

#[test]
fn pairs_are_learnt_by_dual_encoders() {
    for family in ["clip", "siglip", "siglip2"] {
        let Some(folder) = parity_folder(family) else { return };
        let dir = folder.join("model");
        let model = load_dual_encoder(&dir, None, &Device::reference()).unwrap();
        let processor = DualProcessor::load(&dir).unwrap();
        let pair = |id: &str, side: u32, caption: &str| Sample {
            id: id.to_owned(),
            messages: vec![user(vec![Part::Image(0)]), Message::text(Role::Assistant, caption)],
            images: vec![picture(side)],
        };
        let samples = [pair("a", 20, "a red house"), pair("b", 33, "two birds"), pair("c", 47, "the sea at night")];
        let task = PairTask::new(&*model, &processor, &samples).unwrap();
        let loss = |rows: &[usize]| task.loss(rows).unwrap().mean().unwrap().item::<f64>().unwrap();
        set_trainable_parts(&*model, &ModelPart::ALL).unwrap();
        let before = loss(&[0, 1, 2]);
        let out = tempfile::tempdir().unwrap();
        let options = TrainerOptions { per_device_train_batch_size: 3, ..options(out.path(), 6) };
        let trainer = Trainer::new(options, model.modules().trainable(), model.config()).unwrap();
        trainer.run(&task).unwrap_or_else(|e| panic!("{family}: {e}"));
        let after = loss(&[0, 1, 2]);
        assert!(after < before, "{family}: {before} to {after}");
        let mut two = samples[..2].to_vec();
        two[1].messages.pop();
        let e = PairTask::new(&*model, &processor, &two).unwrap_err().to_string();
        assert!(e.contains("row b: no caption"), "{e}");
        assert_eq!(PairTask::new(&*model, &processor, &samples[..1]).unwrap_err().kind(), ErrorKind::Data);
    }
}
