//! How to generate: the model's own settings, changed by what the command line says.

use anyhow::Result;
use clap::Args;
use std::path::Path;
use vlm_core::generate::GenerationConfig;

/// Settings that replace those of `generation_config.json`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Generation (default: what the model's generation_config.json says)")]
pub(crate) struct GenerationArgs {
    /// Most tokens of an answer.
    #[arg(long)]
    max_new_tokens: Option<usize>,
    /// Fewest tokens before an answer may end.
    #[arg(long)]
    min_new_tokens: Option<usize>,
    /// Draws tokens by their probability; implied by the five settings after this one.
    #[arg(long, conflicts_with = "greedy")]
    sample: bool,
    /// Logits are divided by it; 0 takes the most likely token always.
    #[arg(long, conflicts_with = "greedy")]
    temperature: Option<f64>,
    /// Draws among so many likeliest tokens; 0: all.
    #[arg(long, conflicts_with = "greedy")]
    top_k: Option<usize>,
    /// Draws among the likeliest tokens with this probability together.
    #[arg(long, conflicts_with = "greedy")]
    top_p: Option<f64>,
    /// Draws among tokens at least so likely, as a share of the likeliest.
    #[arg(long, conflicts_with = "greedy")]
    min_p: Option<f64>,
    /// The same seed gives the same answer.
    #[arg(long, conflicts_with = "greedy")]
    seed: Option<u64>,
    /// Takes the most likely token always, whatever the model's settings say.
    #[arg(long)]
    greedy: bool,
    /// Makes tokens that came before less likely; 1: not.
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// No run of so many tokens comes twice; 0: no such rule.
    #[arg(long)]
    no_repeat_ngram_size: Option<usize>,
    /// Text that ends an answer; may be given several times.
    #[arg(long = "stop")]
    stop: Vec<String>,
}

impl GenerationArgs {
    /// The settings for the model in `dir`.
    ///
    /// # Errors
    /// If the folder's settings or the changed ones are out of range.
    pub(crate) fn config(&self, dir: &Path) -> Result<GenerationConfig> {
        fn put<T: Copy>(into: &mut T, value: Option<T>) {
            *into = value.unwrap_or(*into);
        }
        let mut config = GenerationConfig::load(dir)?;
        let drawn = self.temperature.is_some_and(|t| t != 0.0)
            || self.top_k.is_some()
            || self.top_p.is_some()
            || self.min_p.is_some()
            || self.seed.is_some();
        config.do_sample |= self.sample || drawn;
        if self.greedy || self.temperature == Some(0.0) {
            config.do_sample = false;
        }
        put(&mut config.temperature, self.temperature.filter(|t| *t != 0.0));
        put(&mut config.top_k, self.top_k);
        put(&mut config.top_p, self.top_p);
        put(&mut config.min_p, self.min_p);
        put(&mut config.seed, self.seed);
        put(&mut config.repetition_penalty, self.repetition_penalty);
        put(&mut config.no_repeat_ngram_size, self.no_repeat_ngram_size);
        put(&mut config.max_new_tokens, self.max_new_tokens);
        config.min_new_tokens = self.min_new_tokens.or(config.min_new_tokens);
        config.stop_strings.extend(self.stop.iter().cloned());
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        generation: GenerationArgs,
    }

    fn config(line: &str, folder: &str) -> Result<GenerationConfig> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("generation_config.json"), folder)?;
        let words = std::iter::once("generate").chain(line.split_whitespace());
        Line::try_parse_from(words)?.generation.config(dir.path())
    }

    #[test]
    fn the_command_line_changes_what_the_folder_says() {
        let folder = r#"{"do_sample": true, "temperature": 0.7, "top_p": 0.8, "eos_token_id": [3, 4]}"#;
        let same = config("", folder).unwrap();
        assert!(same.do_sample && same.temperature == 0.7 && same.eos_token_id == [3, 4]);
        assert!(!config("--greedy", folder).unwrap().do_sample);
        assert!(!config("--temperature 0", folder).unwrap().do_sample);
        assert!(config("--top-p 0.5", "{}").unwrap().do_sample);
        assert!(!config("--max-new-tokens 5", "{}").unwrap().do_sample);
        let both = config("--stop a --stop b --max-new-tokens 5", folder).unwrap();
        assert_eq!((both.stop_strings, both.max_new_tokens), (vec!["a".to_owned(), "b".to_owned()], 5));
        let e = config("--top-p 1.5", "{}").unwrap_err().to_string();
        assert!(e.contains("top_p is 1.5"), "{e}");
        let e = config("--greedy --sample", "{}").unwrap_err().to_string();
        assert!(e.contains("cannot be used with"), "{e}");
    }
}
