//! The step of AdamW in one pass over memory.

use crate::simd::simd_fn;
use crate::storage::{Small, elements_mut, with_small, writable};
use crate::strided::{BLOCK, dense};
use crate::threads::{SendPtr, parallel_chunks};
use vlm_core::Result;
use vlm_core::backend::{AdamWArgs, AdamWState};

#[derive(Clone, Copy)]
struct Step {
    decay: f32,
    beta1: f32,
    beta2: f32,
    /// `lr / (1 - beta1^t)`.
    rate: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    widen: f32,
    eps: f32,
    scale: f32,
}

simd_fn! {
    fn step(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], s: Step) {
        for i in 0..w.len() {
            let g = g[i] * s.scale;
            let m1 = m[i] * s.beta1 + g * (1.0 - s.beta1);
            let v1 = v[i] * s.beta2 + g * g * (1.0 - s.beta2);
            m[i] = m1;
            v[i] = v1;
            w[i] = w[i] * s.decay - s.rate * m1 / (v1.sqrt() * s.widen + s.eps);
        }
    }
}

/// `None` for parameters that are not `f32`, `f16` or `bf16`; the arguments come back then.
pub(crate) fn adamw_step(args: AdamWArgs<'_>) -> Result<Result<AdamWState, AdamWArgs<'_>>> {
    const PIECE: usize = 1024;
    let (dtype, grad_dtype) = (args.param.dtype(), args.grad.dtype());
    if !matches!(dtype, vlm_core::DType::F32 | vlm_core::DType::F16 | vlm_core::DType::BF16)
        || !matches!(grad_dtype, vlm_core::DType::F32 | vlm_core::DType::F16 | vlm_core::DType::BF16)
    {
        return Ok(Err(args));
    }
    let t = args.step as f64;
    let s = Step {
        decay: (1.0 - args.lr * args.weight_decay) as f32,
        beta1: args.beta1 as f32,
        beta2: args.beta2 as f32,
        rate: (args.lr / (1.0 - args.beta1.powf(t))) as f32,
        widen: (1.0 / (1.0 - args.beta2.powf(t)).sqrt()) as f32,
        eps: args.eps as f32,
        scale: args.grad_scale as f32,
    };
    let (mut param, mut m, mut v) = (writable(args.param)?, writable(args.exp_avg)?, writable(args.exp_avg_sq)?);
    let mut master = args.master.map(writable).transpose()?;
    with_small!(dtype, P => with_small!(grad_dtype, G => {
        let grad = dense::<G>(&args.grad)?;
        let w = SendPtr(elements_mut::<P>(&mut param)?.as_mut_ptr());
        let wide = master.as_mut().map(|x| elements_mut::<f32>(x)).transpose()?.map(|x| SendPtr(x.as_mut_ptr()));
        let (m, v) = (SendPtr(elements_mut::<f32>(&mut m)?.as_mut_ptr()), SendPtr(elements_mut::<f32>(&mut v)?.as_mut_ptr()));
        parallel_chunks(grad.len(), BLOCK, |range| {
            let (mut scratch, mut values) = ([0.0f32; PIECE], [0.0f32; PIECE]);
            for start in range.clone().step_by(PIECE) {
                let n = PIECE.min(range.end - start);
                // SAFETY: tasks have disjoint ranges of storages that are ours alone and live until all are done.
                let (w, m, v) = unsafe {
                    (
                        std::slice::from_raw_parts_mut(w.get().add(start), n),
                        std::slice::from_raw_parts_mut(m.get().add(start), n),
                        std::slice::from_raw_parts_mut(v.get().add(start), n),
                    )
                };
                let g = G::as_f32(&grad[start..start + n], &mut scratch);
                let values = &mut values[..n];
                // SAFETY: as above.
                let master = wide.map(|p| unsafe { std::slice::from_raw_parts_mut(p.get().add(start), n) });
                match master {
                    Some(master) => {
                        step(master, m, v, g, s);
                        P::narrow(master, w);
                    }
                    None => {
                        P::widen(w, values);
                        step(values, m, v, g, s);
                        P::narrow(values, w);
                    }
                }
            }
        });
    }, _ => ()), _ => ());
    Ok(Ok(AdamWState { param, master, exp_avg: m, exp_avg_sq: v }))
}
