// The one door between C# and libtorch: a C ABI over ATen's dispatcher. It is not a wrapper of operators: it never names one,
// so it need not change when C# starts to use another. Every function returns 0 or, after an error, 1 with the text in
// qbb_error(). Tensors cross as owned pointers (at::Tensor*), to be released with qbb_tensor_free. The same source compiles
// against libtorch 1.13 and 2.x.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 9)
#include <c10/core/CachingDeviceAllocator.h>
#define QBB_DEVICE_ALLOCATOR 1
#endif

#include <cstdint>
#include <string>
#include <vector>

namespace {

thread_local std::string last_error;

template <typename F>
int guarded(F&& body) noexcept {
    try {
        body();
        return 0;
    } catch (const c10::Error& e) {
        last_error = e.what_without_backtrace();
    } catch (const std::exception& e) {
        last_error = e.what();
    } catch (...) {
        last_error = "unknown native error";
    }
    return 1;
}

at::Tensor& tensor(void* p) { return *static_cast<at::Tensor*>(p); }
void* own(at::Tensor t) { return new at::Tensor(std::move(t)); }

// glibc gives every block of more than 128 KB back to the kernel when it is freed, so each tensor would be faulted in page by
// page again: a third of the time of a small model. One arena keeps up to half a gigabyte for the next operator instead.
__attribute__((constructor)) void keep_freed_memory() {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

// Tags of qbb_value; BoxedValue in C# mirrors them.
enum Tag : int32_t {
    None = 0, TensorTag = 1, Int = 2, Double = 3, Bool = 4, String = 5, IntList = 6, DoubleList = 7, TensorList = 8,
    DeviceTag = 9, GeneratorTag = 10, Default = 11, BoolList = 12,
};

}  // namespace

extern "C" {

struct qbb_value {
    int32_t tag;
    int32_t length;  // elements of a list, bytes of a string, index of a device
    union {
        int64_t i;
        double d;
        void* p;
    };
};

typedef int (*qbb_backward)(void* state, void** gradients_in, int32_t in_count, void** gradients_out, int32_t out_count,
                            const char** error);
typedef void (*qbb_release)(void* state);

}  // extern "C"

namespace {

// The schema decides the type where the tagged value leaves a choice (an int where a float is meant, a list of optionals).
at::IValue to_ivalue(const qbb_value& v, const c10::Argument& argument) {
    const auto& type = argument.type();
    const auto kind = type->kind() == c10::TypeKind::OptionalType
        ? type->castRaw<c10::OptionalType>()->getElementType()->kind() : type->kind();
    switch (v.tag) {
        case None: return at::IValue();
        case TensorTag: return v.p ? at::IValue(tensor(v.p)) : at::IValue(at::Tensor());
        case Int: return kind == c10::TypeKind::FloatType ? at::IValue(static_cast<double>(v.i)) : at::IValue(v.i);
        case Double: return at::IValue(v.d);
        case Bool: return at::IValue(v.i != 0);
        case String: return at::IValue(std::string(static_cast<const char*>(v.p), v.length));
        case IntList: {
            auto* data = static_cast<int64_t*>(v.p);
            return at::IValue(c10::List<int64_t>(at::IntArrayRef(data, v.length)));
        }
        case DoubleList: {
            auto* data = static_cast<double*>(v.p);
            return at::IValue(c10::List<double>(at::ArrayRef<double>(data, v.length)));
        }
        case BoolList: {
            auto* data = static_cast<int64_t*>(v.p);
            c10::List<bool> list;
            for (int32_t k = 0; k < v.length; k++) list.push_back(data[k] != 0);
            return at::IValue(list);
        }
        case TensorList: {
            auto** data = static_cast<void**>(v.p);
            const auto element = type->kind() == c10::TypeKind::ListType
                ? type->castRaw<c10::ListType>()->getElementType()->kind() : c10::TypeKind::TensorType;
            if (element == c10::TypeKind::OptionalType) {
                c10::List<c10::optional<at::Tensor>> list;
                for (int32_t k = 0; k < v.length; k++)
                    list.push_back(data[k] ? c10::optional<at::Tensor>(tensor(data[k])) : c10::nullopt);
                return at::IValue(list);
            }
            c10::List<at::Tensor> list;
            for (int32_t k = 0; k < v.length; k++) list.push_back(tensor(data[k]));
            return at::IValue(list);
        }
        case DeviceTag:
            return at::IValue(c10::Device(static_cast<c10::DeviceType>(v.i), static_cast<c10::DeviceIndex>(v.length)));
        case GeneratorTag: return at::IValue(*static_cast<at::Generator*>(v.p));
        default: TORCH_CHECK(false, "argument ", argument.name(), " has the unknown tag ", v.tag);
    }
}

qbb_value from_ivalue(const at::IValue& v) {
    qbb_value r{};
    if (v.isTensor()) {
        r.tag = TensorTag;
        r.p = v.toTensor().defined() ? own(v.toTensor()) : nullptr;
    } else if (v.isInt()) {
        r.tag = Int;
        r.i = v.toInt();
    } else if (v.isDouble()) {
        r.tag = Double;
        r.d = v.toDouble();
    } else if (v.isBool()) {
        r.tag = Bool;
        r.i = v.toBool();
    } else if (v.isTensorList()) {
        const auto list = v.toTensorVector();
        auto** data = new void*[list.size()];
        for (size_t k = 0; k < list.size(); k++) data[k] = own(list[k]);
        r.tag = TensorList;
        r.length = static_cast<int32_t>(list.size());
        r.p = data;
    } else {
        TORCH_CHECK(v.isNone(), "a result of kind ", v.tagKind(), " is not supported");
    }
    return r;
}

// A step of the backward graph whose work is done in C#.
struct ManagedNode final : torch::autograd::Node {
    qbb_backward backward = nullptr;
    qbb_release release = nullptr;
    void* state = nullptr;
    std::vector<bool> wanted;

