// libtorch's tensors on an NPU, through torch_npu's backend on the device type PrivateUse1.
//
// A library of its own with plain C functions, loaded at run time by vlm-ascend's feature `torch-npu`. It is compiled
// against torch's headers alone: torch_npu, its libraries and Python are found with dlopen, and what is missing becomes
// a text.
//
// Every function that can fail returns a code, 0 for success, and writes a text into the caller's buffer on failure: the
// fact, and where there is one a line "remedy: ...". None throws. Tensors are `at::Tensor *`, as tch has them: results are
// new objects which the caller deletes (tch does when its Tensor is dropped, or vlm_npu_free).
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {
constexpr auto kNpu = c10::DeviceType::PrivateUse1;

enum Code { OK = 0, FAILED = 1, OUT_OF_MEMORY = 2, NO_BACKEND = 3, UNSUPPORTED = 4 };

// A failure of ours, with what can be done about it.
struct Trouble : std::runtime_error {
  Trouble(Code code, const std::string &fact, const std::string &remedy)
      : std::runtime_error(remedy.empty() ? fact : fact + "\nremedy: " + remedy), code(code) {}
  Code code;
};

void tell(const char *text, char *message, size_t room) {
  if (!message || room == 0)
    return;
  const size_t n = std::min(std::strlen(text), room - 1);
  std::memcpy(message, text, n);
  message[n] = 0;
}

template <class F> int guarded(char *message, size_t room, F &&body) noexcept {
  try {
    at::NoGradGuard no_grad;
    body();
    return OK;
  } catch (const Trouble &e) {
    tell(e.what(), message, room);
    return e.code;
  } catch (const c10::OutOfMemoryError &e) {
    tell(e.what_without_backtrace(), message, room);
    return OUT_OF_MEMORY;
  } catch (const c10::NotImplementedError &e) {
    tell(e.what_without_backtrace(), message, room);
    return UNSUPPORTED;
  } catch (const c10::Error &e) {
    tell(e.what_without_backtrace(), message, room);
    return FAILED;
  } catch (const std::exception &e) {
    tell(e.what(), message, room);
    return FAILED;
  } catch (...) {
    tell("an exception of an unknown type", message, room);
    return FAILED;
  }
}

const char *kRemedy = "install CANN (libhccl.so, libascendcl.so and their fellows; source its set_env.sh), the CPU build "
                      "of torch " TORCH_VERSION " and torch-npu " TORCH_VERSION " for it";

void need_backend() {
  if (!c10::impl::hasDeviceGuardImpl(kNpu))
    throw Trouble(NO_BACKEND,
                  "libtorch has no NPU in this process: torch_npu was not loaded (PrivateUse1 has no backend)", kRemedy);
}

// The backend's guard, and the device of this number.
c10::impl::VirtualGuardImpl guard() {
  need_backend();
  return c10::impl::VirtualGuardImpl(kNpu);
}

c10::Device device(int index) {
  const int count = guard().deviceCount();
  if (index < 0 || index >= count)
    throw Trouble(FAILED,
                  "there is no npu:" + std::to_string(index) + ": torch_npu sees " + std::to_string(count) + " devices",
                  "npu-smi info lists them, and ASCEND_RT_VISIBLE_DEVICES chooses among them");
  return c10::Device(kNpu, static_cast<c10::DeviceIndex>(index));
}

const at::Tensor &operand(const void *tensor) {
  if (!tensor)
    throw Trouble(FAILED, "a tensor is null", "");
  const auto &found = *static_cast<const at::Tensor *>(tensor);
  if (!found.defined())
    throw Trouble(FAILED, "a tensor is undefined", "");
  return found;
}

void *own(at::Tensor t) { return new at::Tensor(std::move(t)); }

std::string loader_says() {
  const char *text = dlerror();
  return text ? text : "the loader does not say why";
}

// Guards what is loaded below, which is loaded once and stays.
std::mutex &loading() {
  static auto *made = new std::mutex;
  return *made;
}

// ---- a torch_npu without Python ----

using Init = void (*)(c10::DeviceIndex);
using Finalize = void (*)();
Finalize finalize_library = nullptr;

template <class F> F symbol(void *library, const char *name) {
  F found = nullptr;
  void *address = dlsym(library, name);
  static_assert(sizeof(found) == sizeof(address), "functions are addresses");
  std::memcpy(&found, &address, sizeof(found));
  return found;
}

void load_library(const char *path, int index) {
  std::lock_guard<std::mutex> lock(loading());
  void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    const auto why = loader_says();
    throw Trouble(NO_BACKEND, std::string(path) + " does not load: " + why,
                  why.find("Py") != std::string::npos
                      ? std::string("this torch_npu was built for Python: build one with build_libtorch_npu.py, or load "
                                    "torch_npu through Python")
                      : kRemedy + std::string("; every library that it names has to be found by the loader "
                                              "(LD_LIBRARY_PATH)"));
  }
  // torch_npu::init_npu(c10::DeviceIndex) and torch_npu::finalize_npu().
  auto init = symbol<Init>(library, "_ZN9torch_npu8init_npuEa");
  finalize_library = symbol<Finalize>(library, "_ZN9torch_npu12finalize_npuEv");
  if (!init)
    throw Trouble(NO_BACKEND,
                  std::string(path) + " has no torch_npu::init_npu: it is no torch_npu that was built for C++",
                  "build one with torch_npu's build_libtorch_npu.py, or load torch_npu through Python");
  need_backend();
  init(static_cast<c10::DeviceIndex>(index));
}

