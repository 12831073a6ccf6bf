//! Generation with a real (tiny) model, loaded from its folder.

mod common;

use common::{parity_folder, rows, tensors};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use vlm_core::generate::{FinishReason, GenerationConfig, Generator, generate_text};
use vlm_core::models::{Images, VisionLanguageModel, VlmBatch, load, save};
use vlm_core::text::Tokenizer;
use vlm_core::{DType, Device, ErrorKind, Tensor};

struct Held {
    model: Box<dyn VisionLanguageModel>,
    tokenizer: Tokenizer,
    expected: BTreeMap<String, Tensor>,
}

fn held(folder: &str) -> Option<Held> {
    let dir = parity_folder("llava")?;
    let device = Device::reference();
    Some(Held {
        model: load(&dir.join(folder), None, &device).unwrap(),
        tokenizer: Tokenizer::load(&dir.join(folder)).unwrap(),
        expected: tensors(&dir.join("expected.safetensors"), &device),
    })
}

impl Held {
    fn prompt(&self, case: &str) -> VlmBatch {
        let get = |name: &str| self.expected.get(&format!("case/{case}/{name}"));
        VlmBatch {
            input_ids: rows(get("input_ids").unwrap()),
            attention_mask: get("attention_mask")
                .map(|m| rows(m).iter().map(|r| r.iter().map(|&v| v != 0).collect()).collect()),
            images: get("pixel_values").cloned().map(Images::new),
            ..VlmBatch::default()
        }
    }

    fn greedy(&self, case: &str) -> Vec<Vec<i64>> {
        rows(&self.expected[&format!("case/{case}/greedy_ids")])
    }

    fn run(&self, case: &str, config: GenerationConfig) -> Vec<Vec<i64>> {
        let mut generator = Generator::new(&*self.model, self.prompt(case), config).unwrap();
        generator.by_ref().for_each(|step| assert!(step.is_ok(), "{step:?}"));
        generator.answers().into_iter().map(<[i64]>::to_vec).collect()
    }
}

fn twelve() -> GenerationConfig {
    GenerationConfig { max_new_tokens: 12, ..GenerationConfig::default() }
}

#[test]
fn greedy_answers_are_those_of_transformers_from_one_file_and_from_shards() {
    for folder in ["model", "model_v5"] {
        let Some(held) = held(folder) else { return };
        for case in ["one_image", "two_images", "multi_turn", "text_only", "batch_left_pad"] {
            assert_eq!(held.run(case, twelve()), held.greedy(case), "{folder} {case}");
        }
    }
}

#[test]
fn an_end_token_ends_one_row_and_not_the_others() {
    let Some(held) = held("model") else { return };
    let whole = held.greedy("batch_left_pad");
    let end = whole[0][3];
    let found = held.run("batch_left_pad", GenerationConfig { eos_token_id: vec![end], ..twelve() });
    for (found, whole) in found.iter().zip(&whole) {
        let stop = whole.iter().position(|&id| id == end).map_or(whole.len(), |at| at + 1);
        assert_eq!(found, &whole[..stop]);
    }
}

#[test]
fn drawn_answers_follow_the_seed_and_not_the_other_rows() {
    let Some(held) = held("model") else { return };
    let config = |seed| GenerationConfig { do_sample: true, temperature: 1.5, seed, ..twelve() };
    let first = held.run("batch_left_pad", config(1));
    assert_eq!(first, held.run("batch_left_pad", config(1)));
    assert_ne!(first, held.run("batch_left_pad", config(2)));
    // A row alone draws as the first row of a batch.
    let mut alone = held.prompt("one_image");
    let once =
        Generator::new(&*held.model, alone.clone(), config(3)).unwrap().map(|s| s.unwrap()[0]).collect::<Vec<_>>();
    alone.input_ids.push(alone.input_ids[0].clone());
    if let Some(mask) = &mut alone.attention_mask {
        mask.push(mask[0].clone());
    }
    let pixels = alone.images.take().unwrap().pixel_values;
    alone.images = Some(Tensor::cat(&[pixels.clone(), pixels], 0).unwrap().into());
    let twice = Generator::new(&*held.model, alone, config(3)).unwrap().map(|s| s.unwrap()).collect::<Vec<_>>();
    assert_eq!(twice.iter().map(|s| s[0]).collect::<Vec<_>>(), once);
    assert!(twice.iter().any(|s| s[0] != s[1]), "rows draw their own numbers");
}

#[test]
fn text_streams_and_stops() {
    let Some(held) = held("model") else { return };
    let text = |config, limit: usize| {
        let mut pieces = Vec::new();
        let made = generate_text(&*held.model, &held.tokenizer, held.prompt("one_image"), config, |piece| {
            pieces.push(piece.to_owned());
            if pieces.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (made.unwrap(), pieces)
    };
    let (whole, pieces) = text(twelve(), usize::MAX);
    assert_eq!((whole.ids.len(), whole.finish), (12, FinishReason::Length));
    assert_eq!(pieces.concat(), whole.text);
    let stop: String = whole.text.chars().skip(4).take(2).collect();
    let (cut, _) = text(GenerationConfig { stop_strings: vec![stop.clone()], ..twelve() }, usize::MAX);
    assert_eq!(cut.text, whole.text.split(&stop).next().unwrap());
    assert_eq!(cut.finish, FinishReason::Stop);
    let (broken, _) = text(twelve(), 2);
    assert!(broken.ids.len() < 12 && whole.text.starts_with(&broken.text));
}

#[test]
fn what_cannot_be_answered_is_named() {
    let Some(held) = held("model") else { return };
    let fails = |prompt, config| Generator::new(&*held.model, prompt, config).unwrap_err();
    let mut right = held.prompt("one_image");
    let last = right.input_ids[0].len() - 1;
    right.attention_mask = Some(vec![(0..=last).map(|i| i < last).collect()]);
    assert!(fails(right, twelve()).to_string().contains("padded on the right"));
    let long = GenerationConfig { max_new_tokens: 1 << 30, ..twelve() };
    assert_eq!(fails(held.prompt("one_image"), long).kind(), ErrorKind::Config);
    let mut without = held.prompt("one_image");
    without.images = None;
    let e = Generator::new(&*held.model, without, twelve()).unwrap().next().unwrap().unwrap_err();
    assert!(e.to_string().contains("picture placeholders"), "{e}");
}

#[test]
fn a_saved_model_loads_with_the_same_values() {
    let Some(held) = held("model") else { return };
    let dir = tempfile::tempdir().unwrap();
    save(&*held.model, dir.path()).unwrap();
    let again = load(dir.path(), None, &Device::reference()).unwrap();
    let (a, b) = (held.model.modules().parameters(), again.modules().parameters());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.name(), b.name());
        assert_eq!(a.tensor().unwrap().to_vec::<f32>().unwrap(), b.tensor().unwrap().to_vec::<f32>().unwrap());
    }
    let half = load(dir.path(), Some(DType::BF16), &Device::reference()).unwrap();
    assert_eq!(half.dtype(), DType::BF16);
    // Saved as it is, and loaded as it was saved.
    save(&*half, dir.path()).unwrap();
    assert_eq!(load(dir.path(), None, &Device::reference()).unwrap().dtype(), DType::BF16);
    let mut config = vlm_core::models::read_config(dir.path()).unwrap();
    config["torch_dtype"] = "int4".into();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let e = load(dir.path(), None, &Device::reference()).err().unwrap();
    assert!(e.to_string().contains("torch_dtype is \"int4\""), "{e}");
}
