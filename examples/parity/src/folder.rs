//! A folder of reference data.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vlm_core::models::VisionLanguageModel;
use vlm_core::models::processor::Processor;
use vlm_core::vision::Picture;
use vlm_core::{DType, Device};

/// The folder, what it asks for, and where to compute it.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    /// `expected.json`: messages, settings, and the names and shapes of what is wanted.
    pub(crate) told: Value,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

impl Folder {
    pub(crate) fn open(dir: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let path = dir.join("expected.json");
        let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let told = serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?;
        Ok(Folder { dir: dir.to_owned(), told, dtype, device: device.clone() })
    }

    pub(crate) fn kind(&self) -> &str {
        if self.family() == "image_ops" { "image_ops" } else { self.told["kind"].as_str().unwrap_or_default() }
    }

    pub(crate) fn family(&self) -> &str {
        self.told["family"].as_str().unwrap_or_default()
    }

    /// Names and shapes of the tensors that are wanted.
    pub(crate) fn wanted(&self) -> BTreeMap<String, Vec<usize>> {
        let sizes =
            |v: &Value| v["shape"].as_array().into_iter().flatten().filter_map(|n| n.as_u64()).collect::<Vec<_>>();
        let tensors = self.told["tensors"].as_object().into_iter().flatten();
        tensors.map(|(name, v)| (name.clone(), sizes(v).into_iter().map(|n| n as usize).collect())).collect()
    }

    /// Whether training is computed: in half precision the weights themselves are rounded by more than three steps move
    /// them.
    pub(crate) fn trains(&self) -> bool {
        !matches!(self.dtype, DType::BF16 | DType::F16)
    }

    pub(crate) fn number(&self, key: &str, default: usize) -> usize {
        self.told[key].as_u64().map_or(default, |n| n as usize)
    }

    pub(crate) fn model(&self) -> Result<Box<dyn VisionLanguageModel>> {
        Ok(vlm_core::models::load(&self.dir.join("model"), Some(self.dtype), &self.device)?)
    }

    pub(crate) fn processor(&self) -> Result<Processor> {
        Ok(Processor::load(&self.dir.join("model"))?)
    }

    pub(crate) fn picture(&self, file: &str) -> Result<Picture> {
        Ok(Picture::open(&self.dir.join(file))?)
    }
}
