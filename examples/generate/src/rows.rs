//! Answers to a file of conversations.

use crate::asking::{Asker, Conversation};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use vlm_core::data::row::{ImageRoot, parse_prompt};
use vlm_core::data::text_file::TextFile;
use vlm_core::data::{Role, Sample};

/// Prints one JSON line for each row of `file`, with its id. Pictures are found beside the file.
///
/// # Errors
/// The first row that cannot be read or answered, by file and line; answers before it are printed.
pub(crate) fn answer_file(asker: &Asker, file: &Path, batch: usize) -> Result<()> {
    ensure!(batch > 0, "--batch is 0, expected at least 1");
    let dir = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = ImageRoot::new(dir, false).with_context(|| format!("the folder {}", dir.display()))?;
    let text = TextFile::open(file)?;
    let mut held: Vec<Sample> = Vec::with_capacity(batch);
    let mut rows = 0;
    for (line, row) in text.rows() {
        let place = format!("{}:{line}", file.display());
        let sample = row.and_then(|text| parse_prompt(text, None, &root, &place));
        held.push(sample.map_err(|what| anyhow::anyhow!("{place}: {what}"))?);
        rows += 1;
        if held.len() == batch {
            answer(asker, std::mem::take(&mut held))?;
        }
    }
    ensure!(rows > 0, "{} has no rows", file.display());
    answer(asker, held)
}

fn answer(asker: &Asker, samples: Vec<Sample>) -> Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = samples.iter().map(|s| s.id.clone()).collect();
    let mut references = Vec::with_capacity(samples.len());
    let mut conversations: Vec<Conversation> = Vec::with_capacity(samples.len());
    for mut sample in samples {
        let answered = sample.messages.last().is_some_and(|m| m.role == Role::Assistant);
        references.push(if answered { sample.messages.pop().map(|m| m.to_text()) } else { None });
        let pictures = sample.pictures()?;
        conversations.push((sample.messages, pictures));
    }
    let said = asker.answer(&conversations, |_, _| {}).with_context(|| format!("rows {}", ids.join(", ")))?;
    for (row, (id, reference)) in ids.into_iter().zip(references).enumerate() {
        let mut line = said.to_json(row);
        line["id"] = id.into();
        if let Some(reference) = reference {
            line["reference"] = reference.into();
        }
        println!("{line}");
    }
    Ok(())
}
