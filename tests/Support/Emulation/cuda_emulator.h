// Runs CUDA kernels on the CPU, slowly and exactly, so that their logic is tested where no GPU is: every thread is a fibre, and fibres
// change places at synchronisation points only. A fibre is entered by swapcontext and left and resumed by _setjmp and _longjmp, which make
// no system call. A warp's lanes must meet at the same point, as on the device: else the process ends with
// a message. With EMULATED_BACKWARDS fibres take their turns from the last to the first: a result that differs then depends on the order of
// threads. Only what the project's kernels use is there.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#define EMULATED 1
#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __restrict__

namespace emulator {

struct dim3 {
    int x = 1, y = 1, z = 1;
};

struct Copy {
    void* to;
    const void* from;
};

struct Fibre {
    ucontext_t start;
    jmp_buf resume;
    bool started = false;
    std::unique_ptr<char[]> stack;
    dim3 thread;
    int turn = 0;   // how many exchanges it began: a warp's lanes take two sets of slots in turns, so that they meet once an exchange
    int point = 0;  // where it waits: 0 it has ended, > 0 with its warp, -1 with its block, -2 with its cluster
    const char* what = "";
    std::vector<std::vector<Copy>> copies;  // asynchronous ones, the oldest group first; the last group is open
};

struct Block {
    dim3 index;
    std::vector<Fibre> fibres;
    std::vector<std::uint64_t> slots;  // two times SLOTS for each thread
    std::vector<unsigned char> memory;
    unsigned char* shared;
};

#ifdef CLUSTER
constexpr int TOGETHER = CLUSTER;
#else
constexpr int TOGETHER = 1;
#endif
constexpr int STACK = 256 << 10, SLOTS = 8, ALIGNMENT = 128, MARGIN = 256;
constexpr unsigned char UNTOUCHED = 0xcd;
// Not inline: a process that has loaded several kernels would share them.
static Block blocks[TOGETHER];
static Block* block;
static ucontext_t starter;
static jmp_buf scheduler;
static int current;
static dim3 block_size, grid_size;
static void (*body)(void**);
static void** body_arguments;

inline Fibre& me() { return block->fibres[current]; }

inline void wait(const char* what, int point) {
    auto& fibre = me();
    fibre.what = what;
    fibre.point = point;
    if (_setjmp(fibre.resume) == 0) _longjmp(scheduler, 1);
}

inline void entry() {
    body(body_arguments);
    me().point = 0;
    if (_setjmp(me().resume) == 0) _longjmp(scheduler, 1);
}

inline void step(int fibre) {
    current = fibre;
    if (_setjmp(scheduler) != 0) return;
    if (me().started) _longjmp(me().resume, 1);
    me().started = true;
    swapcontext(&starter, &me().start);
}

inline void stop(const char* who, int first, int second) {
    auto& fibres = block->fibres;
    std::fprintf(stderr, "%s %d and %d part: %s (%d) and %s (%d)\n", who, first, second, fibres[first].what, fibres[first].point,
        fibres[second].what, fibres[second].point);
    std::abort();
}

// Runs a warp until all its lanes wait for the block or the cluster, or have ended.
inline void run_warp(int first, int last) {
    auto& fibres = block->fibres;
    for (;;) {
#ifdef EMULATED_BACKWARDS
        for (int k = last - 1; k >= first; k--) step(k);
#else
        for (int k = first; k < last; k++) step(k);
#endif
        for (int k = first; k < last; k++)
            if (std::strcmp(fibres[k].what, fibres[first].what) != 0 || fibres[k].point != fibres[first].point) stop("lanes", first, k);
        if (fibres[first].point <= 0) return;
    }
}

inline void start_block(Block& started, dim3 index, int threads, int shared) {
    started.index = index;
    if (static_cast<int>(started.fibres.size()) < threads) started.fibres.resize(threads);
    started.slots.assign(static_cast<std::size_t>(threads) * 2 * SLOTS, 0);
    // What a block finds in shared memory is not defined: numbers that spoil a sum in every type.
    started.memory.assign(ALIGNMENT + shared + MARGIN, 0xff);
    started.shared = started.memory.data() + (ALIGNMENT - reinterpret_cast<std::uintptr_t>(started.memory.data()) % ALIGNMENT);
    std::fill(started.shared + shared, started.memory.data() + started.memory.size(), UNTOUCHED);
    for (int k = 0; k < threads; k++) {
        auto& fibre = started.fibres[k];
        getcontext(&fibre.start);
        fibre.started = false;
        if (!fibre.stack) fibre.stack.reset(new char[STACK]);
        fibre.start.uc_stack.ss_sp = fibre.stack.get();
        fibre.start.uc_stack.ss_size = STACK;
        fibre.start.uc_link = nullptr;
        fibre.thread = {k % block_size.x, k / block_size.x % block_size.y, k / (block_size.x * block_size.y)};
        fibre.point = 1;
        fibre.turn = 0;
        fibre.what = "";
        fibre.copies.assign(1, {});
        makecontext(&fibre.start, entry, 0);
    }
}

// Runs every warp of the present block to its next barrier; false where all have ended, or wait for the cluster.
inline bool advance_block(int threads) {
    auto& fibres = block->fibres;
    const bool held = std::any_of(fibres.begin(), fibres.begin() + threads, [](const Fibre& fibre) { return fibre.point == -2; });
    bool moved = false;
    for (int turn = 0; turn < threads; turn += 32) {
#ifdef EMULATED_BACKWARDS
        const int first = (threads - 1) / 32 * 32 - turn;
#else
        const int first = turn;
#endif
        if (fibres[first].point == 0 || fibres[first].point == -2) continue;
        if (held) stop("warps at", first, static_cast<int>(std::find_if(fibres.begin(), fibres.end(), [](const Fibre& fibre) { return fibre.point == -2; }) - fibres.begin()));
        run_warp(first, std::min(first + 32, threads));
        moved = true;
    }
    return moved;
}

// The blocks of a cluster take turns.
inline void run_blocks(int threads) {
    for (bool more = true; more;) {
        more = false;
        for (auto& turn : blocks) {
            block = &turn;
            more |= advance_block(threads);
        }
        if (more) continue;
        for (auto& released : blocks)
            for (int k = 0; k < threads; k++)
                if (released.fibres[k].point == -2) released.fibres[k].point = -1, more = true;
    }
}

template <typename... P, std::size_t... I>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<P>*>(arguments[I])...);
}

