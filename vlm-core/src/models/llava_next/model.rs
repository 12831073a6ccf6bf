//! The whole model.

use super::{Grid, LlavaNextConfig};
use crate::models::llava::Projector;
use crate::models::text::TextModel;
use crate::models::tower::Tower;
use crate::models::{Base, Features, ImageTextModel, Images, Model};
use crate::nn::{Builder, Init, ModuleNames, Param, resize_bilinear, show};
use crate::{Error, ErrorKind, Result, Tensor};

/// `LlavaNextForConditionalGeneration` and `LlavaOnevisionForConditionalGeneration`.
#[derive(Debug)]
pub struct LlavaNext {
    base: Base,
    config: LlavaNextConfig,
    vision: Tower,
    layers: Vec<usize>,
    projector: Projector,
    newline: Param,
    text: TextModel,
}

impl LlavaNext {
    /// Builds the model at the root of `b`, with the names of the published weights.
    ///
    /// # Errors
    /// Those of the configuration and of the source.
    pub fn new(b: &Builder, config: LlavaNextConfig) -> Result<Self> {
        config.check()?;
        let vision = Tower::new(&b.at("vision_tower").at("vision_model"), &config.vision_config)?;
        let layers = config.vision_config.feature_layers(&config.vision_feature_layer)?;
        let (from, to) = (config.vision_config.hidden_size() * layers.len(), config.text_config.hidden_size);
        let (act, std) = (config.projector_hidden_act, config.text_config.initializer_range);
        let p = b.at("multi_modal_projector");
        let projector = Projector::new(&p, (from, to), act, config.multimodal_projector_bias, std)?;
        let newline = b.parameter("image_newline", [to], Init::Normal { std: (to as f64).powf(-0.5) })?;
        let mut text_config = config.text_config.clone();
        text_config.tie_word_embeddings |= config.tie_word_embeddings;
        let text = TextModel::new(&b.at("language_model"), &text_config)?;
        Ok(LlavaNext { base: Base::new(b, &config)?, config, vision, layers, projector, newline, text })
    }

    /// One picture: its tiles `[n, tokens, hidden]` put together, `[features, hidden]`.
    fn packed(&self, tiles: &Tensor, size: [usize; 2]) -> Result<Tensor> {
        let ([n, tokens, d], newline) = (tiles.dims()?, self.newline.tensor()?.reshape([1, tiles.shape()[2]])?);
        let whole = tiles.select(0, 0)?;
        if n == 1 {
            return Tensor::cat(&[whole, newline], 0);
        }
        let (grid, p) = (Grid::of(&self.config, size)?, self.config.vision_config.patches_per_side());
        let [rows, columns] = grid.tiles;
        if n - 1 != rows * columns || tokens != p * p {
            let message = format!(
                "a picture of {} x {} pixels has {n} tiles of {tokens} tokens, expected {} of {}",
                size[1],
                size[0],
                rows * columns + 1,
                p * p
            );
            return Err(Error::new(ErrorKind::Data, "llava_next", message)
                .hint("image_grid_pinpoints of config.json and preprocessor_config.json must be the same"));
        }
        let map = tiles.narrow(0, 1, n - 1)?.reshape([rows, columns, p, p, d])?.permute(&[0, 2, 1, 3, 4])?;
        let map = map.reshape([rows * p, columns * p, d])?;
        let map = map.narrow(0, grid.start[0], grid.size[0])?.narrow(1, grid.start[1], grid.size[1])?;
        let map = match grid.shrunk {
            Some([h, w]) => resize_bilinear(&map, h, w)?,
            None => map,
        };
        let ends = newline.reshape([1, 1, d])?.broadcast_to([map.shape()[0], 1, d])?;
        Tensor::cat(&[whole, Tensor::cat(&[map, ends], 1)?.flatten(0, 1)?], 0)
    }
}

impl Model for LlavaNext {
    fn base(&self) -> &Base {
        &self.base
    }

    fn module_names(&self) -> ModuleNames {
        ModuleNames::new([
            ("vision_tower.vision_model", "model.vision_tower"),
            ("multi_modal_projector", "model.multi_modal_projector"),
            ("image_newline", "model.image_newline"),
            ("language_model.model", "model.language_model"),
            ("language_model.lm_head", "lm_head"),
        ])
    }

    fn takes_part(&self, name: &str) -> bool {
        name.strip_prefix("vision_tower.vision_model.").is_none_or(|inside| Tower::reaches(inside, &self.layers))
    }
}

impl ImageTextModel for LlavaNext {
    fn language_model(&self) -> &TextModel {
        &self.text
    }

    fn features(&self, images: &Images) -> Result<Features> {
        let (tiles, sizes) = (images.need("tiles", &images.tiles)?, images.need("sizes", &images.sizes)?);
        let pixels = images.pixel_values.to_dtype(self.dtype())?;
        let all: usize = tiles.iter().sum();
        if tiles.len() != sizes.len() || pixels.size(0)? != all {
            let message =
                format!("{} for {all} tiles of {} pictures, {} sizes", pixels.shape(), tiles.len(), sizes.len());
            return Err(Error::new(ErrorKind::Data, "llava_next", message));
        }
        let strategy = self.config.vision_feature_select_strategy;
        let features = self.vision.features(&pixels, &self.layers, strategy)?;
        show(|| "vision_features".to_owned(), &features);
        let projected = self.projector.forward(&features)?;
        show(|| "projector_output".to_owned(), &projected);
        let (mut at, mut packed) = (0, Vec::with_capacity(tiles.len()));
        for (&n, &size) in tiles.iter().zip(sizes) {
            packed.push(self.packed(&projected.narrow(0, at, n)?, size)?);
            at += n;
        }
        Ok(Tensor::cat(&packed, 0)?.into())
    }

    fn placeholder(&self) -> i64 {
        self.config.image_token_index
    }
}
