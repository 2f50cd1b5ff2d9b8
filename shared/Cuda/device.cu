// What the project's kernels ask of the machine: one function for each instruction, in inline PTX, since nothing can be included.
// It is put before a kernel's source. tests/Bases/Cuda holds the same functions in plain C++, so that kernels also run without a GPU.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
struct alignas(16) Quad { u32 x, y, z, w; };
struct alignas(8) Pair { u32 x, y; };
struct Counts { int a, b, c, d; };
struct alignas(16) Sums { float a, b, c, d; };

#define DEVICE static __device__ __forceinline__
#define SHARED_BYTES extern __shared__ __align__(128) u8 shared_bytes[]

DEVICE float as_float(u32 x) { return __uint_as_float(x); }
DEVICE u32 as_bits(float x) { return __float_as_uint(x); }
DEVICE int round_to_int(float x) { return __float2int_rn(x); }

// Correctly rounded, which neither the compiler's options nor libraries change.
DEVICE float square_root(float x)
{
    float y;
    asm("sqrt.rn.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 2^x to two places of the last bit; 0 for minus infinity.
DEVICE float power_of_two(float x)
{
    float y;
    asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// 1 / x to one place of the last bit.
DEVICE float reciprocal(float x)
{
    float y;
    asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float half_to_float(u32 x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"((u16)x));
    return y;
}

DEVICE u32 float_to_half(float x)
{
    u16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

DEVICE u32 float_to_bfloat(float x)
{
    u16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

// Two halves from two floats, a in the low one.
DEVICE u32 floats_to_halves(float a, float b)
{
    u32 y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(b), "f"(a));
    return y;
}

DEVICE u32 multiply_halves(u32 a, u32 b)
{
    u32 y;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

// a b + c, rounded once.
DEVICE u32 multiply_add_halves(u32 a, u32 b, u32 c)
{
    u32 y;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(c));
    return y;
}

// Byte k of the result is byte (s >> 4k) & 7 of the eight bytes of a (0..3) and b (4..7).
DEVICE u32 permute_bytes(u32 a, u32 b, u32 s) { return __byte_perm(a, b, s); }

// Bits of a where the mask is 1, of b where it is 0: one LOP3.
DEVICE u32 choose_bits(u32 a, u32 b, u32 mask)
{
    u32 y;
    asm("lop3.b32 %0, %1, %2, %3, 0xe4;" : "=r"(y) : "r"(a), "r"(b), "r"(mask));
    return y;
}

DEVICE u32 shuffle_xor(u32 x, int lanes) { return __shfl_xor_sync(0xffffffffu, x, lanes); }
DEVICE u32 shuffle_from(u32 x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
// Waits for the kernel before this one where they were launched to overlap: before it, only what no kernel writes may be read.
DEVICE void overlap_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel's blocks begin where there is room.
DEVICE void overlap_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

DEVICE void warp_barrier() { __syncwarp(); }
DEVICE void block_barrier() { __syncthreads(); }

// Where something is in shared memory.
DEVICE u32 shared_address(const void* shared)
{
    u64 address;
    asm("cvta.to.shared.u64 %0, %1;" : "=l"(address) : "l"(shared));
    return (u32)address;
}

// Copies 16 bytes from global to shared memory behind the thread's back; bypasses the first-level cache, as weights are read once.
DEVICE void copy16(u32 shared, const void* global)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}

DEVICE void copy16(void* shared, const void* global) { copy16(shared_address(shared), global); }

DEVICE void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `pending` of the latest groups of copies are on their way.
template <int pending>
DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

// c + popcount(a & b) over 128 bits: a is 16 rows, b 8 columns. Lane 4g + t holds bits 32t.. of rows g (a0) and g + 8 (a1) and of
// column g, and gets rows g (a, b) and g + 8 (c, d) at columns 2t and 2t + 1.
DEVICE Counts count_and(u32 a0, u32 a1, u32 b, Counts c)
{
    Counts d;
    asm("mma.sync.aligned.m16n8k128.row.col.s32.b1.b1.s32.and.popc {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %8, %9, %10};"
        : "=r"(d.a), "=r"(d.b), "=r"(d.c), "=r"(d.d)
        : "r"(a0), "r"(a1), "r"(b), "r"(c.a), "r"(c.b), "r"(c.c), "r"(c.d));
    return d;
}

// c + a b for halves over 32 inputs, of which a has two in four: lane 4g + t holds both elements of the fours t (a0, a1) and 4 + t (a2, a3) of rows
// g (a0, a2) and g + 8 (a1, a3), and of column g the inputs {2t, 2t + 1} + 8k (k-th word of b). `places` of the lanes 4g + 2 selector + s has a
// digit of four bits for each of the fours 4s.. of row g, then of row g + 8: where the first element is in its four, then where the second is.
template <int selector>
DEVICE void select_multiply_add(Sums& c, u32 a0, u32 a1, u32 a2, u32 a3, const Quad& b, u32 places)
{
    asm("mma.sp.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"
        : "+f"(c.a), "+f"(c.b), "+f"(c.c), "+f"(c.d)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b.x), "r"(b.y), "r"(b.z), "r"(b.w), "r"(places), "n"(selector));
}

// Four matrices of 8 rows and 8 halves: lane 8k + r tells where row r of matrix k is, and lane 4g + t gets the halves 2t, 2t + 1 of row g of each.
DEVICE Quad load_matrices(u32 row)
{
    Quad q;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w) : "r"(row) : "memory");
    return q;
}

// Waits for all threads of all blocks of the cluster; what they wrote to shared memory can be read from then on.
template <int blocks>
DEVICE void cluster_barrier()
{
    if constexpr (blocks == 1)
        __syncthreads();
    else
        asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// As it, for blocks that only wait to be done with each other's memory.
template <int blocks>
DEVICE void cluster_done()
{
    if constexpr (blocks > 1)
        asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// What a block of the cluster has at the address that `mine` is in this one's shared memory.
template <int blocks>
DEVICE Sums load_from(const Sums* mine, int rank)
{
    if constexpr (blocks == 1)
        return *mine;
    else
    {
        Sums y;
        asm volatile("{.reg .u32 a;\nmapa.shared::cluster.u32 a, %4, %5;\nld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [a];}"
            : "=f"(y.a), "=f"(y.b), "=f"(y.c), "=f"(y.d) : "r"(shared_address(mine)), "r"(rank));
        return y;
    }
}

#if __CUDA_ARCH_FEAT_SM90_ALL
// Products of four warps with matrices in shared memory, which go on while the warps do other things. An operand is [k cores][n cores] of 8 columns by
// 8 halves, 128 bytes each; 16 bytes further on are 1 further on.
template <int n_cores>
DEVICE u32 operand_at(u32 shared) { return (shared & 0x3ffff) >> 4 | n_cores * 8 << 16; }

// What was written to shared memory before is seen by the products after the next barrier.
DEVICE void shared_written() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Between the registers' last change and the products that use them.
DEVICE void group_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void group_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most `pending` of the latest groups of products are on their way.
template <int pending>
DEVICE void group_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory"); }

// As select_multiply_add, each of the four warps with 16 rows of its own, b being an operand.
template <int selector>
DEVICE void group_select_multiply_add(Sums (&c)[1], u32 a0, u32 a1, u32 a2, u32 a3, u32 b, u32 places)
{
    asm volatile("{.reg .b64 b;\nmov.b64 b, {%8, 8};\nwgmma.mma_async.sp.sync.aligned.m64n8k32.f32.f16.f16 {%0, %1, %2, %3}, {%4, %5, %6, %7}, b, %9, %10, 1, 1, 1, 0;}"
        : "+f"(c[0].a), "+f"(c[0].b), "+f"(c[0].c), "+f"(c[0].d) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b), "r"(places), "n"(selector));
}

template <int selector>
DEVICE void group_select_multiply_add(Sums (&c)[2], u32 a0, u32 a1, u32 a2, u32 a3, u32 b, u32 places)
{
    asm volatile("{.reg .b64 b;\nmov.b64 b, {%12, 8};\nwgmma.mma_async.sp.sync.aligned.m64n16k32.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, b, %13, %14, 1, 1, 1, 0;}"
        : "+f"(c[0].a), "+f"(c[0].b), "+f"(c[0].c), "+f"(c[0].d), "+f"(c[1].a), "+f"(c[1].b), "+f"(c[1].c), "+f"(c[1].d)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b), "r"(places), "n"(selector));
}

template <int selector>
DEVICE void group_select_multiply_add(Sums (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b, u32 places)
{
    asm volatile("{.reg .b64 b;\nmov.b64 b, {%20, 8};\nwgmma.mma_async.sp.sync.aligned.m64n32k32.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, b, %21, %22, 1, 1, 1, 0;}"
        : "+f"(c[0].a), "+f"(c[0].b), "+f"(c[0].c), "+f"(c[0].d), "+f"(c[1].a), "+f"(c[1].b), "+f"(c[1].c), "+f"(c[1].d),
          "+f"(c[2].a), "+f"(c[2].b), "+f"(c[2].c), "+f"(c[2].d), "+f"(c[3].a), "+f"(c[3].b), "+f"(c[3].c), "+f"(c[3].d)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b), "r"(places), "n"(selector));
}
#else
DEVICE void shared_written() {}
template <int pending>
DEVICE void group_wait() {}
#endif
