//! SigLIP 2 (Tschannen et al. 2025): [`Siglip`](super::siglip::Siglip) with a tower that reads pictures in their own shape
//! (NaFlex).

mod vision;

pub use vision::NaflexVision;