// ---- torch_npu in an embedded Python ----

using Object = void;

// The part of Python's C interface that is needed, of whatever Python 3 was loaded.
struct Python {
  int (*IsInitialized)();
  wchar_t *(*DecodeLocale)(const char *, size_t *);
  void (*SetProgramName)(const wchar_t *);
  void (*InitializeEx)(int);
  void *(*SaveThread)();
  int (*Ensure)();
  void (*Release)(int);
  Object *(*DictNew)();
  Object *(*DictGet)(Object *, const char *);
  int (*DictSet)(Object *, const char *, Object *);
  Object *(*String)(const char *);
  const char *(*Utf8)(Object *);
  Object *(*Run)(const char *, int, Object *, Object *);
  void (*Clear)();
  void (*DecRef)(Object *);
};

// Null until Python runs. Never destroyed, as Python is not either.
std::atomic<const Python *> python_that_runs{nullptr};

template <class F> void bind(void *library, const char *name, F &to) {
  to = symbol<F>(library, name);
  if (!to)
    throw Trouble(NO_BACKEND, std::string("this libpython has no ") + name,
                  "use Python 3.10 to 3.14, those that torch " TORCH_VERSION " is made for");
}

// Runs `body` in a namespace of its own; what it leaves in `said` is returned. It stops with what it raises.
std::string run(const char *body) {
  const Python *python = python_that_runs;
  if (!python)
    throw Trouble(UNSUPPORTED, "Python was not loaded", "load torch_npu through Python");
  static const char *around = R"(
class Stop(Exception):
    pass
said = ''
try:
    exec(compile(body, 'vlm', 'exec'), globals())
    outcome = 'ok'
except Stop as e:
    outcome, said = 'stop', '\nremedy: '.join(e.args)
except BaseException as e:
    outcome, said = 'raised', type(e).__name__ + ': ' + str(e)
said = str(said).encode('utf-8', 'replace').decode().replace('\0', ' ')
)";
  struct Gil {
    const Python *python;
    int state = python->Ensure();
    ~Gil() { python->Release(state); }
  } gil{python};
  Object *scope = python->DictNew();
  Object *text = python->String(body);
  python->DictSet(scope, "body", text);
  python->DecRef(text);
  constexpr int file_input = 257;
  Object *result = python->Run(around, file_input, scope, scope);
  std::string outcome, said;
  if (result) {
    auto get = [&](const char *name) {
      Object *found = python->DictGet(scope, name);
      const char *utf8 = found ? python->Utf8(found) : nullptr;
      return std::string(utf8 ? utf8 : "");
    };
    outcome = get("outcome");
    said = get("said");
    python->DecRef(result);
  } else {
    python->Clear();
  }
  python->DecRef(scope);
  if (outcome == "ok")
    return said;
  if (outcome == "stop")
    throw Trouble(NO_BACKEND, said, "");
  throw Trouble(FAILED, "Python raised " + (said.empty() ? std::string("an error that it does not name") : said), "");
}

