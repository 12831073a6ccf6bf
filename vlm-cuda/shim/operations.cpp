// Operations of libtorch that tch does not have.
#include "shim.h"

#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_rms_norm.h>
#include <ATen/ops/_fused_rms_norm_backward.h>
#include <ATen/ops/add.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>

extern "C" {

// add + mul * x in one pass, rounded once.
int vlm_affine(vlm_tensor x, double mul, double add, vlm_tensor *out) {
  return vlm_guard([&] {
    // A wrapped number does not take part in the choice of the result's type.
    auto number = at::scalar_tensor(add, at::TensorOptions().dtype(at::kDouble));
    number.unsafeGetTensorImpl()->set_wrapped_number(true);
    *out = vlm_own(at::add(number, *x, mul));
  });
}

// The elements that sizes, strides and offset describe, in place. No dispatcher: nothing here tracks views.
int vlm_view(vlm_tensor x, const int64_t *sizes, const int64_t *strides, size_t rank, int64_t offset,
             vlm_tensor *out) {
  return vlm_guard([&] {
    *out = vlm_own(at::native::as_strided_tensorimpl(*x, {sizes, rank}, {strides, rank}, offset));
  });
}

// Rotary embedding of x [b, h, s, d] by the angles of cos and sin [b or 1, s, r / 2], in their type, rounded once.
int vlm_rope(vlm_tensor x, vlm_tensor cos, vlm_tensor sin, bool interleaved, bool inverse, vlm_tensor *out) {
  return vlm_guard([&] {
    const auto half = cos->size(2), d = x->size(3), r = 2 * half;
    const auto type = x->scalar_type();
    const auto wide = type == at::kDouble ? at::kDouble : at::kFloat;
    auto c = cos->unsqueeze(1), s = sin->unsqueeze(1);
    if (wide != c.scalar_type()) {
      c = c.to(wide);
      s = s.to(wide);
    }
    auto part = [&](const at::Tensor &t, int64_t second) {
      return interleaved ? t.slice(3, second, r, 2) : t.slice(3, second * half, second * half + half);
    };
    auto in = x->to(wide);
    auto result = at::empty(x->sizes(), in.options());
    for (int64_t second = 0; second < 2; ++second) {
      auto to = part(result, second);
      at::mul_out(to, part(in, second), c);
      // (a, b) -> (a cos - b sin, b cos + a sin), backwards with the other sign.
      to.addcmul_(part(in, 1 - second), s, (second == 0) != inverse ? -1 : 1);
    }
    if (r < d)
      result.slice(3, r, d).copy_(in.slice(3, r, d));
    *out = vlm_own(result.to(type));
  });
}

// A contiguous copy of the elements that sizes, strides and offset describe.
int vlm_copy_strided(vlm_tensor x, const int64_t *sizes, const int64_t *strides, size_t rank, int64_t offset,
                     vlm_tensor *out) {
  return vlm_guard([&] {
    auto view = at::as_strided(*x, {sizes, rank}, {strides, rank}, offset);
    *out = vlm_own(view.clone(at::MemoryFormat::Contiguous));
  });
}

// Gradients of layer norm over the last dimension. `weight` may be null; `dw` and `db` are written if `affine` is set.
int vlm_layer_norm_backward(vlm_tensor grad, vlm_tensor x, vlm_tensor weight, double eps, bool affine,
                            vlm_tensor *dx, vlm_tensor *dw, vlm_tensor *db) {
  return vlm_guard([&] {
    at::IntArrayRef last = x->sizes().slice(x->dim() - 1);
    auto w = vlm_maybe(weight);
    auto in = *x, g = *grad;
    const auto type = x->scalar_type();
    const bool half = type == at::kHalf || type == at::kBFloat16;
    // The statistics of half floats are floats where the weight is one. The CPU's kernel also sums over the rows in the
    // type of its operands.
    if (half && w)
      w = w->to(at::kFloat);
    if (half && x->is_cpu()) {
      in = in.to(at::kFloat);
      g = g.to(at::kFloat);
    }
    auto bias = w ? std::optional<at::Tensor>(at::zeros_like(*w)) : std::nullopt;
    auto [y, mean, rstd] = at::native_layer_norm(in, last, w, bias, eps);
    y.reset();
    auto [gx, gw, gb] =
        at::native_layer_norm_backward(g, in, last, mean, rstd, w, bias, {true, affine, affine});
    *dx = vlm_own(gx.to(type));
    if (affine) {
      *dw = vlm_own(gw.to(type));
      *db = vlm_own(gb.to(type));
    }
  });
}

// FlashAttention of q, k, v [b, s, h, d], or [rows, h, d] with the boundaries of packed sequences: output and logarithms of
// sums. `before` is how many keys before its own a query sees, -1 for all. The mask is aligned at the last key.
int vlm_flash(vlm_tensor *operands, vlm_tensor bounds, int64_t longest, bool causal, int64_t before, double scale,
              vlm_tensor *out) {
  return vlm_guard([&] {
    const auto &q = *operands[0], &k = *operands[1];
    auto cum = vlm_maybe(bounds);
    auto left = before >= 0 ? std::optional<int64_t>(before) : std::nullopt;
    auto right = causal && left ? std::optional<int64_t>(0) : std::nullopt;
    auto found = at::_flash_attention_forward(q, k, *operands[2], cum, cum, cum ? longest : q.size(1),
                                              cum ? longest : k.size(1), 0.0, causal, false, scale, left, right);
    TORCH_CHECK(!cum || std::get<1>(found).dim() == 2, "packed sequences gave sums of an unknown layout");
    out[0] = vlm_own(std::get<0>(found));
    out[1] = vlm_own(std::get<1>(found));
  });
}

// Its gradients; operands are the gradient of the output, q, k, v and the output.
int vlm_flash_backward(vlm_tensor *operands, vlm_tensor lse, vlm_tensor bounds, int64_t longest, bool causal,
                       int64_t before, double scale, vlm_tensor *out) {
  return vlm_guard([&] {
    const auto &q = *operands[1], &k = *operands[2];
    const auto cum = bounds ? *bounds : at::Tensor();
    auto left = before >= 0 ? std::optional<int64_t>(before) : std::nullopt;
    auto right = causal && left ? std::optional<int64_t>(0) : std::nullopt;
    // Nothing was dropped: the state of the random numbers is not read.
    auto state = at::zeros({2}, q.options().dtype(at::kUInt64));
    auto unused = at::empty({0}, q.options().dtype(at::kUInt64));
    auto [dq, dk, dv] = at::_flash_attention_backward(
        *operands[0], q, k, *operands[3], *operands[4], *lse, cum, cum, bounds ? longest : q.size(1),
        bounds ? longest : k.size(1), 0.0, causal, state, unused, scale, left, right);
    out[0] = vlm_own(dq);
    out[1] = vlm_own(dk);
    out[2] = vlm_own(dv);
  });
}

// One step of AdamW on `n` parameters in place, in as few launches as libtorch can. `tensors` are n weights, n gradients,
// n first and n second moments and n copies of the weights in their own type, where a null means that there is none;
// `steps` counts each one's steps. Weights and moments have one type.
int vlm_adamw(vlm_tensor *tensors, const double *steps, size_t n, double lr, double beta1, double beta2, double eps,
              double weight_decay, double grad_scale) {
  return vlm_guard([&] {
    auto list = [&](size_t which) {
      std::vector<at::Tensor> found;
      for (size_t i = 0; i < n; ++i)
        found.push_back(*tensors[which * n + i]);
      return found;
    };
    auto weights = list(0), grads = list(1), m = list(2), v = list(3);
    std::vector<at::Tensor> wide, narrow, counted, targets, sources;
    for (size_t i = 0; i < n; ++i) {
      const auto type = weights[i].scalar_type();
      if (grads[i].scalar_type() != type) {
        narrow.push_back(grads[i]);
        wide.push_back(at::empty(grads[i].sizes(), grads[i].options().dtype(type)));
        grads[i] = wide.back();
      }
      counted.push_back(at::full({}, steps[i], at::TensorOptions().dtype(at::kFloat).device(weights[i].device())));
      if (tensors[4 * n + i]) {
        targets.push_back(*tensors[4 * n + i]);
        sources.push_back(weights[i]);
      }
    }
    if (!wide.empty())
      at::_foreach_copy_(wide, narrow);
    if (grad_scale != 1.0)
      grads = at::_foreach_mul(grads, grad_scale);
    at::_fused_adamw_(weights, grads, m, v, {}, counted, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
                      /*maximize=*/false);
    if (!targets.empty())
      at::_foreach_copy_(targets, sources);
  });
}

} // extern "C"
