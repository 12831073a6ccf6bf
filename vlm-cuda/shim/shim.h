// What the C++ side promises to the Rust side: plain C functions that never throw.
//
// A function that can fail returns a code, 0 for success; the message of the last failure in this thread is
// vlm_last_error(). Tensors are `torch::Tensor *`, as tch has them: results are new objects that the caller deletes
// (tch does when its Tensor is dropped). Pointers to operands may be null where the text says so.
#pragma once
#include <torch/torch.h>

#include <string>

extern "C" typedef torch::Tensor *vlm_tensor;

enum vlm_code {
  VLM_OK = 0,
  VLM_FAILED = 1,
  VLM_OUT_OF_MEMORY = 2,
};

// Keeps the message for vlm_last_error().
void vlm_note(const char *message);

// Runs `body`; exceptions become codes.
template <class F> int vlm_guard(F &&body) noexcept {
  try {
    // No graph is ever recorded here: the only autograd is vlm-core's.
    at::NoGradGuard no_grad;
    body();
    return VLM_OK;
  } catch (const c10::OutOfMemoryError &e) {
    vlm_note(e.what_without_backtrace());
    return VLM_OUT_OF_MEMORY;
  } catch (const c10::Error &e) {
    vlm_note(e.what_without_backtrace());
    return VLM_FAILED;
  } catch (const std::exception &e) {
    vlm_note(e.what());
    return VLM_FAILED;
  } catch (...) {
    vlm_note("an exception of an unknown type");
    return VLM_FAILED;
  }
}

inline vlm_tensor vlm_own(at::Tensor t) { return new torch::Tensor(std::move(t)); }

inline std::optional<at::Tensor> vlm_maybe(vlm_tensor t) {
  return t ? std::optional<at::Tensor>(*t) : std::nullopt;
}