// `libraries` has one path or name on each line; the first that loads is it.
void start_python(const char *libraries, const char *program) {
  std::string problems;
  void *library = nullptr;
  std::istringstream lines(libraries);
  for (std::string line; !library && std::getline(lines, line);) {
    if (line.empty())
      continue;
    // Global: the modules that Python loads look for its functions.
    library = dlopen(line.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library)
      problems += (problems.empty() ? "" : "; ") + loader_says();
  }
  if (!library)
    throw Trouble(NO_BACKEND,
                  "libpython does not load: " + (problems.empty() ? std::string("no name was given") : problems),
                  "install Python's shared library (Debian: apt-get install libpython3-dev), or set VLM_NPU_PYTHON to a "
                  "Python that was built with --enable-shared");
  Python found;
  bind(library, "Py_IsInitialized", found.IsInitialized);
  bind(library, "Py_DecodeLocale", found.DecodeLocale);
  bind(library, "Py_SetProgramName", found.SetProgramName);
  bind(library, "Py_InitializeEx", found.InitializeEx);
  bind(library, "PyEval_SaveThread", found.SaveThread);
  bind(library, "PyGILState_Ensure", found.Ensure);
  bind(library, "PyGILState_Release", found.Release);
  bind(library, "PyDict_New", found.DictNew);
  bind(library, "PyDict_GetItemString", found.DictGet);
  bind(library, "PyDict_SetItemString", found.DictSet);
  bind(library, "PyUnicode_FromString", found.String);
  bind(library, "PyUnicode_AsUTF8", found.Utf8);
  bind(library, "PyRun_String", found.Run);
  bind(library, "PyErr_Clear", found.Clear);
  bind(library, "Py_DecRef", found.DecRef);
  if (!found.IsInitialized()) {
    if (program && *program) {
      // From the program's place Python finds its modules, and those of a virtual environment. The name has to stay.
      if (wchar_t *wide = found.DecodeLocale(program, nullptr))
        found.SetProgramName(wide);
    }
    found.InitializeEx(0);
    // torch_npu takes the lock from any thread that first uses a device: nobody may keep it.
    found.SaveThread();
  }
  python_that_runs = new Python(found);
}

// Before torch is imported: a second libtorch, or one of another version, would end the process and not in an error.
const char *kImport = R"(
import ctypes, importlib.util, os, sys

def folder(name):
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    return places[0] if places else None

torch_folder = folder('torch')
if not torch_folder:
    raise Stop('Python has no torch (' + sys.executable + ')', REMEDY)
release = {}
with open(os.path.join(torch_folder, 'version.py')) as f:
    exec(f.read(), release)
version = release['__version__']
if version.split('+')[0] != VERSION:
    raise Stop('the torch of ' + sys.executable + ' is ' + version + ', expected ' + VERSION, REMEDY)
theirs = os.path.join(torch_folder, 'lib', 'libtorch_cpu.so')
if not (os.path.exists(theirs) and os.path.samefile(LOADED, theirs)):
    raise Stop('this process has libtorch from ' + LOADED + ', Python would use that of ' + torch_folder,
               'put ' + os.path.dirname(theirs) + ' first in LD_LIBRARY_PATH, or build with '
               'cargo xtask setup libtorch --from-python ' + sys.executable)
