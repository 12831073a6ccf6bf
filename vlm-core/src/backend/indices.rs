//! Index checks on the host.

use super::{Memory, View};
use crate::{DType, Element, Result};

/// The default body of [`Memory::first_outside`].
pub(super) fn first_outside<M: Memory + ?Sized>(memory: &M, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
    let size = indices.dtype().size();
    if let (Some(bytes), Some(range)) = (memory.host_bytes(indices.storage), indices.layout.contiguous_range()) {
        return Ok(scan(indices.dtype(), &bytes[range.start * size..range.end * size], bound));
    }
    let copy = memory.copy(indices)?;
    let mut bytes = vec![0; copy.len() * size];
    memory.download(&copy, 0, &mut bytes)?;
    Ok(scan(indices.dtype(), &bytes, bound))
}

fn scan(dtype: DType, bytes: &[u8], bound: usize) -> Option<i64> {
    fn typed<T: Element>(bytes: &[u8], bound: usize) -> Option<i64> {
        let mut values = bytes.chunks_exact(size_of::<T>()).map(|b| T::from_bytes(b)[0].to_i64());
        values.find(|&i| i < 0 || i as u64 >= bound as u64)
    }
    match dtype {
        DType::I64 => bytemuck::try_cast_slice::<u8, i64>(bytes).map_or_else(
            |_| typed::<i64>(bytes, bound),
            |v| v.iter().copied().find(|&i| i < 0 || i as u64 >= bound as u64),
        ),
        DType::I32 => typed::<i32>(bytes, bound),
        DType::U32 => typed::<u32>(bytes, bound),
        _ => typed::<u8>(bytes, bound),
    }
}
