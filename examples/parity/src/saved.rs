//! Adapters that we write, for PEFT to load: `OUT/adapters/VARIANT` and our logits with them in `OUT/adapters.safetensors`.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::{Bias, InitLoraWeights, ModuleNames, PeftConfig};
use vlm_core::{DType, Device, Tensor};

/// What was written so far; nothing where nothing is asked for.
pub(crate) struct Saved {
    dir: Option<PathBuf>,
    logits: Vec<(String, Tensor)>,
}

impl Saved {
    pub(crate) fn new(out: &Path, wanted: bool) -> Self {
        Saved { dir: wanted.then(|| out.to_owned()), logits: Vec::new() }
    }

    /// Writes the adapter as it is now, and keeps what the model answers with it.
    pub(crate) fn put(
        &mut self,
        variant: &str,
        adapter: &LoraAdapter,
        logits: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        adapter.save(&dir.join("adapters").join(variant)).with_context(|| format!("adapter {variant}"))?;
        let logits = logits()?.detach().to_device(&Device::reference())?.to_dtype(DType::F32)?.contiguous()?;
        self.logits.push((format!("lora/{variant}/logits_tail"), logits));
        Ok(())
    }

    /// Adapters that PEFT never saw, if any are to be written: settings of ours, both matrices random.
    pub(crate) fn fresh(&self) -> Vec<(&'static str, PeftConfig)> {
        if self.dir.is_none() {
            return Vec::new();
        }
        let named = ["q_proj", "v_proj", "qkv", "fc1", "linear_fc1"].map(str::to_owned).to_vec();
        let mut all = PeftConfig::new(3, 5.0, ModuleNames::AllLinear);
        all.use_rslora = true;
        let mut dora = PeftConfig::new(5, 4.0, ModuleNames::Names(named));
        dora.use_dora = true;
        dora.bias = Bias::LoraOnly;
        dora.rank_pattern = vec![("v_proj".to_owned(), 2)];
        for config in [&mut all, &mut dora] {
            config.init_lora_weights = InitLoraWeights::Random;
        }
        vec![("fresh_all_linear", all), ("fresh_dora", dora)]
    }

    pub(crate) fn finish(&self) -> Result<()> {
        let Some(dir) = self.dir.as_ref().filter(|_| !self.logits.is_empty()) else { return Ok(()) };
        Ok(vlm_core::weights::save_tensors(&dir.join("adapters.safetensors"), &self.logits, &BTreeMap::new())?)
    }
}