npu_folder = folder('torch_npu')
if not npu_folder:
    raise Stop('Python has no torch_npu (' + sys.executable + ')', REMEDY)
if os.path.exists(os.path.join(npu_folder, 'lib', 'libtorch_npu.so')):
    for name in ('libhccl.so', 'libascendcl.so'):
        try:
            ctypes.CDLL(name)
        except OSError as e:
            raise Stop('torch_npu needs CANN: ' + str(e),
                       'install the CANN that this torch_npu names and source its set_env.sh before the program starts')
    if os.path.exists(os.path.join(torch_folder, 'lib', 'libtorch_cuda.so')):
        raise Stop('torch_npu does not work beside the CUDA build of torch (' + torch_folder + ')',
                   'install the CPU build, torch ' + VERSION + '+cpu, and set up libtorch from it')
autoload = os.environ.get('TORCH_DEVICE_BACKEND_AUTOLOAD')
os.environ['TORCH_DEVICE_BACKEND_AUTOLOAD'] = '0'
try:
    import torch
    import torch_npu
except BaseException as e:
    missing = 'cannot open shared object file' in str(e)
    raise Stop('torch_npu cannot be imported: ' + type(e).__name__ + ': ' + str(e),
               'source the set_env.sh of CANN before the program starts: its libraries are found by LD_LIBRARY_PATH'
               if missing else 'look whether ' + sys.executable + ' -c "import torch_npu" works')
finally:
    if autoload is None:
        os.environ.pop('TORCH_DEVICE_BACKEND_AUTOLOAD', None)
    else:
        os.environ['TORCH_DEVICE_BACKEND_AUTOLOAD'] = autoload
said = getattr(torch_npu, '__version__', 'of an unknown version')
)";

std::string quoted(const std::string &text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\')
      out += '\\';
    out += c;
  }
  return out + "'";
}

// The file that libtorch was loaded from.
std::string libtorch() {
  Dl_info info;
  return dladdr(reinterpret_cast<void *>(&aoti_torch_abi_version), &info) && info.dli_fname ? info.dli_fname : "";
}

void load_python(const char *libraries, const char *program) {
  std::lock_guard<std::mutex> lock(loading());
  if (!python_that_runs)
    start_python(libraries, program);
  const auto facts = "VERSION = '" TORCH_VERSION "'\nLOADED = " + quoted(libtorch()) + "\nREMEDY = " + quoted(kRemedy) +
                     "\n";
  run((facts + kImport).c_str());
  need_backend();
}

c10::DeviceAllocator *allocator() {
  return dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(kNpu));
}
} // namespace

#define VLM_API extern "C" __attribute__((visibility("default")))

// The version of these functions.
VLM_API int vlm_npu_interface() { return 1; }

// The libtorch that this was compiled for and the one that runs: numbers whose bytes are major, minor and patch version.
VLM_API void vlm_npu_versions(uint64_t *made_for, uint64_t *runs) {
  *made_for = TORCH_ABI_VERSION;
  *runs = aoti_torch_abi_version();
}

// Loads torch_npu through Python: `libraries` are paths or names of libpython, one on each line, `program` is the
// interpreter whose modules are used.
VLM_API int vlm_npu_load_python(const char *libraries, const char *program, char *message, size_t room) {
  return guarded(message, room, [&] { load_python(libraries, program); });
}

// Loads a torch_npu that was built without Python and starts a device.
VLM_API int vlm_npu_load_library(const char *path, int index, char *message, size_t room) {
  return guarded(message, room, [&] { load_library(path, index); });
}

// Lets torch_npu give the devices back, before the process ends.
VLM_API int vlm_npu_finish(char *message, size_t room) {
  return guarded(message, room, [&] {
    std::lock_guard<std::mutex> lock(loading());
    if (finalize_library)
      finalize_library();
    else if (python_that_runs)
      run("import atexit\natexit._run_exitfuncs()\n");
  });
}

