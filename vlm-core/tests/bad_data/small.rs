//! Something small to train: a linear layer learns the sum of its inputs.

use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vlm_core::backend::RandomKey;
use vlm_core::nn::{Builder, Initializer, Linear, LossSum, Modules};
use vlm_core::train::{Outcome, Task, Trainer, TrainerOptions};
use vlm_core::{DType, Device, Error, ErrorKind, Result, Tensor};

pub(crate) struct Sums {
    pub(crate) layer: Arc<Linear>,
    pub(crate) modules: Arc<Modules>,
    pub(crate) inputs: Tensor,
    pub(crate) rows: usize,
    /// What the rows are made of.
    pub(crate) data: String,
    /// What the model is.
    pub(crate) model: Value,
    /// Rows without a label.
    pub(crate) masked: fn(usize) -> bool,
    /// Called before each loss with the number of the call.
    pub(crate) before: Box<dyn Fn(usize) -> Result<()> + Send>,
    pub(crate) calls: AtomicUsize,
}

impl Sums {
    pub(crate) fn new(rows: usize) -> Self {
        Self::of_width(rows, 4)
    }

    pub(crate) fn of_width(rows: usize, width: usize) -> Self {
        let device = Device::reference();
        let b = Builder::new(Initializer { seed: 5 }, DType::F32, &device);
        let layer = Linear::new(&b.at("layer"), width, 1, true, 0.3).unwrap();
        b.modules().set_trainable(|_| true).unwrap();
        Sums {
            layer,
            modules: b.modules().clone(),
            inputs: Tensor::randn([rows.max(1), width], RandomKey { seed: 1, stream: 1 }, DType::F32, &device).unwrap(),
            rows,
            data: "sums".to_owned(),
            model: json!({"model_type": "sums", "width": width}),
            masked: |_| false,
            before: Box::new(|_| Ok(())),
            calls: AtomicUsize::new(0),
        }
    }

    /// Trains and says how far it came.
    pub(crate) fn train(&self, options: TrainerOptions) -> Result<String> {
        let Outcome { steps, finished, .. } =
            Trainer::new(options, self.modules.trainable(), self.model.clone())?.run(self)?;
        Ok(format!("{steps} steps, finished: {finished}"))
    }
}

impl Task for Sums {
    fn len(&self) -> usize {
        self.rows
    }

    fn loss(&self, rows: &[usize]) -> Result<LossSum> {
        (self.before)(self.calls.fetch_add(1, Ordering::Relaxed) + 1)?;
        let kept: Vec<i64> = rows.iter().filter(|r| !(self.masked)(**r)).map(|r| *r as i64).collect();
        if kept.is_empty() {
            return Ok(LossSum { sum: Tensor::scalar(0.0f32, self.inputs.device())?, tokens: 0 });
        }
        let x = self.inputs.index_select(0, &Tensor::from_slice(&kept, kept.len(), self.inputs.device())?)?;
        let error = (self.layer.forward(&x)? - x.sum(1, true)?)?;
        Ok(LossSum { sum: error.square()?.sum_all()?, tokens: kept.len() })
    }

    fn row_name(&self, row: usize) -> String {
        format!("rows.jsonl:{}", row + 1)
    }

    fn digest(&self) -> String {
        self.data.clone()
    }
}

/// Settings of a short run.
pub(crate) fn options(dir: &Path) -> TrainerOptions {
    TrainerOptions {
        max_steps: Some(6),
        per_device_train_batch_size: 2,
        learning_rate: 1e-2,
        logging_steps: 1,
        save_steps: 3,
        ..TrainerOptions::new(dir)
    }
}

/// An error of the test itself.
pub(crate) fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Backend, "test", message)
}
