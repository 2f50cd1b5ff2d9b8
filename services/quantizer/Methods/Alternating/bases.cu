// What kernels over groups of N bases share. Defined by the host: BASES (N) and BIAS (0, 1).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define ALL 0xffffffffu
#define LEVELS (1 << BASES)
#define UNKNOWNS (BASES + BIAS)

#ifndef EMULATED
__device__ __forceinline__ u16 to_half(double x) {
    u16 h;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(h) : "d"(x));
    return h;
}

__device__ __forceinline__ double from_half(u16 h) {
    double x;
    asm("cvt.f64.f16 %0, %1;" : "=d"(x) : "h"(h));
    return x;
}
#endif

__device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }

// Sum over the lanes of a warp, in the same order in every lane.
__device__ __forceinline__ double total(double x) {
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL, x, d);
    return x;
}

// Sum of the first `count` scales under the signs of a code, and the bias, which stands behind the scales.
__device__ __forceinline__ double level(const double* a, int code, int count = BASES) {
    double v = BIAS ? a[UNKNOWNS - 1] : 0.0;
#pragma unroll
    for (int i = 0; i < BASES; i++)
        if (i < count) v += code >> i & 1 ? a[i] : -a[i];
    return v;
}
