//! Tables of vectors.

use super::{Builder, Init, ModuleRef, Param};
use crate::{Result, Tensor};

/// Rows of a table, `weight [n, d]`, by id.
#[derive(Debug)]
pub struct Embedding {
    path: String,
    weight: Param,
}

impl Embedding {
    /// Builds the table at the builder's path (`weight`), normal with standard deviation `std`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, n: usize, d: usize, std: f64) -> Result<Self> {
        let weight = b.parameter("weight", [n, d], Init::Normal { std })?;
        b.register(ModuleRef::Other("embedding"));
        Ok(Embedding { path: b.path().to_owned(), weight })
    }

    /// The table, `[n, d]`.
    pub fn weight(&self) -> &Param {
        &self.weight
    }

    /// `ids` of any shape and integer type: `[ids…, d]`.
    ///
    /// # Errors
    /// [`ErrorKind::Index`](crate::ErrorKind::Index) for an id outside of the table, with this module's path.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.weight.tensor()?.embedding(ids).map_err(|e| e.at(&self.path))
    }
}
