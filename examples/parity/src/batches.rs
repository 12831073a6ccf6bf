//! Conversations as batches.

use crate::folder::Folder;
use crate::layout;
use crate::output::Output;
use anyhow::{Context, Result};
use serde_json::Value;
use vlm_core::models::processor::{Encoded, PaddingSide, Processor, Row};
use vlm_core::vision::Picture;

/// A conversation rendered, with its pictures.
pub(crate) fn row(folder: &Folder, processor: &Processor, messages: &Value, ask: bool) -> Result<Row> {
    let text = processor.render(messages, ask)?;
    Ok(Row { text, pictures: pictures(folder, messages)?, ..Row::default() })
}

/// The pictures of a conversation, in order.
pub(crate) fn pictures(folder: &Folder, messages: &Value) -> Result<Vec<Picture>> {
    let parts = messages.as_array().into_iter().flatten().flat_map(|m| m["content"].as_array().into_iter().flatten());
    let files = parts.filter(|p| p["type"] == "image").filter_map(|p| p["image"].as_str());
    files.map(|f| folder.picture(f)).collect()
}

/// The rows of a case, whose tokens and pictures are written below `prefix`.
pub(crate) fn encode(
    folder: &Folder,
    processor: &Processor,
    rows: &[Row],
    side: PaddingSide,
    out: &mut Output,
    prefix: &str,
) -> Result<Encoded> {
    let encoded = processor.encode(rows, side)?;
    put(folder, &encoded, out, prefix)?;
    Ok(encoded)
}

fn put(folder: &Folder, encoded: &Encoded, out: &mut Output, prefix: &str) -> Result<()> {
    let whole = |rows: &[Vec<bool>]| rows.iter().map(|r| r.iter().map(|&m| i64::from(m)).collect()).collect::<Vec<_>>();
    out.put_rows(&format!("{prefix}/input_ids"), &encoded.input_ids)?;
    out.put_rows(&format!("{prefix}/attention_mask"), &whole(&encoded.attention_mask))?;
    let picture = folder.told["image_token_id"].as_i64();
    let of_pictures: Vec<Vec<i64>> =
        encoded.input_ids.iter().map(|r| r.iter().map(|id| i64::from(Some(*id) == picture)).collect()).collect();
    out.put_rows(&format!("{prefix}/mm_token_type_ids"), &of_pictures)?;
    out.put_rows(&format!("{prefix}/token_type_ids"), encoded.token_type_ids.as_ref().unwrap_or(&of_pictures))?;
    match &encoded.pictures {
        Some(pictures) => layout::put(folder, out, prefix, pictures),
        None => Ok(()),
    }
}

/// The conversations of `value`, one for each row.
pub(crate) fn conversations(value: &Value) -> Result<&Vec<Value>> {
    value["messages"].as_array().context("expected.json: messages are not a list")
}
