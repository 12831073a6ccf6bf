//! The parts of a model that are trained or frozen together.

use super::Model;
use crate::{Error, ErrorKind, Result};

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelPart {
    /// What sees pictures.
    VisionTower,
    /// What joins pictures and text: the projector; of dual encoders the two projections and the scale of their logits.
    Projector,
    /// What reads and writes text, its embeddings and head included.
    LanguageModel,
}

impl ModelPart {
    /// All of them.
    pub const ALL: [ModelPart; 3] = [ModelPart::VisionTower, ModelPart::Projector, ModelPart::LanguageModel];

    /// The part of a parameter or module by its dotted name, as Hugging Face names the families here.
    pub(super) fn of(name: &str) -> Self {
        let name = name.strip_prefix("model.").unwrap_or(name);
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        match first {
            // Qwen keeps its projector inside of the tower.
            "visual" if rest.starts_with("merger") || rest.starts_with("deepstack_merger_list") => ModelPart::Projector,
            "vision_tower" | "vision_model" | "visual" => ModelPart::VisionTower,
            "multi_modal_projector" | "connector" | "image_newline" => ModelPart::Projector,
            "visual_projection" | "text_projection" | "logit_scale" | "logit_bias" => ModelPart::Projector,
            _ => ModelPart::LanguageModel,
        }
    }
}

/// Trains the parameters of these parts and freezes all others. What takes no part in the outputs
/// ([`Model::takes_part`]) stays frozen: it would get no gradient.
///
/// # Errors
/// [`ErrorKind::Config`] if that leaves nothing to train.
pub fn set_trainable_parts(model: &dyn Model, parts: &[ModelPart]) -> Result<()> {
    model.modules().set_trainable(|name| parts.contains(&model.part(name)) && model.takes_part(name))?;
    if model.modules().trainable().is_empty() {
        return Err(Error::new(ErrorKind::Config, "freeze", format!("{parts:?} leave nothing to train"))
            .hint("unfreeze the vision tower, the projector or the language model"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_families_fall_into_their_part() {
        use ModelPart::{LanguageModel, Projector, VisionTower};
        for (name, part) in [
            ("vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", VisionTower),
            ("vision_model.head.probe", VisionTower),
            ("model.vision_model.embeddings.patch_embedding.weight", VisionTower),
            ("visual.blocks.0.attn.qkv.weight", VisionTower),
            ("visual.merger.mlp.0.weight", Projector),
            ("model.visual.deepstack_merger_list.1.norm.bias", Projector),
            ("model.visual.pos_embed.weight", VisionTower),
            ("model.connector.modality_projection.proj.weight", Projector),
            ("multi_modal_projector.linear_1.bias", Projector),
            ("image_newline", Projector),
            ("logit_scale", Projector),
            ("text_model.encoder.layers.0.mlp.fc1.weight", LanguageModel),
            ("language_model.model.layers.0.self_attn.q_proj.lora_A.default.weight", LanguageModel),
            ("model.layers.0.mlp.up_proj.weight", LanguageModel),
            ("model.language_model.embed_tokens.weight", LanguageModel),
            ("lm_head.weight", LanguageModel),
        ] {
            assert_eq!(ModelPart::of(name), part, "{name}");
        }
    }
}