    ~ManagedNode() override { release(state); }
    std::string name() const override { return "ManagedNode"; }

    torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
        std::vector<void*> in, out(wanted.size(), nullptr);
        for (auto& g : gradients) in.push_back(g.defined() ? own(g) : nullptr);
        const char* error = nullptr;
        const int failed = backward(state, in.data(), static_cast<int32_t>(in.size()), out.data(),
                                    static_cast<int32_t>(out.size()), &error);
        torch::autograd::variable_list result(wanted.size());
        for (size_t k = 0; k < out.size(); k++) {
            if (!out[k]) continue;
            result[k] = tensor(out[k]);
            delete static_cast<at::Tensor*>(out[k]);
        }
        if (failed) {
            std::string message = error ? error : "a backward function failed";
            free(const_cast<char*>(error));
            throw std::runtime_error(message);
        }
        return result;
    }
};

}  // namespace

extern "C" {

const char* qbb_error() { return last_error.c_str(); }
int32_t qbb_value_size() { return sizeof(qbb_value); }
const char* qbb_version() { return TORCH_VERSION; }

// Finds an operator of the dispatcher; the handle lives as long as the process.
int qbb_find(const char* name, const char* overload, void** handle) {
    return guarded([&] {
        auto found = c10::Dispatcher::singleton().findSchema({name, overload});
        TORCH_CHECK(found.has_value(), "this libtorch (", TORCH_VERSION, ") has no operator ", name, ".", overload);
        *handle = new c10::OperatorHandle(*found);
    });
}

// Calls an operator. Arguments are in the schema's order; those left out at the end or tagged Default take the schema's default.
int qbb_call(void* handle, const qbb_value* arguments, int32_t count, qbb_value* results, int32_t capacity, int32_t* result_count) {
    return guarded([&] {
        auto& op = *static_cast<c10::OperatorHandle*>(handle);
        const auto& schema = op.schema().arguments();
        TORCH_CHECK(count <= static_cast<int32_t>(schema.size()), op.schema().name(), " takes ", schema.size(), " arguments, not ", count);
        torch::jit::Stack stack;
        stack.reserve(schema.size());
        for (int32_t k = 0; k < static_cast<int32_t>(schema.size()); k++) {
            if (k < count && arguments[k].tag != Default) {
                stack.push_back(to_ivalue(arguments[k], schema[k]));
            } else {
                TORCH_CHECK(schema[k].default_value().has_value(), "argument ", schema[k].name(), " of ", op.schema().name(), " is missing");
                stack.push_back(*schema[k].default_value());
            }
        }
        op.callBoxed(stack);
        TORCH_CHECK(static_cast<int32_t>(stack.size()) <= capacity, op.schema().name(), " returned ", stack.size(), " values");
        for (size_t k = 0; k < stack.size(); k++) results[k] = from_ivalue(stack[k]);
        *result_count = static_cast<int32_t>(stack.size());
    });
}

void qbb_list_free(void* list) { delete[] static_cast<void**>(list); }
void* qbb_tensor_alias(void* t) { return own(tensor(t)); }
void qbb_tensor_free(void* t) { delete static_cast<at::Tensor*>(t); }
int64_t qbb_tensor_dim(void* t) { return tensor(t).dim(); }
int64_t qbb_tensor_numel(void* t) { return tensor(t).numel(); }
int32_t qbb_tensor_dtype(void* t) { return static_cast<int32_t>(tensor(t).scalar_type()); }
int32_t qbb_tensor_device(void* t, int32_t* index) {
    const auto device = tensor(t).device();
    *index = device.index();
    return static_cast<int32_t>(device.type());
}
void qbb_tensor_sizes(void* t, int64_t* sizes, int64_t* strides) {
    for (int64_t k = 0; k < tensor(t).dim(); k++) {
        sizes[k] = tensor(t).size(k);
        strides[k] = tensor(t).stride(k);
    }
}
int qbb_tensor_data(void* t, void** data) {
    return guarded([&] { *data = tensor(t).data_ptr(); });
}
int32_t qbb_tensor_is_contiguous(void* t) { return tensor(t).is_contiguous(); }
int32_t qbb_tensor_requires_grad(void* t) { return tensor(t).requires_grad(); }
int qbb_tensor_set_requires_grad(void* t, int32_t value) {
    return guarded([&] { tensor(t).set_requires_grad(value != 0); });
}
int qbb_tensor_grad(void* t, void** grad) {
    return guarded([&] {
        const auto& g = tensor(t).grad();
        *grad = g.defined() ? own(g) : nullptr;
    });
}
int qbb_tensor_set_grad(void* t, void* grad) {
    return guarded([&] { tensor(t).mutable_grad() = grad ? tensor(grad) : at::Tensor(); });
}

// A view of memory that C# owns; release(state) is called when the last tensor over it is gone.
int qbb_from_blob(void* data, const int64_t* sizes, int32_t dim, int32_t dtype, void* state, qbb_release release, void** result) {
    return guarded([&] {
        auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype));
        *result = own(at::from_blob(data, at::IntArrayRef(sizes, dim), [state, release](void*) { release(state); }, options));
    });
}