VLM_API int vlm_npu_device_count(int *out, char *message, size_t room) {
  return guarded(message, room, [&] { *out = guard().deviceCount(); });
}

VLM_API int vlm_npu_set_device(int index, char *message, size_t room) {
  return guarded(message, room, [&] { guard().setDevice(device(index)); });
}

// Waits for all streams of a device.
VLM_API int vlm_npu_synchronize(int index, char *message, size_t room) {
  return guarded(message, room, [&] { guard().synchronizeDevice(device(index).index()); });
}

// The tensor on a device; one that is there already is only shared.
VLM_API int vlm_npu_to_device(const void *tensor, int index, void **out, char *message, size_t room) {
  return guarded(message, room, [&] { *out = own(operand(tensor).to(device(index))); });
}

VLM_API int vlm_npu_to_cpu(const void *tensor, void **out, char *message, size_t room) {
  return guarded(message, room, [&] { *out = own(operand(tensor).to(c10::Device(c10::DeviceType::CPU))); });
}

// Copies elements into a tensor that is there, on whatever device.
VLM_API int vlm_npu_copy(void *to, const void *from, char *message, size_t room) {
  return guarded(message, room, [&] {
    at::Tensor target = operand(to);
    target.copy_(operand(from));
  });
}

// A tensor whose elements are not set; `dtype` is c10::ScalarType's number, which is that of tch's Kind.
VLM_API int vlm_npu_empty(const int64_t *sizes, size_t rank, int dtype, int index, void **out, char *message,
                          size_t room) {
  return guarded(message, room, [&] {
    if (dtype < 0 || dtype >= static_cast<int>(c10::ScalarType::Undefined))
      throw Trouble(FAILED, "there is no element type " + std::to_string(dtype), "");
    const auto options = at::TensorOptions().dtype(static_cast<c10::ScalarType>(dtype)).device(device(index));
    *out = own(at::empty(at::IntArrayRef(sizes, rank), options));
  });
}

// The number of the NPU that a tensor is on, -1 if it is on none.
VLM_API int vlm_npu_device_of(const void *tensor, int *out, char *message, size_t room) {
  return guarded(message, room, [&] {
    const auto place = operand(tensor).device();
    *out = place.type() == kNpu ? place.index() : -1;
  });
}

VLM_API void vlm_npu_free(void *tensor) { delete static_cast<at::Tensor *>(tensor); }

// What the caching allocator holds: in use, reserved, most in use, requests, requests to the driver.
VLM_API int vlm_npu_memory_stats(int index, uint64_t out[5], char *message, size_t room) {
  return guarded(message, room, [&] {
    const auto place = device(index);
    if (auto *found = allocator()) {
      const auto stats = found->getDeviceStats(place.index());
      constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
      out[0] = stats.allocated_bytes[all].current;
      out[1] = stats.reserved_bytes[all].current;
      out[2] = stats.allocated_bytes[all].peak;
      out[3] = stats.allocation[all].allocated;
      out[4] = stats.segment[all].allocated;
      return;
    }
    // torch_npu's allocator has no interface of torch's: Python's side of it tells.
    const auto said = run(("import torch_npu\ns = torch_npu.npu.memory_stats(" + std::to_string(index) + R"()
said = ' '.join(str(int(s.get(name, 0))) for name in ('allocated_bytes.all.current', 'reserved_bytes.all.current',
    'allocated_bytes.all.peak', 'allocation.all.allocated', 'segment.all.allocated'))
)").c_str());
    std::istringstream numbers(said);
    for (int i = 0; i < 5; ++i)
      numbers >> out[i];
  });
}

// Gives unused memory of all devices back to the driver.
VLM_API int vlm_npu_empty_cache(char *message, size_t room) {
  return guarded(message, room, [&] {
    need_backend();
    if (auto *found = allocator())
      found->emptyCache();
    else
      run("import torch_npu\ntorch_npu.npu.empty_cache()\n");
  });
}
