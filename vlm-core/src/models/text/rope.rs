//! Rotary embeddings as configurations describe them.

use super::TextConfig;
use crate::Result;
use crate::models::config::wrong;
use crate::nn::{Rope, Yarn};
use serde_json::{Value, json};

const S: &str = "text_config";

/// The rotary embedding of layer `i`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) for a scaling that is not known, or sections that do not fit the head.
pub(super) fn of_layer(c: &TextConfig, i: usize) -> Result<Rope> {
    let kind = if c.window(i).is_some() { "sliding_attention" } else { "full_attention" };
    for (name, found) in [("rope_scaling", &c.rope_scaling), ("rope_parameters", &c.rope_parameters)] {
        if let Some(found) = found.as_ref().filter(|v| !v.is_null() && !v.is_object()) {
            return Err(wrong(S, format!("{name} is {found}, expected an object")));
        }
    }
    let nested = c.rope_parameters.as_ref().and_then(|p| p.get(kind)).filter(|p| p.is_object());
    let parameters = nested.or(c.rope_parameters.as_ref());
    // Old files of Gemma 3: sliding layers have a base of their own and no scaling.
    let local = c.rope_local_base_freq.filter(|_| c.four_norms() && c.window(i).is_some() && nested.is_none());
    let theta = match parameters.and_then(|p| p.get("rope_theta")).filter(|v| !v.is_null()) {
        None => None,
        Some(found) => {
            let number = found.as_f64();
            Some(number.ok_or_else(|| wrong(S, format!("rope_parameters.rope_theta is {found}, expected a number")))?)
        }
    };
    let theta = local.or(theta).or(c.rope_theta).unwrap_or(10_000.0);
    let named = if local.is_some() { "rope_local_base_freq" } else { "rope_theta" };
    crate::models::Limits::positive(S, named, theta)?;
    let rope = Rope::new(c.head_dim(), theta);
    let scaling = if local.is_some() { None } else { c.rope_scaling.as_ref().or(parameters) };
    let scaling = scaling.unwrap_or(&Value::Null);
    let optional = |name: &str| -> Result<Option<f64>> {
        let Some(found) = scaling.get(name).filter(|v| !v.is_null()) else { return Ok(None) };
        let number = found.as_f64().filter(|v| v.is_finite() && *v > 0.0);
        number.map(Some).ok_or_else(|| wrong(S, format!("rope_scaling.{name} is {found}, expected a positive number")))
    };
    let number = |name: &str| -> Result<f64> {
        optional(name)?.ok_or_else(|| wrong(S, format!("rope_scaling.{name} is missing")))
    };
    let share = optional("partial_rotary_factor")?.or(c.partial_rotary_factor).unwrap_or(1.0);
    if share != 1.0 {
        return Err(wrong(S, format!("partial_rotary_factor is {share}: heads that turn in part are not supported")));
    }
    let context = || Ok(optional("original_max_position_embeddings")?.unwrap_or(c.max_position_embeddings as f64));
    let name = match ["rope_type", "type"].into_iter().find_map(|key| scaling.get(key).filter(|v| !v.is_null())) {
        None => "default",
        Some(Value::String(name)) => name,
        Some(other) => return Err(wrong(S, format!("rope_scaling.rope_type is {other}, expected a name"))),
    };
    let rope = match name {
        "default" | "mrope" => rope,
        "linear" => rope.linear(number("factor")?),
        // Up to max_position_embeddings, beyond which nothing goes here, it changes nothing.
        "dynamic" => number("factor").map(|_| rope)?,
        "yarn" => {
            let factor = optional("factor")?.unwrap_or(c.max_position_embeddings as f64 / context()?);
            let grown = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
            let attention = match (optional("attention_factor")?, optional("mscale")?, optional("mscale_all_dim")?) {
                (Some(attention), ..) => attention,
                (None, Some(some), Some(all)) => grown(some) / grown(all),
                _ => grown(1.0),
            };
            let (fast, slow) = (optional("beta_fast")?.unwrap_or(32.0), optional("beta_slow")?.unwrap_or(1.0));
            let truncate = scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true);
            rope.yarn(theta, Yarn { factor, context: context()?, fast, slow, attention, truncate })
        }
        "llama3" => {
            let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
            if low >= high {
                return Err(wrong(S, format!("low_freq_factor {low} is not below high_freq_factor {high}")));
            }
            rope.llama3(number("factor")?, low, high, context()?)
        }
        other => {
            let known = "default, mrope, linear, dynamic, yarn and llama3 are";
            return Err(wrong(S, format!("rope scaling {other:?} is not supported, {known}")));
        }
    };
    // Tiny bases and factors make angles that are not finite, and with them every value.
    if !rope.is_finite(c.max_position_embeddings) {
        return Err(wrong(S, format!("rope_theta {theta} and rope_scaling {scaling} give angles that are not finite")));
    }
    sectioned(c, rope, scaling)
}

/// The sections of Qwen's three axes; those of transformers where the file gives none.
fn sectioned(c: &TextConfig, rope: Rope, scaling: &Value) -> Result<Rope> {
    let default = match c.model_type.trim_end_matches("_text") {
        "qwen2_vl" | "qwen2_5_vl" => json!([16, 24, 24]),
        "qwen3_vl" => json!([24, 20, 20]),
        _ => Value::Null,
    };
    let sections = scaling.get("mrope_section").filter(|s| !s.is_null()).unwrap_or(&default);
    if sections.is_null() {
        return Ok(rope);
    }
    let whole = |v: &Value| v.as_u64().and_then(|v| usize::try_from(v).ok());
    let found: Option<Vec<usize>> = sections.as_array().and_then(|a| a.iter().map(whole).collect());
    let Some(&[t, h, w]) = found.as_deref() else {
        return Err(wrong(S, format!("mrope_section is {sections}, expected three numbers")));
    };
    let half = c.head_dim() / 2;
    if [t, h, w].into_iter().try_fold(0usize, usize::checked_add) != Some(half) {
        return Err(wrong(S, format!("mrope_section {sections} does not add up to half of a head, {half}")));
    }
    let interleaved = scaling.get("mrope_interleaved").and_then(Value::as_bool);
    Ok(rope.with_sections([t, h, w], interleaved.unwrap_or(c.model_type.starts_with("qwen3_vl"))))
}
