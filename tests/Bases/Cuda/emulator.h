// Runs the kernels of shared/Bases/Cuda on the CPU: this file stands in for device.cu. Each thread of a block is a fiber, and the operations
// that threads do together (shuffles, matrix products, barriers) exchange their operands over memory. It is slow and knows no caches or
// races; what it shows is that indices, layouts and sums are right.
#include <ucontext.h>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
struct alignas(16) Quad { u32 x, y, z, w; };
struct alignas(8) Pair { u32 x, y; };
struct Counts { int a, b, c, d; };
struct Sums { float a, b, c, d; };

#define __global__
#define __launch_bounds__(...)
#define DEVICE static inline
#define SHARED_BYTES u8* shared_bytes = emulated::block->shared.data() + emulated::block->aligned

namespace emulated {
struct Index { int x, y; };
struct Copy { void* to; const void* from; };
struct Fiber {
    ucontext_t context;
    std::vector<u8> stack;
    std::vector<std::vector<Copy>> groups;   // asynchronous copies, oldest first; the last one is open
    bool done;
};
struct Barrier { int waiting = 0; unsigned turn = 0; };
struct Block {
    int threads, current;
    Index block, grid;
    std::vector<Fiber> fibers;
    std::vector<Barrier> warps;
    Barrier all;
    std::vector<u32> slots;                  // 16 words for each thread
    std::vector<u8> shared;
    size_t aligned;
    ucontext_t main;
};
inline Block* block;
inline void (*body)();

inline void yield() { swapcontext(&block->fibers[block->current].context, &block->main); }
inline void wait(Barrier& barrier, int count)
{
    unsigned turn = barrier.turn;
    if (++barrier.waiting == count)
    {
        barrier.waiting = 0, barrier.turn++;
        return;
    }
    while (barrier.turn == turn)
        yield();
}
inline void warp_wait() { wait(block->warps[block->current / 32], 32); }
inline u32* slot(int lane) { return &block->slots[(block->current / 32 * 32 + lane) * 16]; }
inline int lane() { return block->current % 32; }
inline void entry()
{
    body();
    block->fibers[block->current].done = true;
    yield();
}
inline void run(int grid, int rows, int threads, int shared, void (*kernel)())
{
    body = kernel;
    for (int index = 0; index < grid * rows; index++)
    {
        Block b;
        block = &b;
        b.threads = threads, b.block = {index % grid, index / grid}, b.grid = {grid, rows};
        b.fibers.resize(threads), b.warps.resize(threads / 32), b.slots.resize(threads * 16);
        b.shared.assign(shared + 256, 0xcd); // never zero by luck
        b.aligned = (128 - (uintptr_t)b.shared.data() % 128) % 128;
        for (auto& fiber : b.fibers)
        {
            fiber.stack.resize(128 << 10), fiber.groups.resize(1), fiber.done = false;
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.data(), fiber.context.uc_stack.ss_size = fiber.stack.size();
            fiber.context.uc_link = nullptr;
            makecontext(&fiber.context, entry, 0);
        }
        for (bool left = true; left;)
        {
            left = false;
            for (b.current = 0; b.current < threads; b.current++)
                if (!b.fibers[b.current].done)
                    left = true, swapcontext(&b.main, &b.fibers[b.current].context);
        }
        for (size_t k = b.aligned + shared; k < b.shared.size(); k++)
            if (b.shared[k] != 0xcd)
                abort();                     // wrote behind its shared memory
    }
}
}

#define threadIdx (emulated::Index{emulated::block->current, 0})
#define blockIdx (emulated::block->block)
#define gridDim (emulated::block->grid)

