//! The first tier: bytes in, bytes out, copies.

use crate::DemoDevice;
use crate::numbers::{DemoStorage, Numbers, demo, floats, modify, read, wholes, with_element};
use std::sync::Arc;
use vlm_core::backend::{DeviceProperties, Memory, MemoryStats, StorageRef, View};
use vlm_core::{DType, Element, Layout, Result};

impl Memory for DemoDevice {
    fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
        Ok(wholes(std::iter::repeat_n(0, len), dtype))
    }

    fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
        Ok(with_element!(dtype, T => {
            let values = T::from_bytes(bytes).into_iter();
            if dtype.is_float() { floats(values.map(<T as Element>::to_f64), dtype) } else { wholes(values.map(T::to_i64), dtype) }
        }))
    }

    fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
        let DemoStorage { dtype, numbers } = demo(src)?;
        let end = start + out.len() / dtype.size();
        with_element!(*dtype, T => {
            let values: Vec<T> = match numbers {
                Numbers::Float(v) => v[start..end].iter().map(|&v| <T as Element>::from_f64(v)).collect(),
                Numbers::Whole(v) => v[start..end].iter().map(|&v| T::from_i64(v)).collect(),
            };
            out.copy_from_slice(T::as_bytes(&values));
        });
        Ok(())
    }

    fn copy(&self, src: View<'_>) -> Result<StorageRef> {
        Ok(Arc::new(DemoStorage { dtype: src.dtype(), numbers: read(&src)? }))
    }

    fn copy_into(&self, dst: StorageRef, layout: &Layout, src: View<'_>) -> Result<StorageRef> {
        let values = read(&src)?;
        modify(dst, |numbers| {
            match (numbers, values) {
                (Numbers::Float(to), Numbers::Float(from)) => layout.positions().zip(from).for_each(|(p, v)| to[p] = v),
                (Numbers::Whole(to), Numbers::Whole(from)) => layout.positions().zip(from).for_each(|(p, v)| to[p] = v),
                // Core hands over equal element types only.
                _ => unreachable!("copy between different element types"),
            }
            Ok(())
        })
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn properties(&self) -> DeviceProperties {
        DeviceProperties::new("a demonstration: f64 and i64 loops", &DType::ALL)
    }

    fn memory_stats(&self) -> MemoryStats {
        MemoryStats::default()
    }
}
