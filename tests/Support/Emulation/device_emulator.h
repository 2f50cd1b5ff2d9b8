// Stands in for shared/Cuda/device.cu: what kernels that are written against it do together (shuffles, matrix products, barriers)
// exchanges operands over memory. It knows no caches or races; what it shows is that indices, layouts and sums are right.
#pragma once
#include "cuda_emulator.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
struct alignas(16) Quad { u32 x, y, z, w; };
struct alignas(8) Pair { u32 x, y; };
struct Counts { int a, b, c, d; };
struct alignas(16) Sums { float a, b, c, d; };

#define DEVICE static inline
#define SHARED_BYTES u8* shared_bytes = emulator::block->shared

DEVICE u32* slot(int lane) { return (u32*)emulator::slot(emulator::base() + lane); }
DEVICE u32* next_slot() { return (u32*)emulator::next_slot(); }
DEVICE void warp_wait(const char* what) { emulator::wait(what, 1); }
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
DEVICE void warp_barrier() { warp_wait("warp_barrier"); }
DEVICE void block_barrier() { emulator::wait("block_barrier", -1); }
DEVICE u32 shuffle_from(u32 x, int lane) { return emulator::exchange(x, emulator::base() + lane, "shuffle_from"); }
DEVICE u32 shuffle_xor(u32 x, int lanes) { return shuffle_from(x, emulator::lane() ^ lanes); }
DEVICE void copy16(void* shared, const void* global)
{
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16)
        abort();
    memset(shared, 0xee, 16);                // in flight: whoever reads it now reads nonsense
    emulator::me().copies.back().push_back({shared, global});
}
DEVICE u32 shared_address(const void* shared) { return (u32)((const u8*)shared - emulator::block->shared); }
DEVICE u8* shared_at(u32 address) { return emulator::block->shared + address; }
DEVICE void copy16(u32 shared, const void* global) { copy16((void*)shared_at(shared), global); }
DEVICE void copies_commit() { emulator::me().copies.emplace_back(); }
template <int pending>
DEVICE void copies_wait()
{
    auto& groups = emulator::me().copies;
    while ((int)groups.size() - 1 > pending)
    {
        for (auto& copy : groups.front())
            memcpy(copy.to, copy.from, 16);
        groups.erase(groups.begin());
    }
}
DEVICE Counts count_and(u32 a0, u32 a1, u32 b, Counts c)
{
    const int g = emulator::lane() / 4, t = emulator::lane() % 4;
    u32* mine = next_slot();
    mine[0] = a0, mine[1] = a1, mine[2] = b;
    warp_wait("count_and");
    for (int k = 0; k < 4; k++)
    {
        u32 *row = slot(4 * g + k), *left = slot(4 * (2 * t) + k), *right = slot(4 * (2 * t + 1) + k);
        c.a += __builtin_popcount(row[0] & left[2]), c.b += __builtin_popcount(row[0] & right[2]);
        c.c += __builtin_popcount(row[1] & left[2]), c.d += __builtin_popcount(row[1] & right[2]);
    }
    return c;
}
template <int selector>
DEVICE void select_multiply_add(Sums& c, u32 a0, u32 a1, u32 a2, u32 a3, const Quad& b, u32 places)
{
    const int g = emulator::lane() / 4, t = emulator::lane() % 4;
    u32* mine = next_slot();
    mine[0] = a0, mine[1] = a1, mine[2] = a2, mine[3] = a3, mine[4] = b.x, mine[5] = b.y, mine[6] = b.z, mine[7] = b.w, mine[8] = places;
    warp_wait("select_multiply_add");
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
}
DEVICE Quad load_matrices(u32 row)
{
    next_slot()[0] = row;
    warp_wait("load_matrices");
    auto halves = [](int matrix) { return ((const u32*)shared_at(slot(8 * matrix + emulator::lane() / 4)[0]))[emulator::lane() % 4]; };
    return {halves(0), halves(1), halves(2), halves(3)};
}
template <int blocks>
DEVICE void cluster_barrier() { emulator::wait("cluster_barrier", -2); }
template <int blocks>
DEVICE void cluster_done() { cluster_barrier<blocks>(); }
template <int blocks>
DEVICE Sums load_from(const Sums* mine, int rank)
{
    return *(const Sums*)(emulator::blocks[rank].shared + shared_address(mine));
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
        select_multiply_add<selector>(c[n], a0, a1, a2, a3, load_matrices((b + ((emulator::lane() >> 3) * count + n) * 8 + (emulator::lane() & 7)) << 4), places);
}
