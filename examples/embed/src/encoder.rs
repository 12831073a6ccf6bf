//! A model that compares pictures and texts.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use vlm_core::autograd::no_grad;
use vlm_core::lora::LoraAdapter;
use vlm_core::models::processor::DualProcessor;
use vlm_core::models::{DualEncoder, load_dual_encoder};
use vlm_core::vision::Picture;
use vlm_core::{DType, Device, Tensor};

/// A model and its processor.
#[derive(Debug)]
pub(crate) struct Encoder {
    model: Box<dyn DualEncoder>,
    processor: DualProcessor,
}

impl Encoder {
    /// Loads the folder and puts adapters beside the weights.
    ///
    /// # Errors
    /// Those of the model, the processor and the adapters.
    pub(crate) fn load(dir: &Path, dtype: Option<DType>, device: &Device, adapters: &[PathBuf]) -> Result<Self> {
        let model = load_dual_encoder(dir, dtype, device)?;
        for (i, folder) in adapters.iter().enumerate() {
            LoraAdapter::load(&*model, &format!("adapter-{i}"), folder)
                .with_context(|| format!("adapter {}", folder.display()))?;
        }
        Ok(Encoder { model, processor: DualProcessor::load(dir)? })
    }

    /// `[texts, width]`.
    ///
    /// # Errors
    /// Those of the tokenizer and the model.
    pub(crate) fn texts(&self, texts: &[String]) -> Result<Tensor> {
        let texts = self.processor.texts(texts)?;
        Ok(no_grad(|| self.model.text_embeds(&texts.input_ids, Some(&texts.attention_mask)))?)
    }

    /// `[pictures, width]`, `batch` pictures held at a time.
    ///
    /// # Errors
    /// The first picture that cannot be read; those of the model.
    pub(crate) fn pictures(&self, files: &[PathBuf], batch: usize) -> Result<Tensor> {
        let mut all = Vec::new();
        for files in files.chunks(batch) {
            let pictures = files.iter().map(|f| Picture::open(f)).collect::<vlm_core::Result<Vec<_>>>()?;
            let images = self.processor.pictures(&pictures)?.to_images(self.model.dtype(), self.model.device())?;
            all.push(no_grad(|| self.model.image_embeds(&images))?);
        }
        Ok(Tensor::cat(&all, 0)?)
    }

    /// For each picture the probability of each text.
    ///
    /// # Errors
    /// Those of the model.
    pub(crate) fn probabilities(&self, pictures: &Tensor, texts: &Tensor) -> Result<Vec<Vec<f32>>> {
        let found = no_grad(|| {
            let logits = self.model.logits_per_image(pictures, texts)?;
            self.model.probabilities(&logits)?.to_dtype(DType::F32)
        })?;
        let width = found.size(1)?;
        Ok(found.to_vec::<f32>()?.chunks(width).map(<[f32]>::to_vec).collect())
    }
}
