// What kernels over tensors of one floating-point type share. ELEMENT is the number of the type in ScalarType: 5 f16, 6 f32, 15 bf16.
// Everything is calculated in fp32; "rounded" is what storing and loading again would give. Pointers are aligned to 16 bytes where eight
// elements are moved at once.

// Loops over arrays that must lie in registers.
#define EACH(k, count) _Pragma("unroll") for (int k = 0; k < (count); k++)
#define EIGHT(k) EACH(k, 8)

typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#if ELEMENT == 6

typedef float element;

__device__ __forceinline__ float widen(element x) { return x; }
__device__ __forceinline__ element narrow(float x) { return x; }

__device__ __forceinline__ void load8(const element* from, float* v) {
    const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

__device__ __forceinline__ void store8(element* to, const float* v) {
    reinterpret_cast<float4*>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

#else

typedef u16 element;

#if ELEMENT == 15

__device__ __forceinline__ float widen(element x) { return __uint_as_float((u32)x << 16); }

__device__ __forceinline__ element narrow(float x) {
    u16 h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}

__device__ __forceinline__ void widen2(u32 pair, float* v) {
    v[0] = __uint_as_float(pair << 16);
    v[1] = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ u32 narrow2(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

#else

__device__ __forceinline__ float widen(element x) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x));
    return f;
}

__device__ __forceinline__ element narrow(float x) {
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}

__device__ __forceinline__ void widen2(u32 pair, float* v) {
    v[0] = widen((u16)pair);
    v[1] = widen((u16)(pair >> 16));
}

__device__ __forceinline__ u32 narrow2(float low, float high) { return (u32)narrow(low) | (u32)narrow(high) << 16; }

#endif

__device__ __forceinline__ void unpack8(uint4 packed, float* v) {
    widen2(packed.x, v);
    widen2(packed.y, v + 2);
    widen2(packed.z, v + 4);
    widen2(packed.w, v + 6);
}

__device__ __forceinline__ void load8(const element* from, float* v) { unpack8(*reinterpret_cast<const uint4*>(from), v); }

__device__ __forceinline__ void store8(element* to, const float* v) {
    *reinterpret_cast<uint4*>(to) = make_uint4(narrow2(v[0], v[1]), narrow2(v[2], v[3]), narrow2(v[4], v[5]), narrow2(v[6], v[7]));
}

#endif

__device__ __forceinline__ float rounded(float x) { return widen(narrow(x)); }

// The sum over the block's threads, given to all of them. blockDim.x is a multiple of 32, at most 1024.
__device__ __forceinline__ float block_sum(float x) {
    __shared__ float parts[32];
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
    const int warps = blockDim.x >> 5;
    __syncthreads();
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = x;
    __syncthreads();
    x = (threadIdx.x & 31) < warps ? parts[threadIdx.x & 31] : 0.0f;
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
