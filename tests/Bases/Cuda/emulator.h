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
struct alignas(16) Sums { float a, b, c, d; };

#define __global__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
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
    int threads, current, rank;
    Block* cluster;
    Barrier* clusterwide;
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
inline void run(int grid, int rows, int threads, int shared, void (*kernel)(), int together)
{
    body = kernel;
    for (int index = 0; index < grid * rows; index += together)
    {
        // The blocks of a cluster take turns.
        std::vector<Block> blocks(together);
        Barrier all_blocks;
        for (int k = 0; k < together; k++)
        {
            Block& b = blocks[k];
            b.threads = threads, b.block = {(index + k) % grid, (index + k) / grid}, b.grid = {grid, rows}, b.rank = k, b.cluster = blocks.data(), b.clusterwide = &all_blocks;
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
        }
        for (bool left = true; left;)
        {
            left = false;
            for (Block& b : blocks)
                for (block = &b, b.current = 0; b.current < threads; b.current++)
                    if (!b.fibers[b.current].done)
                        left = true, swapcontext(&b.main, &b.fibers[b.current].context);
        }
        for (Block& b : blocks)
            for (size_t k = b.aligned + shared; k < b.shared.size(); k++)
                if (b.shared[k] != 0xcd)
                    abort();                 // wrote behind its shared memory
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
DEVICE u32 shared_address(const void* shared) { return (u32)((const u8*)shared - (emulated::block->shared.data() + emulated::block->aligned)); }
DEVICE u8* shared_at(u32 address) { return emulated::block->shared.data() + emulated::block->aligned + address; }
DEVICE void copy16(u32 shared, const void* global) { copy16((void*)shared_at(shared), global); }
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
template <int selector>
DEVICE void select_multiply_add(Sums& c, u32 a0, u32 a1, u32 a2, u32 a3, const Quad& b, u32 places)
{
    using namespace emulated;
    const int g = lane() / 4, t = lane() % 4;
    u32* mine = slot(lane());
    mine[0] = a0, mine[1] = a1, mine[2] = a2, mine[3] = a3, mine[4] = b.x, mine[5] = b.y, mine[6] = b.z, mine[7] = b.w, mine[8] = places;
    warp_wait();
    auto input = [](int k, int column) { return half_to_float(slot(4 * column + k / 2 % 4)[4 + k / 8] >> 16 * (k % 2)); };
    auto dot = [&](int row, int column) {
        float sum = 0;
        for (int four = 0; four < 8; four++)
        {
            const u32 pair = slot(4 * (row % 8) + four % 4)[row / 8 + 2 * (four / 4)];
            const u32 digit = slot(4 * (row % 8) + 2 * selector + four / 4)[8] >> (16 * (row / 8) + 4 * (four % 4)) & 15;
            sum += half_to_float(pair) * input(4 * four + (digit & 3), column) + half_to_float(pair >> 16) * input(4 * four + (digit >> 2), column);
        }
        return sum;
    };
    c.a += dot(g, 2 * t), c.b += dot(g, 2 * t + 1), c.c += dot(g + 8, 2 * t), c.d += dot(g + 8, 2 * t + 1);
    warp_wait();
}
DEVICE Quad load_matrices(u32 row)
{
    using namespace emulated;
    slot(lane())[0] = row;
    warp_wait();
    auto halves = [](int matrix) { return ((const u32*)shared_at(slot(8 * matrix + lane() / 4)[0]))[lane() % 4]; };
    Quad q{halves(0), halves(1), halves(2), halves(3)};
    warp_wait();
    return q;
}
template <int blocks>
DEVICE void cluster_barrier() { emulated::wait(*emulated::block->clusterwide, emulated::block->threads * blocks); }
template <int blocks>
DEVICE void cluster_done() { cluster_barrier<blocks>(); }
template <int blocks>
DEVICE Sums load_from(const Sums* mine, int rank)
{
    auto& other = emulated::block->cluster[rank];
    return *(const Sums*)(other.shared.data() + other.aligned + shared_address(mine));
}
template <int>
DEVICE u32 operand_at(u32 shared) { return shared >> 4; }
DEVICE void shared_written() {}
DEVICE void group_begin() {}
DEVICE void group_commit() {}
template <int pending>
DEVICE void group_wait() {}
template <int selector, int count>
DEVICE void group_select_multiply_add(Sums (&c)[count], u32 a0, u32 a1, u32 a2, u32 a3, u32 b, u32 places)
{
    for (int n = 0; n < count; n++)
        select_multiply_add<selector>(c[n], a0, a1, a2, a3, load_matrices((b + ((emulated::lane() >> 3) * count + n) * 8 + (emulated::lane() & 7)) << 4), places);
}