DEVICE float as_float(u32 x) { float y; memcpy(&y, &x, 4); return y; }
DEVICE u32 as_bits(float x) { u32 y; memcpy(&y, &x, 4); return y; }
DEVICE int round_to_int(float x) { return std::isnan(x) ? 0 : (int)std::nearbyint(x); }
DEVICE float square_root(float x) { return std::sqrt(x); }
DEVICE float power_of_two(float x) { return std::exp2(x); }
DEVICE float reciprocal(float x) { return 1 / x; }
DEVICE float half_to_float(u32 x) { _Float16 h; u16 b = (u16)x; memcpy(&h, &b, 2); return (float)h; }
DEVICE u32 float_to_half(float x) { _Float16 h = (_Float16)x; u16 b; memcpy(&b, &h, 2); return b; }
DEVICE u32 float_to_bfloat(float x)
{
    u32 bits = as_bits(x);
    return std::isnan(x) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
DEVICE u32 floats_to_halves(float a, float b) { return float_to_half(a) | float_to_half(b) << 16; }
DEVICE u32 add_halves(u32 a, u32 b)
{
    return float_to_half(half_to_float(a) + half_to_float(b)) | float_to_half(half_to_float(a >> 16) + half_to_float(b >> 16)) << 16;
}
DEVICE u32 subtract_halves(u32 a, u32 b) { return add_halves(a, b ^ 0x80008000); }
DEVICE u32 multiply_add_halves(u32 a, u32 b, u32 c)
{
    // Products of halves and their sums are exact in double, so that each half is rounded once.
    auto half = [](u32 x, u32 y, u32 z) {
        _Float16 h = (_Float16)((double)half_to_float(x) * half_to_float(y) + half_to_float(z));
        u16 bits;
        memcpy(&bits, &h, 2);
        return (u32)bits;
    };
    return half(a, b, c) | half(a >> 16, b >> 16, c >> 16) << 16;
}
DEVICE u32 multiply_halves(u32 a, u32 b) { return multiply_add_halves(a, b, 0x80008000); }
DEVICE u32 permute_bytes(u32 a, u32 b, u32 s)
{
    u64 bytes = a | (u64)b << 32;
    u32 y = 0;
    for (int k = 0; k < 4; k++)
    {
        u32 nibble = s >> 4 * k & 15, byte = bytes >> 8 * (nibble & 7) & 255;
        y |= (nibble & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * k;
    }
    return y;
}
DEVICE u32 choose_bits(u32 a, u32 b, u32 mask) { return (a & mask) | (b & ~mask); }
DEVICE u32 rotate_right(u32 x, int bits) { return bits & 31 ? x >> (bits & 31) | x << (32 - (bits & 31)) : x; }
DEVICE void overlap_wait() {}
DEVICE void overlap_next() {}
DEVICE void warp_barrier() { emulated::warp_wait(); }
DEVICE void block_barrier() { emulated::wait(emulated::block->all, emulated::block->threads); }
DEVICE u32 shuffle_from(u32 x, int lane)
{
    emulated::slot(emulated::lane())[0] = x;
    emulated::warp_wait();
    u32 y = emulated::slot(lane)[0];
    emulated::warp_wait();
    return y;
}
DEVICE u32 shuffle_xor(u32 x, int lanes) { return shuffle_from(x, emulated::lane() ^ lanes); }
DEVICE void copy16(void* shared, const void* global)
{
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16)
        abort();
    memset(shared, 0xee, 16);                // in flight: whoever reads it now reads nonsense
    emulated::block->fibers[emulated::block->current].groups.back().push_back({shared, global});
}
DEVICE void copies_commit() { emulated::block->fibers[emulated::block->current].groups.emplace_back(); }
template <int pending>
DEVICE void copies_wait()
{
    auto& groups = emulated::block->fibers[emulated::block->current].groups;
    while ((int)groups.size() - 1 > pending)
    {
        for (auto& copy : groups.front())
            memcpy(copy.to, copy.from, 16);
        groups.erase(groups.begin());
    }
}
DEVICE Counts count_and(u32 a0, u32 a1, u32 b, Counts c)
{
    using namespace emulated;
    const int g = lane() / 4, t = lane() % 4;
    u32* mine = slot(lane());
    mine[0] = a0, mine[1] = a1, mine[2] = b;
    warp_wait();
    for (int k = 0; k < 4; k++)
    {
        u32 *row = slot(4 * g + k), *left = slot(4 * (2 * t) + k), *right = slot(4 * (2 * t + 1) + k);
        c.a += __builtin_popcount(row[0] & left[2]), c.b += __builtin_popcount(row[0] & right[2]);
        c.c += __builtin_popcount(row[1] & left[2]), c.d += __builtin_popcount(row[1] & right[2]);
    }
    warp_wait();
    return c;
}
DEVICE void multiply_add(Sums& c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1)
{
    using namespace emulated;
    const int g = lane() / 4, t = lane() % 4;
    u32* mine = slot(lane());
    mine[0] = a0, mine[1] = a1, mine[2] = a2, mine[3] = a3, mine[4] = b0, mine[5] = b1;
    warp_wait();
    auto dot = [](u32 a, u32 b) { return half_to_float(a) * half_to_float(b) + half_to_float(a >> 16) * half_to_float(b >> 16); };
    for (int k = 0; k < 4; k++)
    {
        u32 *row = slot(4 * g + k), *left = slot(4 * (2 * t) + k), *right = slot(4 * (2 * t + 1) + k);
        c.a += dot(row[0], left[4]) + dot(row[2], left[5]), c.b += dot(row[0], right[4]) + dot(row[2], right[5]);
        c.c += dot(row[1], left[4]) + dot(row[3], left[5]), c.d += dot(row[1], right[4]) + dot(row[3], right[5]);
    }
    warp_wait();
}