template <auto Kernel>
struct Launcher;

template <typename... P, void (*Kernel)(P...)>
struct Launcher<Kernel> {
    static void run(void** arguments) { call(Kernel, arguments, std::index_sequence_for<P...>()); }
};

template <auto Kernel>
void launch(const int* grid, const int* block, int shared, void** arguments) {
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {block[0], block[1], block[2]};
    const int threads = block[0] * block[1] * block[2];
    body = Launcher<Kernel>::run;
    body_arguments = arguments;
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x += TOGETHER) {
                for (int k = 0; k < TOGETHER; k++) start_block(blocks[k], {x + k, y, z}, threads, shared);
                run_blocks(threads);
                for (auto& ended : blocks)
                    if (std::any_of(ended.shared + shared, ended.memory.data() + ended.memory.size(), [](unsigned char byte) { return byte != UNTOUCHED; })) {
                        std::fprintf(stderr, "a block wrote behind its %d bytes of shared memory\n", shared);
                        std::abort();
                    }
            }
}

// Where a thread of this warp leaves what others read in the present exchange.
inline std::uint64_t* slot(int thread) { return &block->slots[(2 * static_cast<std::size_t>(thread) + (me().turn & 1)) * SLOTS]; }
inline std::uint64_t* next_slot() {
    me().turn++;
    return slot(current);
}

template <typename T>
T exchange(T value, int source, const char* what) {
    std::memcpy(next_slot(), &value, sizeof(T));
    wait(what, 1);
    T result;
    std::memcpy(&result, slot(source), sizeof(T));
    return result;
}

inline int lane() { return current % 32; }
inline int base() { return current - lane(); }

// Votes: bit of every lane.
inline unsigned votes(bool mine) {
    *next_slot() = mine;
    wait("vote", 1);
    unsigned bits = 0;
    const int count = static_cast<int>(block_size.x * block_size.y * block_size.z) - base();
    for (int k = 0; k < 32 && k < count; k++) bits |= static_cast<unsigned>(*slot(base() + k)) << k;
    return bits;
}

}  // namespace emulator

#define threadIdx (emulator::me().thread)
#define blockIdx (emulator::block->index)
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
// A block's fibres share what a function keeps for ever; blocks run one after the other.
#define __shared__ static
#define extern_shared(type, name) type* name = reinterpret_cast<type*>(emulator::block->shared)

inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait("__syncwarp", 1); }
inline void __syncthreads() { emulator::wait("__syncthreads", -1); }
inline bool __any_sync(unsigned, bool x) { return emulator::votes(x) != 0; }
inline bool __all_sync(unsigned, bool x) {
    const int left = emulator::block_size.x * emulator::block_size.y * emulator::block_size.z - emulator::base();
    return emulator::votes(x) == (left >= 32 ? 0xffffffffu : (1u << left) - 1);
}
inline unsigned __ballot_sync(unsigned, bool x) { return emulator::votes(x); }
template <typename T>
T __shfl_sync(unsigned, T x, int source, int width = 32) {
    return emulator::exchange(x, emulator::current - emulator::lane() % width + (source & (width - 1)), "__shfl_sync");
}
template <typename T>
T __shfl_up_sync(unsigned, T x, int d, int width = 32) {
    return emulator::exchange(x, emulator::lane() % width >= d ? emulator::current - d : emulator::current, "__shfl_up_sync");
}
template <typename T>
T __shfl_down_sync(unsigned, T x, int d, int width = 32) {
    return emulator::exchange(x, emulator::lane() % width + d < width ? emulator::current + d : emulator::current, "__shfl_down_sync");
}
template <typename T>
T __shfl_xor_sync(unsigned, T x, int mask, int = 32) {
    return emulator::exchange(x, emulator::base() + (emulator::lane() ^ mask), "__shfl_xor_sync");
}

template <typename To, typename From>
To emulator_bits(From x) {
    To y;
    static_assert(sizeof(To) == sizeof(From));
    std::memcpy(&y, &x, sizeof(To));
    return y;
}
inline int __float_as_int(float x) { return emulator_bits<int>(x); }
inline float __int_as_float(int x) { return emulator_bits<float>(x); }
inline double __longlong_as_double(long long x) { return emulator_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline unsigned short to_half(double x) { return emulator_bits<unsigned short>(static_cast<_Float16>(x)); }
inline double from_half(unsigned short h) { return emulator_bits<_Float16>(h); }
inline float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
// The C library has a function of that name that is not meant to be called.
#define __expf expf
template <typename T>
T __ldcs(const T* from) { return *from; }
struct float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
using std::fabs;
using std::fmax;
using std::fmin;
using std::min;
