// y = x Ŵᵀ for up to 16 tokens with signs taken as bytes, Ŵ a sum of binary matrices in the layout of FragmentLayout.
//
// A word of signs under the mask 0x01010101 << p is four bytes that are 0 or 2^p, and so an operand of the matrix unit's product of bytes
// without being unpacked: one logic operation for four weights. Each 128 inputs of a token become integers V under one power of two; those
// that meet 2^p are held as V / 2^p, so that all products have the same unit and add up in one place. V has 15 bits in two bytes with a sign
// each, which stand beside one another as two columns of one product. With b = 1 for +1 and 0 for -1, B x = 2 b x - sum x. Sums are exact up
// to the scales, one multiplication a group and plane. The products are those of four warps together (wgmma), since only these
// reach the full rate on Hopper: the same instruction of one warp took 2.5 times as long.
//
// Compiled for: BASES (1..8), BIAS (0, 1), COLUMNS (8 or 16: most tokens), GROUP (inputs of a scale, a multiple of 128; 2^30 for the row),
// WARPS (a multiple of 4), STAGES, SLAB (steps of 256 inputs whose x is in shared memory at a time), BFLOAT (type of x and y).
// The order of summation is fixed by the shape and the number of blocks, so that results repeat bit for bit.

#define SCALES (BASES + BIAS)
#define THREADS (32 * WARPS)
#define NTILES (COLUMNS / 8)
#define CHUNK 128
#define STEP_WORDS (BASES * 128)             // words of 16 rows and 256 inputs
#define STAGE_WORDS (STEP_WORDS + 16 * SCALES)
#define MAGIC 0x4B400000                     // 1.5 * 2^23 as a float: adding a small integer to these bits adds it to the number
#define MAGIC_NUMBER 12582912.0f

DEVICE float load_element(u32 bits) { return BFLOAT ? as_float(bits << 16) : half_to_float(bits); }
DEVICE u32 store_element(float x) { return BFLOAT ? float_to_bfloat(x) : float_to_half(x); }
DEVICE float element_of(const u32 (&pairs)[16], int k) { return load_element(k & 1 ? pairs[k >> 1] >> 16 : pairs[k >> 1] & 0xffff); }

// The 32 inputs from `first` on, two in a word; zeros beyond the row's end.
DEVICE void load_inputs(u32 (&pairs)[16], const u16* row, int first, int count, bool aligned)
{
    if (aligned && first + 32 <= count)
    {
#pragma unroll
        for (int k = 0; k < 4; k++)
        {
            Quad v = ((const Quad*)(row + first))[k];
            pairs[4 * k] = v.x, pairs[4 * k + 1] = v.y, pairs[4 * k + 2] = v.z, pairs[4 * k + 3] = v.w;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < 16; k++)
    {
        u32 low = first + 2 * k < count ? row[first + 2 * k] : 0;
        u32 high = first + 2 * k + 1 < count ? row[first + 2 * k + 1] : 0;
        pairs[k] = low | high << 16;
    }
}

// Four neighbouring lanes bring 128 inputs of one token into the order of the products, 32 each: for each chunk and p = 0..3 columns of 32
// bytes as describe_columns wants them, of eight tokens the high bytes, then the low ones. Byte 4t + b of a column is the input 32t + 8b + p,
// byte 16 + 4t + b the input 32t + 8b + p + 4, b = 0..3.
DEVICE void stage_slab(u32* slab, Pair* facts, const u16* x, int tokens, int in_features, int first)
{
    const int lane = threadIdx.x & 31;
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    for (int item = threadIdx.x; item < 2 * SLAB * COLUMNS * 4; item += THREADS)
    {
        const int t = lane & 3, token = (item >> 2) % COLUMNS, chunk = (item >> 2) / COLUMNS;
        u32 r[16];
        load_inputs(r, x + (u64)(token < tokens ? token : 0) * in_features, first + chunk * CHUNK + 32 * t, token < tokens ? in_features : 0, aligned);
        u32 largest = 0;
#pragma unroll
        for (int k = 0; k < 32; k++)
        {
            u32 size = as_bits(element_of(r, k)) & 0x7fffffff;
            largest = size > largest ? size : largest;
        }
        u32 other = shuffle_xor(largest, 1);
        largest = other > largest ? other : largest;
        other = shuffle_xor(largest, 2);
        largest = other > largest ? other : largest;
        // The largest gets its leading bit at place 13. Infinity and NaN spoil the whole chunk, as they would any sum.
        int exponent = 267 - (int)(largest >> 23);
        exponent = exponent > 253 ? 253 : exponent;
        const float up = as_float((u32)exponent << 23);
        const float down = largest >= 0x7f800000u ? as_float(0x7fc00000u) : as_float((u32)(254 - exponent) << 23);
        u32 sum = 0;
        u32* to = slab + ((chunk * 4 * NTILES + token / 8) * 4) * 32 + token % 8 * 4 + t;
#pragma unroll
        for (int p = 0; p < 4; p++)
        {
            // Half a high byte more makes the high byte round, which the sign of the low one asks for.
            u32 low[8], high[8], all = 0;
#pragma unroll
            for (int k = 0; k < 8; k++)
            {
                const float value = element_of(r, 8 * (k & 3) + p + (k & 4)) * up * (1.0f / (1 << p));
                low[k] = as_bits(value + MAGIC_NUMBER);
                high[k] = low[k] + 128;
                all += low[k] - MAGIC;
            }
            sum += all << p;
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const int k = 4 * half;
                u32 a = permute_bytes(high[k], high[k + 1], 0x0051), b = permute_bytes(high[k + 2], high[k + 3], 0x0051);
                u32 c = permute_bytes(low[k], low[k + 1], 0x0040), d = permute_bytes(low[k + 2], low[k + 3], 0x0040);
                u32* at = to + (p * NTILES * 4 + half) * 32;
                at[0] = permute_bytes(a, b, 0x5410), at[64] = permute_bytes(c, d, 0x5410);
            }
        }
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        if (t == 0)
            facts[chunk * COLUMNS + token] = Pair{as_bits(2 * down), as_bits(down * (float)(int)sum)};
    }
}

