// What needs CUDA's own headers and libtorch_cuda: graphs. A library of its own, loaded after libtorch_cuda.
#include "shim.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/Event.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace {
thread_local std::string last_error;

// A recording and the stream that it was made on.
struct Graph {
  explicit Graph(c10::DeviceIndex device)
      : device(device), before(c10::cuda::getCurrentCUDAStream(device)),
        side(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)) {}

  c10::DeviceIndex device;
  c10::cuda::CUDAStream before, side;
  at::cuda::CUDAGraph graph;
  bool recording = false;
};

// Work already given to one stream comes before what the other is given from now on.
void follow(const c10::cuda::CUDAStream &later, const c10::cuda::CUDAStream &earlier) {
  c10::Event done(c10::DeviceType::CUDA);
  done.record(earlier.unwrap());
  done.block(later.unwrap());
}
} // namespace

void vlm_note(const char *message) { last_error = message; }

extern "C" {

const char *vlm_cuda_last_error() { return last_error.c_str(); }

// Begins a graph: this thread's work goes to a stream of its own, which is where it can be recorded.
int vlm_graph_new(int device, Graph **out) {
  return vlm_guard([&] {
    c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
    auto graph = std::make_unique<Graph>(static_cast<c10::DeviceIndex>(device));
    follow(graph->side, graph->before);
    c10::cuda::setCurrentCUDAStream(graph->side);
    *out = graph.release();
  });
}

// From here on work is recorded, not done. Other threads may go on allocating.
int vlm_graph_record(Graph *g) {
  return vlm_guard([&] {
    c10::cuda::CUDAGuard guard(g->device);
    g->side.synchronize();
    g->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    g->recording = true;
  });
}

// Ends the recording, if there is one, and goes back to the stream from before.
int vlm_graph_finish(Graph *g) {
  return vlm_guard([&] {
    c10::cuda::CUDAGuard guard(g->device);
    auto back = [&] {
      c10::cuda::setCurrentCUDAStream(g->before);
    };
    try {
      if (g->recording) {
        g->recording = false;
        g->graph.capture_end();
      }
    } catch (...) {
      back();
      throw;
    }
    follow(g->before, g->side);
    back();
  });
}

// Does the recorded work, after what this thread's stream has to do.
int vlm_graph_replay(Graph *g) {
  return vlm_guard([&] {
    c10::cuda::CUDAGuard guard(g->device);
    g->graph.replay();
  });
}

void vlm_graph_free(Graph *g) {
  (void)vlm_guard([&] { delete g; });
}

} // extern "C"
