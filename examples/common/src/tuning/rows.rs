//! The rows of a job.

use super::registry;
use crate::run_config::{DataConfig, RunConfig};
use anyhow::{Context, Result};
use vlm_core::data::{Dataset, OnBadRow, ReadOptions, Sample, split};

/// Rows to learn from and rows to be judged.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) train: Vec<Sample>,
    pub(super) eval: Vec<Sample>,
    /// How many bad ones were left out.
    pub(super) skipped: usize,
}

impl Rows {
    /// Reads all datasets and sets rows for evaluation aside.
    ///
    /// # Errors
    /// For a dataset that is not there, rows that cannot be used, and an evaluation that leaves nothing to learn from.
    pub(super) fn read(config: &RunConfig) -> Result<Self> {
        let (all, mut skipped) = read(&config.data, &config.data.dataset)?;
        let (train, eval) = match config.val_size {
            Some(size) => {
                let (train, eval) = split(all.len(), size, config.trainer.seed).map_err(|e| config.explain(e))?;
                let pick = |rows: Vec<usize>| rows.into_iter().map(|row| all[row].clone()).collect();
                (pick(train), pick(eval))
            }
            None => {
                let (eval, more) = read(&config.data, &config.data.eval_dataset)?;
                skipped += more;
                (all, eval)
            }
        };
        Ok(Rows { train, eval, skipped })
    }
}

fn read(data: &DataConfig, names: &[String]) -> Result<(Vec<Sample>, usize)> {
    let (mut all, mut skipped) = (Vec::new(), 0);
    for name in names {
        let place = registry::find(name, &data.dataset_dir)?;
        let options = ReadOptions {
            columns: place.columns,
            image_root: data.media_dir.clone().or(place.media),
            allow_outside_root: data.allow_outside_media_dir,
            on_bad_row: if data.max_bad_rows == 0 { OnBadRow::Fail } else { OnBadRow::Skip(data.max_bad_rows) },
            allow_duplicate_ids: data.allow_duplicate_ids,
            caption_prompt: data.caption_prompt.clone(),
        };
        let dataset = Dataset::read(&place.path, &options).with_context(|| format!("dataset {name}"))?;
        skipped += dataset.skipped().len();
        let most = data.max_samples.unwrap_or(usize::MAX);
        all.extend(dataset.into_samples().into_iter().take(most));
    }
    Ok((all, skipped))
}
