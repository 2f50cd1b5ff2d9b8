// What the project's kernels ask of the machine: one function for each instruction, in inline PTX, since nothing can be included.
// It is put before a kernel's source. tests/Bases/Cuda holds the same functions in plain C++, so that kernels also run without a GPU.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
struct alignas(16) Quad { u32 x, y, z, w; };
struct alignas(8) Pair { u32 x, y; };
struct Counts { int a, b, c, d; };
struct Sums { float a, b, c, d; };

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

DEVICE u32 add_halves(u32 a, u32 b)
{
    u32 y;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

DEVICE u32 subtract_halves(u32 a, u32 b)
{
    u32 y;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
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
DEVICE u32 choose_bits(u32 a, u32 b, u32 mask) { return (a & mask) | (b & ~mask); }

DEVICE u32 rotate_right(u32 x, int bits) { return __funnelshift_r(x, x, bits); }

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

// Copies 16 bytes from global to shared memory behind the thread's back; bypasses the first-level cache, as weights are read once.
DEVICE void copy16(void* shared, const void* global)
{
    u64 address;
    asm("cvta.to.shared.u64 %0, %1;" : "=l"(address) : "l"(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((u32)address), "l"(global) : "memory");
}

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

// c + a b for halves over 16 inputs: lane 4g + t holds inputs {2t, 2t + 1} (a0, a1, b0) and {2t + 8, 2t + 9} (a2, a3, b1) of rows g
// (a0, a2) and g + 8 (a1, a3) and of column g; results as in count_and.
DEVICE void multiply_add(Sums& c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.a), "+f"(c.b), "+f"(c.c), "+f"(c.d)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
