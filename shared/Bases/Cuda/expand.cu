// Ŵ as plain numbers, tile by tile, for products of many tokens: rows [16 first_tile, ...) of a weight in the layout of FragmentLayout, row-major.
// Sums of scales are in fp32 and rounded once.
//
// Compiled for: BASES (1..8), BIAS (0, 1), GROUP (as in select.cu), TYPE (0 f16, 1 bf16, 2 f32). A warp expands 16 rows and 256 inputs.

#define SCALES (BASES + BIAS)
#if TYPE == 2
typedef float Element;
DEVICE Element round_element(float x) { return x; }
#else
typedef u16 Element;
DEVICE Element round_element(float x) { return (Element)(TYPE == 1 ? float_to_bfloat(x) : float_to_half(x)); }
#endif

extern "C" __global__ void __launch_bounds__(128) expand_bases(
    const u32* words, const u32* scales, Element* weight, int first_tile, int tiles, int in_features, int out_features, int groups)
{
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, steps = (in_features + 255) / 256;
    overlap_wait();
    const int item = blockIdx.x * 4 + (threadIdx.x >> 5);
    if (item >= tiles * steps)
        return;
    const int tile = first_tile + item / steps, step = item % steps;
    Quad signs[BASES];
#pragma unroll
    for (int i = 0; i < BASES; i++)
        signs[i] = ((const Quad*)words)[(((u64)tile * steps + step) * BASES + i) * 32 + lane];
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const int word = 8 * step + 4 * half + t, first = 32 * word;
        int group = first / GROUP;
        group = group < groups ? group : groups - 1;
        const u32* scale = scales + (((u64)tile * groups + group) * 8 + g) * SCALES;
#pragma unroll
        for (int high = 0; high < 2; high++)
        {
            const int row = 16 * tile + 8 * high + g;
            if (row >= out_features)
                continue;
            float alpha[BASES];
            u32 sign[BASES];
#pragma unroll
            for (int i = 0; i < BASES; i++)
            {
                alpha[i] = half_to_float(high ? scale[i] >> 16 : scale[i] & 0xffff);
                sign[i] = ~(half ? (high ? signs[i].w : signs[i].z) : (high ? signs[i].y : signs[i].x));
            }
            const float beta = BIAS ? half_to_float(high ? scale[BASES] >> 16 : scale[BASES] & 0xffff) : 0;
            alignas(16) Element values[32];
#pragma unroll
            for (int k = 0; k < 32; k++)
            {
                float sum = beta;
#pragma unroll
                for (int i = 0; i < BASES; i++)
                    sum += as_float(as_bits(alpha[i]) ^ (sign[i] << (31 - k) & 0x80000000u));
                values[k] = round_element(sum);
            }
            Element* to = weight + (u64)(row - 16 * first_tile) * in_features + first;
            if (in_features % 32 == 0 && first < in_features)
            {
#pragma unroll
                for (int k = 0; k < (int)(32 * sizeof(Element) / 16); k++)
                    ((Quad*)to)[k] = ((const Quad*)values)[k];
            }
            else
            {
#pragma unroll
                for (int k = 0; k < 32; k++)
                    if (first + k < in_features)
                        to[k] = values[k];
            }
        }
    }
}