int32_t qbb_grad_enabled() { return at::GradMode::is_enabled(); }
void qbb_set_grad_enabled(int32_t enabled) { at::GradMode::set_enabled(enabled != 0); }

int qbb_backward_run(void* root, void* gradient, int32_t retain_graph) {
    return guarded([&] {
        torch::autograd::variable_list gradients;
        if (gradient) gradients.push_back(tensor(gradient));
        torch::autograd::backward({tensor(root)}, gradients, retain_graph != 0, false);
    });
}

int qbb_grad(void* root, void* gradient, void** inputs, int32_t count, void** results, int32_t retain_graph, int32_t create_graph) {
    return guarded([&] {
        torch::autograd::variable_list wrt, gradients;
        for (int32_t k = 0; k < count; k++) wrt.push_back(tensor(inputs[k]));
        if (gradient) gradients.push_back(tensor(gradient));
        auto grads = torch::autograd::grad({tensor(root)}, wrt, gradients, retain_graph != 0, create_graph != 0, true);
        for (int32_t k = 0; k < count; k++) results[k] = grads[k].defined() ? own(grads[k]) : nullptr;
    });
}

// Joins outputs, calculated by C# without gradients, to the graph of inputs through a node whose backward is C#'s.
// When no input needs a gradient nothing is recorded and state is released at once.
int qbb_record(void** inputs, int32_t in_count, void** outputs, int32_t out_count, void* state, qbb_backward backward, qbb_release release) {
    bool taken = false;
    const int failed = guarded([&] {
        torch::autograd::variable_list in;
        for (int32_t k = 0; k < in_count; k++) in.push_back(tensor(inputs[k]));
        if (!at::GradMode::is_enabled() || !torch::autograd::any_variable_requires_grad(in)) return;
        std::shared_ptr<ManagedNode> node(new ManagedNode(), torch::autograd::deleteNode);
        node->backward = backward;
        node->release = release;
        node->state = state;
        taken = true;
        for (auto& t : in) node->wanted.push_back(t.requires_grad());
        node->set_next_edges(torch::autograd::collect_next_edges(in));
        for (int32_t k = 0; k < out_count; k++) torch::autograd::set_history(tensor(outputs[k]), node);
    });
    if (!taken) release(state);
    return failed;
}

