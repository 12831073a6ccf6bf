//! The state of a run between steps, and how it is saved and restored.

use super::checkpoint::{Checkpoint, CheckpointStore};
use super::optim::{AdamW, Optimizer};
use super::options::TrainerOptions;
use crate::data::loader::{Loader, Position};
use crate::nn::Param;
use crate::train::checkpoint::check_same_run;
use crate::weights::{WeightFiles, write_tensors};
use crate::{Device, Error, ErrorKind, Result, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

/// Everything that the next step depends on.
pub(super) struct State {
    pub(super) params: Vec<Param>,
    pub(super) optimizer: AdamW,
    pub(super) loader: Loader,
    pub(super) step: u64,
    pub(super) tokens: u64,
    pub(super) elapsed: Duration,
    /// Whether some step has shown that every parameter gets a gradient.
    pub(super) complete: bool,
}

impl State {
    pub(super) fn new(params: Vec<Param>, loader: Loader, options: &TrainerOptions) -> Self {
        let optimizer = AdamW::new(options.adamw.clone());
        State { params, optimizer, loader, step: 0, tokens: 0, elapsed: Duration::ZERO, complete: false }
    }

    /// Writes a checkpoint.
    pub(super) fn save(&self, store: &mut CheckpointStore, run: &Value) -> Result<std::path::PathBuf> {
        let Position { epoch, row } = self.loader.position();
        let state = json!({
            "run": run,
            "epoch": epoch,
            "row": row,
            "tokens": self.tokens,
            "elapsed_ms": self.elapsed.as_millis() as u64,
        });
        let weights: Vec<(String, Tensor)> =
            self.params.iter().map(|p| Ok((p.name().to_owned(), p.tensor()?.detach()))).collect::<Result<_>>()?;
        let moments: Vec<(String, Tensor)> = self.optimizer.state()?.into_iter().collect();
        store.save(self.step, &state, |writer| {
            for (name, tensors) in [(WEIGHTS, &weights), (OPTIMIZER, &moments)] {
                let mut file = writer.create(name)?;
                let path = file.path().to_owned();
                write_tensors(&mut file, &path, tensors, &BTreeMap::from([("format".to_owned(), "pt".to_owned())]))?;
                file.finish()?;
            }
            Ok(())
        })
    }

    /// Goes on from a checkpoint.
    pub(super) fn restore(&mut self, from: &Checkpoint, run: &Value) -> Result<()> {
        let state = from.state();
        check_same_run(&state["run"], run)?;
        let number = |key: &str| {
            state[key].as_u64().ok_or_else(|| {
                Error::new(ErrorKind::Format, "resume", format!("the checkpoint's state has no number {key:?}"))
                    .with("checkpoint", from.path().display())
            })
        };
        let device = match self.params.first() {
            Some(param) => param.tensor()?.device().clone(),
            None => Device::reference(),
        };
        let weights = read(&from.file(WEIGHTS)?, &device)?;
        for param in &self.params {
            let found = weights.get(param.name()).ok_or_else(|| {
                let message = format!("the checkpoint has no tensor {}", param.name());
                Error::new(ErrorKind::Format, "resume", message).hint("it was made by another model")
            })?;
            param.set(&found.to_dtype(param.tensor()?.dtype())?)?;
        }
        self.optimizer.load_state(&self.params, from.step(), &read(&from.file(OPTIMIZER)?, &device)?)?;
        self.loader.seek(Position { epoch: number("epoch")?, row: number("row")? as usize })?;
        self.step = from.step();
        self.tokens = number("tokens")?;
        self.elapsed = Duration::from_millis(number("elapsed_ms")?);
        Ok(())
    }
}

/// All tensors of a file, copied: training writes into them, and the file may be pruned meanwhile.
fn read(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let files = WeightFiles::open(path)?;
    let copy = |name: &str| -> Result<Tensor> {
        let weight = files.tensor(name, device)?;
        Tensor::from_bytes(&weight.to_bytes()?, weight.dtype(), weight.shape(), device)
    };
    files.names().map(|name| Ok((name.to_owned(), copy(name)?))).collect()
}
