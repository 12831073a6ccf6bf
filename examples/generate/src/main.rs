//! Asks a vision-language model.
//!
//! ```text
//! cargo run --release -p generate -- --model DIR --image X.png --prompt "What is this?"
//! cargo run --release -p generate -- --model DIR --chat
//! cargo run --release -p generate -- --model DIR --input questions.jsonl --batch 4
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // Its output is what the program is for.

mod asking;
mod chat;
mod options;
mod rows;

use anyhow::{Result, bail};
use asking::Asker;
use clap::Parser;
use options::GenerationArgs;
use std::path::PathBuf;
use std::process::ExitCode;
use vlm_core::DType;
use vlm_core::data::{Message, Part, Role};
use vlm_core::vision::Picture;
use vlm_examples::hub::model_folder;
use vlm_examples::program;

#[derive(Debug, Parser)]
#[command(about = "Asks a vision-language model: one prompt, a chat, or a file of conversations")]
struct Args {
    /// The model's folder, or its id on the hub.
    #[arg(long, short)]
    model: String,
    /// Branch, tag or commit of a model id.
    #[arg(long)]
    revision: Option<String>,
    /// A PEFT adapter to put beside the weights; may be given several times.
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
    /// What to ask.
    #[arg(long, short, required_unless_present_any = ["chat", "input"])]
    prompt: Option<String>,
    /// A picture to show before the prompt; may be given several times.
    #[arg(long, short)]
    image: Vec<PathBuf>,
    /// Instructions before the conversation.
    #[arg(long)]
    system: Option<String>,
    /// Talks until the input ends; `/image PATH` shows a picture, `/new` begins again.
    #[arg(long, conflicts_with_all = ["input", "prompt"])]
    chat: bool,
    /// Answers every conversation of a .json or .jsonl file and prints JSON lines; a last message of the assistant is left
    /// out and given back as `reference`.
    #[arg(long, conflicts_with_all = ["prompt", "image", "system"])]
    input: Option<PathBuf>,
    /// Conversations of the file that are answered side by side.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Prints the answer as one JSON line with tokens and times.
    #[arg(long, conflicts_with = "chat")]
    json: bool,
    #[command(flatten)]
    generation: GenerationArgs,
}

fn main() -> ExitCode {
    program::init_logs();
    program::end(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    program::set_threads(args.threads);
    let device = program::open_device(&args.device)?;
    let dir = model_folder(&args.model, args.revision.as_deref())?;
    let asker = Asker::load(&dir, args.dtype, &device, &args.adapter, args.generation.config(&dir)?)?;
    if let Some(input) = &args.input {
        return rows::answer_file(&asker, input, args.batch);
    }
    let system = args.system.iter().map(|text| Message::text(Role::System, text.clone())).collect();
    let pictures = args.image.iter().map(|path| Picture::open(path)).collect::<vlm_core::Result<Vec<_>>>()?;
    if args.chat {
        return chat::talk(&asker, system, pictures, &mut std::io::stdin().lock());
    }
    let Some(prompt) = &args.prompt else { bail!("there is no --prompt") };
    let messages = [system, vec![ask(prompt, 0..pictures.len())]].concat();
    if args.json {
        let said = asker.answer(&[(messages, pictures)], |_, _| {})?;
        println!("{}", said.to_json(0));
    } else {
        asker.answer(&[(messages, pictures)], asking::print_piece)?;
        println!();
    }
    Ok(())
}

/// A question about these of the conversation's pictures.
fn ask(text: &str, pictures: std::ops::Range<usize>) -> Message {
    let shown = pictures.map(Part::Image);
    Message { role: Role::User, content: shown.chain([Part::Text(text.to_owned())]).collect() }
}
