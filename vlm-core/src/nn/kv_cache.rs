//! Keys and values of tokens already seen.

use crate::backend::ScatterOp;
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};

/// The keys and values of every layer, written in place as tokens come.
///
/// Room grows by doubling up to `max_len` tokens.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    len: usize,
    max_len: usize,
    /// What each row's positions are ahead of the count of its tokens, where pictures take fewer than they have tokens.
    position_deltas: Vec<i64>,
    /// Where the next token is written, on the device.
    place: Option<Tensor>,
}

impl KvCache {
    /// An empty cache for `layers` layers and at most `max_len` tokens.
    pub fn new(layers: usize, max_len: usize) -> Self {
        KvCache {
            layers: (0..layers).map(|_| None).collect(),
            len: 0,
            max_len,
            position_deltas: Vec::new(),
            place: None,
        }
    }

    /// For each row, the next position less the number of places in the cache; empty where positions simply count.
    pub fn position_deltas(&self) -> &[i64] {
        &self.position_deltas
    }

    /// Sets what [`KvCache::position_deltas`] gives, when a prompt is read.
    pub fn set_position_deltas(&mut self, deltas: Vec<i64>) {
        self.position_deltas = deltas;
    }

    /// Number of tokens in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all tokens from `len` on, without giving up the room.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Checks that `new` more tokens fit.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming both numbers.
    pub fn reserve(&self, new: usize) -> Result<()> {
        let (total, max) = (self.len + new, self.max_len);
        if total <= max {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Config,
            "kv cache",
            format!("{total} tokens are more than the {max} there is room for"),
        )
        .hint("shorten the prompt or ask for fewer new tokens"))
    }

    /// Writes keys and values `[b, h, s, d]` of new tokens behind those of layer `layer` and returns all of them.
    ///
    /// # Errors
    /// Those of [`KvCache::reserve`] and of the device.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.place.is_some() {
            return self.put(layer, k, v);
        }
        let new = k.size(2)?;
        self.reserve(new)?;
        let (start, end) = (self.len, self.len + new);
        let slot = &mut self.layers[layer];
        let fits = slot.as_ref().is_some_and(|(k, _)| k.shape()[2] >= end);
        let (keys, values) = match slot.take() {
            Some(held) if fits => held,
            held => {
                let room = end.next_power_of_two().max(64).min(self.max_len);
                let grow = |old: Option<&Tensor>, like: &Tensor| -> Result<Tensor> {
                    let wide = room_like(like, room, like.dtype(), like.device())?;
                    match old {
                        Some(old) if start > 0 => wide.write_slice(2, 0, &old.narrow(2, 0, start)?),
                        _ => Ok(wide),
                    }
                };
                let (old_k, old_v) = held.as_ref().map_or((None, None), |(k, v)| (Some(k), Some(v)));
                (grow(old_k, k)?, grow(old_v, v)?)
            }
        };
        let (keys, values) = (keys.write_slice(2, start, k)?, values.write_slice(2, start, v)?);
        let seen = (keys.narrow(2, 0, end)?, values.narrow(2, 0, end)?);
        *slot = Some((keys, values));
        Ok(seen)
    }

    /// For recorded work ([`backend::graphs`](crate::backend::graphs)): from now on [`KvCache::append`] writes one token per row at
    /// `place` (`[1]`, `i64`, on the device) and returns the whole room, of which a mask has to hide what is empty. `None` ends it.
    pub fn set_place(&mut self, place: Option<Tensor>) {
        self.place = place;
    }

    /// The number of tokens that all layers have room for.
    pub fn room(&self) -> usize {
        let of = |layer: &Option<(Tensor, Tensor)>| layer.as_ref().map_or(0, |(k, _)| k.shape()[2]);
        self.layers.iter().map(of).min().unwrap_or(0)
    }

    /// Gives all layers room for at least `tokens` tokens, as far as the cache goes. Those that have none yet are left out.
    ///
    /// # Errors
    /// Those of the device.
    pub fn make_room(&mut self, tokens: usize) -> Result<()> {
        let (room, len) = (tokens.min(self.max_len), self.len);
        for slot in &mut self.layers {
            let Some((k, v)) = slot.take_if(|(k, _)| k.shape()[2] < room) else { continue };
            let wider = |old: Tensor| -> Result<Tensor> {
                let wide = room_like(&old, room, old.dtype(), old.device())?;
                wide.write_slice(2, 0, &old.narrow(2, 0, len)?)
            };
            *slot = Some((wider(k)?, wider(v)?));
        }
        Ok(())
    }

    fn put(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let slot = &mut self.layers[layer];
        let (Some(place), Some((keys, values))) = (&self.place, slot.take()) else {
            let message = "a token is written at a place before there is room";
            return Err(Error::new(ErrorKind::Backend, "kv cache", message));
        };
        let at = |held: Tensor, new: &Tensor| -> Result<Tensor> {
            let (shape, device) = (*held.shape(), held.device().clone());
            let kernels = device.kernels();
            let storage =
                kernels.index_update(ScatterOp::Set, held.into_storage()?, shape, 2, place.view(), new.view())?;
            Ok(Tensor::from_storage(storage, shape, &device))
        };
        let (keys, values) = (at(keys, k)?, at(values, v)?);
        *slot = Some((keys.clone(), values.clone()));
        Ok((keys, values))
    }

    /// Counts `new` tokens, after every layer has appended them.
    pub fn advance(&mut self, new: usize) {
        self.len += new;
    }
}

fn room_like(x: &Tensor, room: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::zeros(x.shape().with(2, room), dtype, device)
}
