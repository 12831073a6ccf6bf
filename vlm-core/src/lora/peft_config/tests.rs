use super::*;
use crate::weights::WeightFiles;
use crate::weights::testing::{skipped, with_damaged};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// As PEFT 0.21.2 wrote it (LLaVA with patterns).
const SAVED: &str = include_str!("fixture.json");

fn with(changes: &[(&str, Value)]) -> Vec<u8> {
    let mut all: Map<String, Value> = serde_json::from_str(SAVED).unwrap();
    for (key, value) in changes {
        all.insert((*key).to_owned(), value.clone());
    }
    serde_json::to_vec(&all).unwrap()
}

#[test]
fn a_file_written_by_peft_comes_back_byte_for_byte() {
    let config = PeftConfig::parse(SAVED.as_bytes()).unwrap();
    assert_eq!((config.r, config.lora_alpha, &config.rank_pattern[..]), (4, 8.0, &[("down_proj".to_owned(), 2)][..]));
    assert_eq!(config.modules_to_save, ["multi_modal_projector"]);
    assert_eq!(config.to_json(), SAVED.trim_end());
    let dir = tempfile::tempdir().unwrap();
    config.save(dir.path()).unwrap();
    assert_eq!(PeftConfig::load(dir.path()).unwrap(), config);
    let new = PeftConfig::new(8, 16.0, ModuleNames::AllLinear);
    assert_eq!(PeftConfig::parse(new.to_json().as_bytes()).unwrap(), new);
    let minimal = PeftConfig::parse(br#"{"peft_type":"LORA","target_modules":"all-linear","lora_alpha":0.5}"#).unwrap();
    assert_eq!((minimal.r, minimal.lora_alpha), (8, 0.5));
}

#[test]
fn bad_and_unsupported_settings_are_named() {
    for (key, value, want) in [
        ("peft_type", json!("LOHA"), r#"peft_type is "LOHA", expected "LORA""#),
        ("r", json!(0), "r is 0, expected 1 to 65536"),
        ("r", json!(-4), r#"r is "-4", expected a whole number"#),
        ("r", json!(1_000_000_000), "r is 1000000000"),
        ("r", json!(4.5), r#"r is "4.5""#),
        ("r", json!("4"), "expected a whole number"),
        ("lora_alpha", json!(0), "lora_alpha is 0, expected a number above 0"),
        ("lora_alpha", json!(-1.5), "lora_alpha is -1.5"),
        ("lora_dropout", json!(1), "lora_dropout is 1"),
        ("lora_dropout", json!(-0.1), "lora_dropout is -0.1"),
        ("bias", json!("some"), r#"bias is "some""#),
        ("target_modules", json!(null), "target_modules is missing"),
        ("target_modules", json!([]), "target_modules is an empty list"),
        ("target_modules", json!([1]), "expected a string or a list of strings"),
        ("target_modules", json!("(q_proj"), "is no regular expression"),
        ("target_modules", json!("a".repeat(30_000)), "more than 20000 characters"),
        ("rank_pattern", json!({ "x": 0 }), r#"rank_pattern["x"] is 0"#),
        ("rank_pattern", json!({ "x": "y" }), "an object of names and numbers"),
        ("rank_pattern", json!({ "(": 1 }), "rank_pattern: \"(\" is no regular expression"),
        ("alpha_pattern", json!({ "x": -1 }), r#"alpha_pattern["x"] is -1"#),
        ("layers_pattern", json!("layers"), "layers_pattern is given without layers_to_transform"),
        ("init_lora_weights", json!("pissa"), "\"init_lora_weights\" is \"\\\"pissa\\\"\", which is not supported"),
        ("fan_in_fan_out", json!(true), "\"fan_in_fan_out\""),
        ("lora_bias", json!(true), "\"lora_bias\""),
        ("layer_replication", json!([[0, 4]]), "\"layer_replication\""),
        ("trainable_token_indices", json!([1]), "\"trainable_token_indices\""),
        ("target_parameters", json!(["w"]), "\"target_parameters\""),
        ("use_qalora", json!(true), "\"use_qalora\""),
        ("loftq_config", json!({ "bits": 4 }), "\"loftq_config\""),
        ("from_the_future", json!(3), "\"from_the_future\" is \"3\", which is not supported"),
    ] {
        let e = PeftConfig::parse(&with(&[(key, value)])).expect_err(want).to_string();
        assert!(e.contains(want), "{e}");
    }
    let both = with(&[("target_modules", json!("q.*")), ("layers_to_transform", json!([1]))]);
    assert!(PeftConfig::parse(&both).unwrap_err().to_string().contains("need target_modules to be a list"));
    assert_eq!(PeftConfig::parse(b"[]").unwrap_err().kind(), ErrorKind::Format);
    PeftConfig::parse(&with(&[("from_the_future", json!(null)), ("runtime_config", json!({ "x": true }))])).unwrap();
}

/// Each row was checked with `peft.tuners.tuners_utils.check_target_module_exists` of PEFT 0.21.2.
#[test]
fn modules_are_chosen_by_pefts_rule() {
    let names = |n: &[&str]| json!(n);
    let deep = "model.language_model.layers.1.self_attn.q_proj";
    type Row<'a> = (&'a [(&'a str, Value)], &'a str, bool);
    let rows: [Row<'_>; 22] = [
        (&[("target_modules", names(&["q_proj"]))], deep, true),
        (&[("target_modules", names(&["q_proj"]))], "q_proj", true),
        (&[("target_modules", names(&["proj"]))], deep, false),
        (&[("target_modules", names(&["self_attn.q_proj"]))], deep, true),
        (&[("target_modules", names(&[deep]))], deep, true),
        (&[("target_modules", names(&["q.proj"]))], deep, false),
        (&[("target_modules", json!(r".*\.q_proj"))], deep, true),
        (&[("target_modules", json!("q_proj"))], deep, false),
        (&[("target_modules", json!(r"(?!.*vision).*\.(q|v)_proj"))], deep, true),
        (&[("target_modules", json!(r"(?!.*vision).*\.(q|v)_proj"))], "vision.layers.1.q_proj", false),
        (&[("target_modules", names(&["q_proj"])), ("exclude_modules", names(&["self_attn.q_proj"]))], deep, false),
        (&[("target_modules", names(&["q_proj"])), ("exclude_modules", json!(r".*layers\.1\..*"))], deep, false),
        (&[("target_modules", names(&["q_proj"])), ("exclude_modules", json!("q_proj"))], deep, true),
        (&[("target_modules", names(&["q_proj"])), ("layers_to_transform", json!([0, 1]))], deep, true),
        (&[("target_modules", names(&["q_proj"])), ("layers_to_transform", json!(2))], deep, false),
        (&[("target_modules", names(&["q_proj"])), ("layers_to_transform", json!([]))], deep, true),
        (&[("target_modules", names(&["q_proj"])), ("layers_to_transform", json!(1))], "layers.1.q_proj", false),
        (&[("target_modules", names(&["w1"])), ("layers_to_transform", json!(1))], "m.layers.1.experts.0.w1", true),
        (
            &[
                ("target_modules", names(&["q_proj"])),
                ("layers_to_transform", json!(1)),
                ("layers_pattern", json!("layers")),
            ],
            "layers.1.q_proj",
            true,
        ),
        (
            &[
                ("target_modules", names(&["q_proj"])),
                ("layers_to_transform", json!(1)),
                ("layers_pattern", names(&["h", "blocks"])),
            ],
            deep,
            false,
        ),
        (&[("target_modules", names(&["q_proj"])), ("modules_to_save", names(&["self_attn"]))], deep, false),
        (&[("target_modules", names(&["linear_1"]))], "model.multi_modal_projector.linear_1", false),
    ];
    for (changes, name, want) in rows {
        let config = PeftConfig::parse(&with(changes)).unwrap();
        assert_eq!(config.matches(name, true, false).unwrap().is_some(), want, "{changes:?} {name}");
        assert_eq!(config.matches(name, false, false).unwrap(), None, "only linear modules get an adapter");
    }
    // What is saved in full ends in the name, dot or not; what gets no adapter for it is the name itself.
    let saving = PeftConfig::parse(&with(&[("modules_to_save", names(&["norm"]))])).unwrap().matcher().unwrap();
    for (name, want) in [("a.input_layernorm", true), ("a.norm.inner", true), ("a.layernorm1", false), ("norms", false)]
    {
        assert_eq!(saving.is_saved_in_full(name), want, "{name}");
    }
    assert!(saving.matches("norms.q_proj", true, false).is_some());
    let all = PeftConfig::new(8, 16.0, ModuleNames::AllLinear).matcher().unwrap();
    assert_eq!(all.matches("lm_head", true, true), None);
    assert_eq!(all.matches(deep, true, false), Some(Adapted { r: 8, alpha: 16.0 }));
    let patterns = PeftConfig::parse(SAVED.as_bytes()).unwrap();
    let down = patterns.matches("model.layers.0.mlp.down_proj", true, false).unwrap().unwrap();
    assert_eq!((down, patterns.scale(down)), (Adapted { r: 2, alpha: 6.0 }, 3.0));
    let rslora = PeftConfig { use_rslora: true, ..patterns };
    assert_eq!(rslora.scale(Adapted { r: 4, alpha: 8.0 }), 4.0);
}

/// The end of a name that does not depend on how a model nests its towers.
fn tail(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let start = parts.iter().rposition(|p| p.bytes().all(|b| b.is_ascii_digit()) && *p != parts[parts.len() - 1]);
    let start = start.map_or(parts.len().saturating_sub(1), |s| s.saturating_sub(1));
    parts[start..].join(".")
}

/// Which modules PEFT adapted, with which rank, for every adapter of the reference data, against our rule over the
/// weights of the model.
#[test]
fn our_rule_selects_the_modules_that_peft_adapted() {
    let root = PathBuf::from(std::env::var_os("VLM_PARITY_DIR").unwrap_or("../../shared/parity/dev".into()));
    if !root.is_dir() {
        skipped(format!("no reference data at {}; set VLM_PARITY_DIR", root.display()));
        return;
    }
    let (mut adapters, mut modules) = (0, 0);
    for family in std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("adapters").is_dir()) {
        let model = WeightFiles::open(family.join("model")).unwrap();
        for adapter in std::fs::read_dir(family.join("adapters")).unwrap().map(|e| e.unwrap().path()) {
            let text = std::fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
            let config = PeftConfig::load(&adapter).unwrap();
            assert_eq!(config.to_json(), text.trim_end(), "{}", adapter.display());
            let matcher = config.matcher().unwrap();
            let saved = WeightFiles::open(adapter.join("adapter_model.safetensors")).unwrap();
            let mut theirs: BTreeMap<(String, usize), usize> = BTreeMap::new();
            for name in saved.names() {
                if let Some(module) = name.strip_suffix(".lora_A.weight") {
                    *theirs.entry((tail(module), saved.info(name).unwrap().shape[0])).or_default() += 1;
                }
            }
            let mut ours: BTreeMap<(String, usize), usize> = BTreeMap::new();
            for name in model.names() {
                let Some(module) = name.strip_suffix(".weight") else { continue };
                let embedding = ["embed_tokens", "position_embedding", "token_embedding", "pos_embed"]
                    .iter()
                    .any(|e| module.ends_with(e));
                let linear = model.info(name).unwrap().shape.rank() == 2 && !embedding;
                if let Some(adapted) = matcher.matches(module, linear, module.ends_with("lm_head")) {
                    *ours.entry((tail(module), adapted.r)).or_default() += 1;
                }
            }
            assert_eq!(ours, theirs, "{}", adapter.display());
            adapters += 1;
            modules += ours.values().sum::<usize>();
        }
    }
    assert!(adapters > 20 && modules > 200, "{adapters} adapters, {modules} modules");
}

#[test]
fn damaged_files_give_a_usable_config_or_an_error() {
    with_damaged(&[SAVED.as_bytes().to_vec(), with(&[("target_modules", json!("(q|v)_proj.*"))])], 3000, |text| {
        if let Ok(config) = PeftConfig::parse(text) {
            config.matches("model.layers.3.self_attn.q_proj", true, false).unwrap();
            assert_eq!(PeftConfig::parse(config.to_json().as_bytes()).unwrap().to_json(), config.to_json());
        }
    });
}