int qbb_generator_new(int32_t device_type, int32_t index, uint64_t seed, void** result) {
    return guarded([&] {
        auto device = c10::Device(static_cast<c10::DeviceType>(device_type), static_cast<c10::DeviceIndex>(index));
        auto generator = at::globalContext().defaultGenerator(device).clone();
        generator.set_current_seed(seed);
        *result = new at::Generator(generator);
    });
}
void qbb_generator_free(void* g) { delete static_cast<at::Generator*>(g); }

int32_t qbb_get_num_threads() { return at::get_num_threads(); }
// libtorch's own loops and, where OpenBLAS does the matrix products, its threads too: libtorch does not tell it.
void qbb_set_num_threads(int32_t count) {
    at::set_num_threads(count);
    if (auto* set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(count);
}

int32_t qbb_cuda_device_count() {
    return at::hasCUDA() ? static_cast<int32_t>(c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).deviceCount()) : 0;
}
int qbb_cuda_synchronize(int32_t index) {
    return guarded([&] { at::detail::getCUDAHooks().deviceSynchronize(static_cast<c10::DeviceIndex>(index)); });
}
// The cudaStream_t on which libtorch queues work of the device.
int qbb_cuda_stream(int32_t index, void** stream) {
    return guarded([&] {
#if TORCH_VERSION_MAJOR >= 2
        c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
        *stream = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(device).native_handle();
#else
        (void)index;
        (void)stream;
        TORCH_CHECK(false, "streams need libtorch 2 with CUDA; this is ", TORCH_VERSION);
#endif
    });
}

// Takes a stream other than the legacy default one from libtorch's pool; the id stays good as long as the process.
int qbb_cuda_pool_stream(int32_t index, int64_t* id) {
    return guarded([&] {
        c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
        *id = c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStreamFromGlobalPool(device).id();
    });
}
// Lets libtorch queue this thread's work of the device on a stream; gives the id of the one before.
int qbb_cuda_exchange_stream(int32_t index, int64_t id, int64_t* previous) {
    return guarded([&] {
        c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
        c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
        *previous = guard.exchangeStream(c10::Stream(c10::Stream::UNSAFE, device, id)).id();
    });
}
// Bytes that libtorch's caching allocator has handed out on the device: now, at most, and at most held from the driver.
int qbb_cuda_memory(int32_t index, int64_t* allocated, int64_t* peak, int64_t* peak_reserved) {
    return guarded([&] {
#ifdef QBB_DEVICE_ALLOCATOR
        const auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(index));
        *allocated = stats.allocated_bytes[0].current;
        *peak = stats.allocated_bytes[0].peak;
        *peak_reserved = stats.reserved_bytes[0].peak;
#else
        (void)index;
        (void)allocated;
        (void)peak;
        (void)peak_reserved;
        TORCH_CHECK(false, "statistics of the caching allocator need libtorch 2.9; this is ", TORCH_VERSION);
#endif
    });
}
// Lets the peaks begin again at what is allocated now, and gives unused memory back to the driver first.
int qbb_cuda_reset_peak(int32_t index) {
    return guarded([&] {
#ifdef QBB_DEVICE_ALLOCATOR
        auto* allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
        allocator->emptyCache();
        allocator->resetPeakStats(static_cast<c10::DeviceIndex>(index));
#else
        (void)index;
        TORCH_CHECK(false, "statistics of the caching allocator need libtorch 2.9; this is ", TORCH_VERSION);
#endif
    });
}

}  // extern "C"