// Asks for what one warp needs of one step: signs, and the scales of its two chunks.
DEVICE void fetch(u32* stage, const u32* words, const u32* scales, int tile, int step, int steps, int groups)
{
    const int lane = threadIdx.x & 31;
    const u32* from = words + ((u64)tile * steps + step) * STEP_WORDS + 4 * lane;
#pragma unroll
    for (int i = 0; i < BASES; i++)
        copy16(stage + i * 128 + 4 * lane, from + i * 128);
#pragma unroll
    for (int piece = lane; piece < 4 * SCALES; piece += 32)
    {
        const int half = piece >= 2 * SCALES, place = piece - half * 2 * SCALES;
        int group = (2 * step + half) / (GROUP / CHUNK);
        group = group < groups ? group : groups - 1;
        copy16(stage + STEP_WORDS + 4 * piece, scales + ((u64)tile * groups + group) * (8 * SCALES) + 4 * place);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) mask_product(
    const u32* words, const u32* scales, const u16* x, const u16* addend, u16* y,
    int tokens, int in_features, int out_features, int groups, int addend_stride)
{
    SHARED_BYTES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int tiles = (out_features + 15) / 16, steps = (in_features + 255) / 256;
    u32* slab = (u32*)shared_bytes;              // [2 SLAB][4][NTILES][4][32]
    Pair* facts = (Pair*)(slab + 2 * SLAB * NTILES * 512);
    u32* ring = (u32*)(facts + 2 * SLAB * COLUMNS) + warp * STAGES * STAGE_WORDS;
    float* partial = (float*)slab;               // [WARPS][COLUMNS][16], when the slab is done

    // A block has the tiles from `begin` to `end`, some of them at a time. Four warps that multiply together have neighbouring tiles and the
    // same steps; where there are fewer tiles than warps, several fours share them.
    const int begin = (int)((u64)blockIdx.x * tiles / gridDim.x), end = (int)((u64)(blockIdx.x + 1) * tiles / gridDim.x);
    const int together = end - begin < WARPS ? end - begin : WARPS, fours = (together + 3) / 4;
    const int shares = WARPS / 4 / fours, four = warp / 4 % fours, share = warp / 4 / fours, mine = 4 * four + warp % 4;
    const bool has_tile = share < shares && mine < together;

    int next_tile = begin + mine, next_step = share, next_slot = 0, slot = 0;
    auto prefetch = [&]() {
        if (has_tile && next_step < steps && next_tile < end)
        {
            fetch(ring + next_slot * STAGE_WORDS, words, scales, next_tile, next_step, steps, groups);
            next_step += shares;
            if (next_step >= steps)
                next_step = share, next_tile += together;
        }
        copies_commit();
        next_slot = next_slot + 1 == STAGES ? 0 : next_slot + 1;
    };
#pragma unroll
    for (int k = 0; k < STAGES - 1; k++)
        prefetch();
    overlap_next();
    overlap_wait();

    for (int base = begin; base < end; base += together)
    {
        // The same for all four warps; one without a tile goes along and its sums are not looked at.
        const bool works = share < shares && base + 4 * four < end;
        Sums sum[NTILES];
#pragma unroll
        for (int n = 0; n < NTILES; n++)
            sum[n] = Sums{0, 0, 0, 0};
        int step = share;
        for (int first = 0; first < steps; first += SLAB)
        {
            block_barrier();
            stage_slab(slab, facts, x, tokens, in_features, first * 256);
            publish_shared();
            block_barrier();
            for (; works && step < steps && step < first + SLAB; step += shares)
            {
                copies_wait<STAGES - 2>();
                warp_barrier();
                prefetch();
                const u32* stage = ring + slot * STAGE_WORDS;
                slot = slot + 1 == STAGES ? 0 : slot + 1;
#pragma unroll
                for (int half = 0; half < 2; half++)
                {
                    const int chunk = 2 * (step - first) + half;
                    const u32* alpha = stage + STEP_WORDS + (half * 8 + g) * SCALES;
                    Sums part[NTILES];
#pragma unroll
                    for (int n = 0; n < NTILES; n++)
                        part[n] = Sums{0, 0, 0, 0};
                    float rest[2] = {0, 0};      // beta - sum of alpha
                    if (BIAS)
                        rest[0] = half_to_float(alpha[BASES] & 0xffff), rest[1] = half_to_float(alpha[BASES] >> 16);
#pragma unroll
                    for (int i = 0; i < BASES; i++)
                    {
                        const float low = half_to_float(alpha[i] & 0xffff), high = half_to_float(alpha[i] >> 16);
                        rest[0] -= low, rest[1] -= high;
                        const Pair signs = ((const Pair*)stage)[(i * 32 + lane) * 2 + half];
                        const u32 upper0 = signs.x >> 4, upper1 = signs.y >> 4;
                        int c[8 * NTILES];
#pragma unroll
                        for (int k = 0; k < 8 * NTILES; k++)
                            c[k] = 0;
                        group_begin();
#pragma unroll
                        for (int p = 0; p < 4; p++)
                        {
                            const u32 mask = 0x01010101u << p;
                            group_multiply(c, signs.x & mask, signs.y & mask, upper0 & mask, upper1 & mask, describe_columns(slab + (4 * chunk + p) * NTILES * 128), p > 0);
                        }
                        group_wait();
                        group_settle(c);
#pragma unroll
                        for (int n = 0; n < NTILES; n++)
                        {
                            const int* v = c + 8 * n;
                            part[n].a += low * (as_float((u32)(256 * v[0] + v[4] + MAGIC)) - MAGIC_NUMBER);
                            part[n].b += low * (as_float((u32)(256 * v[1] + v[5] + MAGIC)) - MAGIC_NUMBER);
                            part[n].c += high * (as_float((u32)(256 * v[2] + v[6] + MAGIC)) - MAGIC_NUMBER);
                            part[n].d += high * (as_float((u32)(256 * v[3] + v[7] + MAGIC)) - MAGIC_NUMBER);
                        }
                    }
#pragma unroll
                    for (int n = 0; n < NTILES; n++)
                    {
                        const Quad two = ((const Quad*)(facts + chunk * COLUMNS))[4 * n + t];
                        sum[n].a += as_float(two.x) * part[n].a + as_float(two.y) * rest[0];
                        sum[n].b += as_float(two.z) * part[n].b + as_float(two.w) * rest[0];
                        sum[n].c += as_float(two.x) * part[n].c + as_float(two.y) * rest[1];
                        sum[n].d += as_float(two.z) * part[n].d + as_float(two.w) * rest[1];
                    }
                }
            }
        }
        block_barrier();
#pragma unroll
        for (int n = 0; n < NTILES; n++)
        {
            float* to = partial + (warp * COLUMNS + 8 * n + 2 * t) * 16 + g;
            to[0] = sum[n].a, to[16] = sum[n].b, to[8] = sum[n].c, to[24] = sum[n].d;
        }
        block_barrier();
        for (int k = threadIdx.x; k < together * 16 * tokens; k += THREADS)
        {
            const int token = k / (together * 16), at = k % (together * 16), row = 16 * base + at;
            if (row >= out_features || base + at / 16 >= end)
                continue;
            float v = 0;
            for (int s = 0; s < shares; s++)
                v += partial[((4 * s * fours + at / 16) * COLUMNS + token) * 16 + at % 16];
            if (addend)
                v += load_element(addend[(u64)token * addend_stride + row]);
            y[(u64)token * out_features + row] = (u16)store_element(v);
        }
    }
    copies_wait<0>();
}
