//! Adapter folders as PEFT writes and reads them.

use super::adapter::{LoraAdapter, is_head};
use super::peft_config::PeftConfig;
use crate::models::Model;
use crate::nn::Param;
use crate::weights::mapping::is_there;
use crate::weights::{WeightFiles, save_tensors};
use crate::{Error, ErrorKind, Result, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

const PREFIX: &str = "base_model.model.";
const FILE: &str = "adapter_model.safetensors";
/// What older versions of PEFT wrote.
const PICKLE: &str = "adapter_model.bin";
const WRAPPED: &str = ".base_layer";

impl LoraAdapter {
    /// Each parameter with its name in PEFT's files.
    pub fn peft_names(&self) -> Vec<(String, Param)> {
        let mut all = Vec::new();
        for (linear, layer) in &self.layers {
            let path = self.names.to_peft(linear.path());
            all.push((format!("{PREFIX}{path}.lora_A.weight"), layer.a.clone()));
            all.push((format!("{PREFIX}{path}.lora_B.weight"), layer.b.clone()));
            if let Some(magnitude) = &layer.magnitude {
                all.push((format!("{PREFIX}{path}.lora_magnitude_vector"), magnitude.clone()));
            }
        }
        for (param, _) in &self.full {
            let (owner, leaf) = param.name().rsplit_once('.').unwrap_or(("", param.name()));
            // In PEFT's model an adapted layer is wrapped, and its own bias lies one step further down.
            let wrapped = leaf == "bias" && self.layers.iter().any(|(linear, _)| linear.path() == owner);
            let wrap = if wrapped { WRAPPED } else { "" };
            all.push((format!("{PREFIX}{}{wrap}.{leaf}", self.names.to_peft(owner)), param.clone()));
        }
        all
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` loads.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the file; what was there before is untouched then.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("save adapter", dir, e))?;
        let tensors: Vec<(String, Tensor)> =
            self.peft_names().into_iter().map(|(name, p)| Ok((name, p.tensor()?.detach()))).collect::<Result<_>>()?;
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        save_tensors(&dir.join(FILE), &tensors, &metadata)?;
        let mut config = self.config.clone();
        config.inference_mode = true;
        config.save(dir)
    }

    /// Reads an adapter folder that PEFT or [`LoraAdapter::save`] wrote and attaches it as `name`, frozen.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] listing tensors that are missing, unknown or of another shape; [`ErrorKind::NonFinite`] for
    /// NaN or infinity in one; [`ErrorKind::Unsupported`] if its weights are a pickle; those of [`PeftConfig::load`] and,
    /// but for ranks, [`LoraAdapter::inject`]. Nothing stays attached then.
    pub fn load(model: &dyn Model, name: &str, dir: &Path) -> Result<Self> {
        let config = PeftConfig::load(dir)?;
        let files = WeightFiles::open(weights_of(dir)?)?;
        check_ranks(model, &config, &files)?;
        let adapter = Self::attach(model, name, config, 0, |_| true)?;
        match adapter.fill(&files) {
            Ok(()) => {
                adapter.set_trainable(false)?;
                Ok(adapter)
            }
            Err(e) => {
                adapter.remove()?;
                Err(e)
            }
        }
    }

    fn fill(&self, files: &WeightFiles) -> Result<()> {
        const OP: &str = "load adapter";
        // Older files call the biases of adapted layers as if nothing were wrapped.
        let stored = |name: String| match name.replace(WRAPPED, "") {
            plain if files.info(&name).is_none() && files.info(&plain).is_some() => plain,
            _ => name,
        };
        let names: Vec<(String, Param)> = self.peft_names().into_iter().map(|(n, p)| (stored(n), p)).collect();
        let list = |what: &str, names: Vec<&str>| {
            let shown = names.iter().take(6).copied().collect::<Vec<_>>().join(", ");
            let more = if names.len() > 6 { format!(" and {} more", names.len() - 6) } else { String::new() };
            Err(Error::new(ErrorKind::Format, OP, format!("{} {what}: {shown}{more}", names.len()))
                .hint("the adapter belongs to another model or other target_modules"))
        };
        let missing: Vec<&str> = names.iter().map(|(n, _)| &**n).filter(|n| files.info(n).is_none()).collect();
        if !missing.is_empty() {
            return list("tensors are missing", missing);
        }
        let unknown = files.names().filter(|n| !names.iter().any(|(known, _)| known == n));
        let base = |n: &str| n.strip_prefix(PREFIX).and_then(|n| self.base_parameter(n));
        let (replaced, unknown): (Vec<&str>, Vec<&str>) = unknown.partition(|n| base(n).is_some());
        if !unknown.is_empty() {
            return list("tensors are for no layer of this model", unknown);
        }
        for param in replaced.iter().filter_map(|n| base(n)) {
            let before = param.tensor()?.detach();
            self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push((param, before));
        }
        let replaced = replaced.into_iter().filter_map(|n| Some((n.to_owned(), base(n)?)));
        for (name, param) in names.into_iter().chain(replaced) {
            let value = param.tensor()?;
            let found = files.get_shaped(&name, param.shape())?.to_tensor(value.device())?.to_dtype(value.dtype())?;
            if !found.all_finite()? {
                return Err(Error::new(ErrorKind::NonFinite, OP, format!("tensor {name} holds NaN or infinity")));
            }
            param.set(&found)?;
        }
        Ok(())
    }
}

/// The weights of an adapter's folder.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if they are a pickle.
fn weights_of(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(FILE);
    let pickle = dir.join(PICKLE);
    if is_there(&path) || !is_there(&pickle) {
        return Ok(path);
    }
    let message = format!("{} has its weights in {PICKLE}, expected {FILE}", dir.display());
    Err(Error::new(ErrorKind::Unsupported, "load adapter", message).hint(
        "a pickle can run any code, so it is never read: load the adapter with peft and save it again \
         (`PeftModel.from_pretrained(base, FOLDER).save_pretrained(FOLDER)`)",
    ))
}

/// Compares ranks with what the file holds, before matrices of any size that a setting names are made.
fn check_ranks(model: &dyn Model, config: &PeftConfig, files: &WeightFiles) -> Result<()> {
    let (matcher, names) = (config.matcher()?, model.module_names());
    for linear in model.modules().linears() {
        let path = names.to_peft(linear.path());
        let Some(adapted) = matcher.matches(&path, true, is_head(&linear)) else { continue };
        let (r, k, n) = (adapted.r, linear.in_features(), linear.out_features());
        let name = format!("{PREFIX}{path}.lora_A.weight");
        let found = match files.info(&name) {
            Some(info) if info.shape.as_ref() == [r, k] => continue,
            Some(info) => format!("found {}", info.shape),
            // Listed with all others that are missing, unless the rank is beyond any use.
            None if r <= n.min(k) => continue,
            None => "there is none".to_owned(),
        };
        let message = format!("tensor {name}: expected shape [{r}, {k}], {found}");
        return Err(Error::new(ErrorKind::Format, "load adapter", message).hint(
            "adapter_config.json and adapter_model.safetensors, or the adapter and the model, do not belong together",
        ));
    }
    Ok(())
}
