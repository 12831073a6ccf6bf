//! Embeddings of pictures and texts with CLIP and SigLIP, and zero-shot classification.
//!
//! ```text
//! cargo run --release -p embed -- --model DIR --folder PICTURES --label cat --label dog
//! cargo run --release -p embed -- --model DIR --image a.png --text "a red car" --out embeddings.safetensors
//! ```
//!
//! A folder whose sub-folders are named by what their pictures show gives the labels and the share of right answers.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

mod encoder;
mod labels;
mod report;

use anyhow::{Result, ensure};
use clap::Parser;
use encoder::Encoder;
use std::path::PathBuf;
use std::process::ExitCode;
use vlm_core::DType;
use vlm_core::data::folder::find_pictures;
use vlm_examples::hub::model_folder;
use vlm_examples::program;

#[derive(Debug, Parser)]
#[command(about = "Embeds pictures and texts with CLIP or SigLIP, and says which text fits which picture")]
struct Args {
    /// The model's folder, or its id on the hub.
    #[arg(long, short)]
    model: String,
    /// Branch, tag or commit of a model id.
    #[arg(long)]
    revision: Option<String>,
    /// A PEFT adapter to put beside the weights.
    #[arg(long)]
    adapter: Vec<PathBuf>,
    /// Where to compute: auto, cpu, ref …
    #[arg(long, default_value = "auto", env = "VLM_DEVICE")]
    device: String,
    /// Element type of the model: f32, bf16 or f16 (default: as stored).
    #[arg(long)]
    dtype: Option<DType>,
    /// Threads of the CPU backend (default: all).
    #[arg(long)]
    threads: Option<usize>,
    /// A picture; may be given several times.
    #[arg(long, short)]
    image: Vec<PathBuf>,
    /// A folder of pictures, searched with its sub-folders.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A text, as it is; may be given several times.
    #[arg(long, short)]
    text: Vec<String>,
    /// What a picture may show, put into the template; may be given several times. Default: the names of the folder's
    /// sub-folders.
    #[arg(long, short)]
    label: Vec<String>,
    /// The text that a label becomes.
    #[arg(long, default_value = "a photo of a {}.")]
    template: String,
    /// Pictures computed at a time.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// How many of the best texts are told for each picture.
    #[arg(long, default_value_t = 3)]
    top: usize,
    /// Writes the embeddings here: `image_embeds` and `text_embeds`, rows of length 1, in the order that is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints one JSON line for each picture.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    program::init_logs();
    program::end(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    program::set_threads(args.threads);
    ensure!(args.batch > 0, "--batch is 0, expected at least 1");
    ensure!(args.template.contains("{}"), "--template {:?} has no {{}} for the label", args.template);
    let device = program::open_device(&args.device)?;
    let mut pictures = args.image.clone();
    if let Some(folder) = &args.folder {
        let found = find_pictures(folder)?;
        ensure!(!found.is_empty(), "there are no pictures in {}", folder.display());
        pictures.extend(found);
    }
    let (labels, texts) = labels::texts(args)?;
    ensure!(!pictures.is_empty() || !texts.is_empty(), "nothing to embed: give --image, --folder, --text or --label");

    let encoder =
        Encoder::load(&model_folder(&args.model, args.revision.as_deref())?, args.dtype, &device, &args.adapter)?;
    let texts_embedded = if texts.is_empty() { None } else { Some(encoder.texts(&texts)?) };
    let pictures_embedded = if pictures.is_empty() { None } else { Some(encoder.pictures(&pictures, args.batch)?) };
    if let Some(out) = &args.out {
        report::save(out, &pictures, pictures_embedded.as_ref(), &texts, texts_embedded.as_ref())?;
    }
    match (&pictures_embedded, &texts_embedded) {
        (Some(of_pictures), Some(of_texts)) => {
            let names = if labels.is_empty() { &texts } else { &labels };
            let rows = encoder.probabilities(of_pictures, of_texts)?;
            report::matches(&pictures, names, &rows, args.top, args.json);
            if let (Some(folder), false) = (&args.folder, labels.is_empty()) {
                report::accuracy(folder, &pictures, &labels, &rows, args.json);
            }
        }
        _ => report::sizes(pictures_embedded.as_ref(), texts_embedded.as_ref(), args.json),
    }
    Ok(())
}
