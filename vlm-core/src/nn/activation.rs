//! Activations by Hugging Face's names.

use crate::{Error, ErrorKind, Result, Tensor};
use serde::{Deserialize, Serialize};

/// An activation function, named as in `hidden_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Activation {
    /// `gelu`.
    Gelu,
    /// `gelu_pytorch_tanh`, `gelu_new`.
    GeluTanh,
    /// `quick_gelu`.
    QuickGelu,
    /// `silu`, `swish`.
    Silu,
    /// `relu`.
    Relu,
}

impl Activation {
    /// The function.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::QuickGelu => x.quick_gelu(),
            Activation::Silu => x.silu(),
            Activation::Relu => x.relu(),
        }
    }

    /// `self(gate) * up`, fused where there is a kernel.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn gated(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        match self {
            Activation::Silu => gate.swiglu(up),
            Activation::GeluTanh => gate.geglu(up),
            _ => self.forward(gate)? * up,
        }
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Ok(match name.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_pytorch_tanh" | "gelu_new" => Activation::GeluTanh,
            "quick_gelu" => Activation::QuickGelu,
            "silu" | "swish" => Activation::Silu,
            "relu" => Activation::Relu,
            _ => {
                let message = format!("unknown activation {name:?}");
                return Err(Error::new(ErrorKind::Config, "config", message)
                    .hint("known are gelu, gelu_pytorch_tanh, gelu_new, quick_gelu, silu, swish, relu"));
            }
        })
    }
}

impl From<Activation> for String {
    fn from(a: Activation) -> String {
        match a {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
            Activation::QuickGelu => "quick_gelu",
            Activation::Silu => "silu",
            Activation::Relu => "relu",
        }
        .to_owned()
    }
}
