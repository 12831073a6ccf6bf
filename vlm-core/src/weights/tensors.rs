//! From weight files to tensors on a device, and back.

use super::save::{Entry, quoted, save, save_sharded, write_to};
use super::sharded::{Weight, WeightFiles};
use crate::backend::HostBytes;
use crate::nn::{Init, ParameterSource};
use crate::{DType, Device, Error, ErrorKind, Result, Shape, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OP: &str = "load weights";

impl Weight {
    /// The weight as a tensor of its stored type. A device in host memory refers to the file's bytes instead of copying
    /// them if they are aligned.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::Format`] for a `bool` that is neither 0 nor 1.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let Weight { dtype, shape, bytes } = self;
        if *dtype == DType::Bool && bytes.iter().any(|&b| b > 1) {
            let message = "a bool tensor holds bytes other than 0 and 1";
            return Err(Error::new(ErrorKind::Format, OP, message).with("file", bytes.path().display()));
        }
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(dtype.size());
        match HostBytes::new(Arc::new(bytes.clone()), 0, bytes.len()) {
            Some(shared) if aligned => Tensor::from_host_bytes(shared, *dtype, shape, device),
            _ => Tensor::from_bytes(bytes, *dtype, shape, device),
        }
    }
}

impl WeightFiles {
    /// The tensor called `name` on `device`, of its stored type.
    ///
    /// # Errors
    /// As [`WeightFiles::get`] and [`Weight::to_tensor`].
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        self.get(name)?.to_tensor(device).map_err(|e| e.with("tensor", quoted(name)))
    }
}

/// Loading a model: parameters have their stored values, floats converted to the type asked for.
impl ParameterSource for WeightFiles {
    fn get(&self, name: &str, shape: &Shape, _init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let weight = self.get_shaped(name, shape)?;
        if weight.dtype != dtype && weight.dtype.is_float() != dtype.is_float() {
            let message = format!("tensor {}: expected {dtype}, found {}", quoted(name), weight.dtype);
            return Err(Error::new(ErrorKind::Format, OP, message).with("file", weight.bytes.path().display()));
        }
        let tensor = weight.to_tensor(device).and_then(|t| t.to_dtype(dtype));
        Ok(tensor.map_err(|e| e.with("tensor", quoted(name)))?.detach())
    }

    fn contains(&self, name: &str) -> bool {
        self.info(name).is_some()
    }
}

/// Shares one set of files between several builders.
impl ParameterSource for Arc<WeightFiles> {
    fn get(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        ParameterSource::get(&**self, name, shape, init, dtype, device)
    }

    fn contains(&self, name: &str) -> bool {
        ParameterSource::contains(&**self, name)
    }
}

fn entries<N: AsRef<str>>(tensors: &[(N, Tensor)]) -> Vec<Entry> {
    let entry = |(name, t): &(N, Tensor)| Entry { name: name.as_ref().to_owned(), dtype: t.dtype(), shape: *t.shape() };
    tensors.iter().map(entry).collect()
}

/// Writes tensors of any device and layout to one file, atomically; one tensor at a time is copied to the host.
///
/// # Errors
/// As [`save`], and whatever the device reports.
pub fn save_tensors<N: AsRef<str>>(
    path: &Path,
    tensors: &[(N, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    save(path, &entries(tensors), metadata, |i| tensors[i].1.to_bytes().map(Cow::Owned))
}

/// Writes tensors into a folder as `<stem>.safetensors` or as shards with an index. See [`save_sharded`].
///
/// # Errors
/// As [`save_sharded`], and whatever the device reports.
pub fn save_tensors_sharded<N: AsRef<str>>(
    dir: &Path,
    stem: &str,
    tensors: &[(N, Tensor)],
    metadata: &BTreeMap<String, String>,
    max_shard_bytes: usize,
) -> Result<Vec<PathBuf>> {
    let bytes = |i: usize| tensors[i].1.to_bytes().map(Cow::Owned);
    save_sharded(dir, stem, &entries(tensors), metadata, max_shard_bytes, bytes)
}

/// Writes tensors as a safetensors file to `out`, such as a file of a checkpoint. `path` only names it in errors.
///
/// # Errors
/// As [`write_to`], and whatever the device reports.
pub fn write_tensors<N: AsRef<str>>(
    out: &mut dyn Write,
    path: &Path,
    tensors: &[(N, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_to(out, path, &entries(tensors), metadata, |i| tensors[i].1.to_bytes().map(Cow::Owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Builder;
    use crate::weights::save::default_metadata;

    #[test]
    fn tensors_come_back_from_files_with_shape_type_and_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let device = Device::reference();
        let a = Tensor::arange(0.0, 6.0, 1.0, DType::F32, &device).unwrap().reshape([2, 3]).unwrap();
        let mask = Tensor::from_slice(&[true, false, true], [3], &device).unwrap();
        let all =
            [("m.weight", a.transpose(0, 1).unwrap()), ("mask", mask), ("m.bias", a.to_dtype(DType::BF16).unwrap())];
        save_tensors(&path, &all, &default_metadata()).unwrap();
        let files = Arc::new(WeightFiles::open(&path).unwrap());
        for (name, tensor) in &all {
            let back = files.tensor(name, &device).unwrap();
            assert_eq!((back.shape(), back.dtype()), (tensor.shape(), tensor.dtype()), "{name}");
            assert_eq!(back.to_bytes().unwrap(), tensor.to_bytes().unwrap(), "{name}");
        }
        let builder = Builder::new(files.clone(), DType::F64, &device).at("m");
        let init = Init::Constant(0.0);
        let bias = builder.parameter("bias", [2, 3], init).unwrap().tensor().unwrap();
        assert_eq!(bias.to_vec::<f64>().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(builder.contains("weight") && !builder.contains("x"));
        let e = builder.parameter("weight", [2, 3], init).unwrap_err();
        assert!(e.kind() == ErrorKind::Format && e.to_string().contains("expected shape [2, 3], found [3, 2]"), "{e}");
        let e = Builder::new(files, DType::F32, &device).parameter("mask", [3], init).unwrap_err();
        assert!(e.to_string().contains(r#"tensor "mask": expected f32, found bool"#), "{e}");
    }

    #[test]
    fn an_unaligned_tensor_is_copied_and_a_bad_bool_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let header = r#"{"b":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#;
        std::fs::write(
            &path,
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[2], &1.5f32.to_le_bytes()].concat(),
        )
        .unwrap();
        let files = WeightFiles::open(&path).unwrap();
        assert_eq!(files.tensor("f", &Device::reference()).unwrap().to_vec::<f32>().unwrap(), [1.5]);
        assert!(files.tensor("b", &Device::reference()).unwrap_err().to_string().contains("other than 0 and 1"));
    }
}
