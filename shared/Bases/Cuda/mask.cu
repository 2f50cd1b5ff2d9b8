// y = x Ŵᵀ for up to 16 tokens with signs taken as halves, Ŵ a sum of binary matrices in the layout of FragmentLayout.
//
// A word of signs under the mask 0x00010001 << p is two halves that are 0 or a power of two: 2^(p - 24) below p = 10, then by what the bit
// means as an exponent. So one logic operation and one multiplication by the scale make two weights of a plane, all planes add up in one
// register, and the matrix unit multiplies the sum with x, whose halves carry the inverse power. With b = 1 for +1 and 0 for -1, B x = 2 b x -
// sum x. The bit 15 is a sign instead: it turns the scale itself, and its inputs need no sum.
//
// What bounds it is one mask and one multiplication for each pair of weights and plane, 3.5 cycles of a scheduler where two units side by side
// would take 2 (docs/kernels.md). So it serves few planes; from four on the lookups of table.cu cost the same.
//
// Compiled for: BASES (1..8), BIAS (0, 1), COLUMNS (8 or 16: most tokens), GROUP (inputs of a scale, a multiple of 128; 2^30 for the row),
// WARPS, STAGES, SLAB (steps of 256 inputs whose x is in shared memory at a time), BFLOAT (type of x and y).
// The order of summation is fixed by the shape and the number of blocks, so that results repeat bit for bit.

#define SCALES (BASES + BIAS)
#define THREADS (32 * WARPS)
#define NTILES (COLUMNS / 8)
#define CHUNK 128
#define STEP_WORDS (BASES * 128)             // words of 16 rows and 256 inputs
#define STAGE_WORDS (STEP_WORDS + 16 * SCALES)
#define BELOW 9                              // a weight's half times that of x is 2^-BELOW of their product

// The power of two that bit p of a half is.
DEVICE constexpr int exponent_of(int p) { return p < 10 ? p - 24 : (1 << (p - 10)) - 15; }
DEVICE constexpr float power(int exponent) { return exponent < 0 ? 1.0f / (1 << -exponent) : (float)(1 << exponent); }

// What x is multiplied by where it meets bit p: bit 15 gives -+scale where the others give 0 or twice the scale.
DEVICE constexpr float factor_of(int p) { return p == 15 ? -power(-BELOW - 1) : power(-BELOW - exponent_of(p)); }

// Four neighbouring lanes bring 128 inputs of one token into the order of the products, 32 each, under a power of two that makes the largest
// less than 1: lane 4g + t of a product finds in the k-th of four pieces, for token g, the inputs 32t + p and 32t + p + 16, p = 4k .. 4k + 3.
DEVICE void stage_slab(Quad* slab, Pair* facts, float* totals, const u16* x, int tokens, int in_features, int first)
{
    const int lane = threadIdx.x & 31;
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    for (int item = threadIdx.x; item < 2 * SLAB * COLUMNS * 4; item += THREADS)
    {
        const int t = lane & 3, token = (item >> 2) % COLUMNS, chunk = (item >> 2) / COLUMNS;
        u32 r[16];
        load_inputs(r, x + (u64)(token < tokens ? token : 0) * in_features, first + chunk * CHUNK + 32 * t, token < tokens ? in_features : 0, aligned);
        u32 largest = 0;
        float sum = 0, turned = element_of(r, 15) + element_of(r, 31);
#pragma unroll
        for (int k = 0; k < 32; k++)
        {
            const float value = element_of(r, k);
            u32 size = as_bits(value) & 0x7fffffff;
            largest = size > largest ? size : largest;
            sum += k % 16 == 15 ? 0 : value;
        }
#pragma unroll
        for (int k = 1; k < 4; k *= 2)
        {
            u32 other = shuffle_xor(largest, k);
            largest = other > largest ? other : largest;
            sum += as_float(shuffle_xor(as_bits(sum), k));
            turned += as_float(shuffle_xor(as_bits(turned), k));
        }
        // Infinity and NaN spoil the whole chunk, as they would any sum.
        int exponent = 253 - (int)(largest >> 23);
        exponent = exponent < 1 ? 1 : exponent;
        const float up = as_float((u32)exponent << 23);
        const float down = largest >= 0x7f800000u ? as_float(0x7fc00000u) : as_float((u32)(254 - exponent) << 23);
        u32 v[16];
#pragma unroll
        for (int p = 0; p < 16; p++)
            v[p] = floats_to_halves(element_of(r, p) * up * factor_of(p), element_of(r, p + 16) * up * factor_of(p));
        Quad* to = slab + (chunk * NTILES + token / 8) * 128 + 4 * (token % 8) + t;
#pragma unroll
        for (int k = 0; k < 4; k++)
            to[32 * k] = Quad{v[4 * k], v[4 * k + 1], v[4 * k + 2], v[4 * k + 3]};
        if (t == 0)
            facts[chunk * COLUMNS + token] = Pair{as_bits(down * power(BELOW)), as_bits(sum)}, totals[chunk * COLUMNS + token] = sum + turned;
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

// Weights at bit p of the words of all planes, as halves times the power of two of the bit.
template <int p>
DEVICE u32 weights_at(const u32 (&words)[BASES], const u32 (&twice)[BASES])
{
    const u32 mask = 0x00010001u << p;
    u32 sum = p == 15 ? (words[0] & mask) ^ twice[0] : multiply_halves(words[0] & mask, twice[0]);
#pragma unroll
    for (int i = 1; i < BASES; i++)
        sum = p == 15 ? add_halves(sum, (words[i] & mask) ^ twice[i]) : multiply_add_halves(words[i] & mask, twice[i], sum);
    return sum;
}

template <int j>
DEVICE void multiply_pair(Sums (&part)[NTILES], const u32 (&w0)[BASES], const u32 (&w1)[BASES], const u32 (&a0)[BASES], const u32 (&a1)[BASES], const u32 (&b)[NTILES][4])
{
    const u32 v0 = weights_at<2 * j>(w0, a0), v1 = weights_at<2 * j>(w1, a1), v2 = weights_at<2 * j + 1>(w0, a0), v3 = weights_at<2 * j + 1>(w1, a1);
#pragma unroll
    for (int n = 0; n < NTILES; n++)
        multiply_add(part[n], v0, v1, v2, v3, b[n][j % 2 * 2], b[n][j % 2 * 2 + 1]);
}

// Inputs of the k-th piece.
template <int k>
DEVICE void multiply_piece(Sums (&part)[NTILES], const u32 (&w0)[BASES], const u32 (&w1)[BASES], const u32 (&a0)[BASES], const u32 (&a1)[BASES], const Quad* piece)
{
    u32 b[NTILES][4];
#pragma unroll
    for (int n = 0; n < NTILES; n++)
    {
        const Quad q = piece[n * 128 + 32 * k];
        b[n][0] = q.x, b[n][1] = q.y, b[n][2] = q.z, b[n][3] = q.w;
    }
    multiply_pair<2 * k>(part, w0, w1, a0, a1, b);
    multiply_pair<2 * k + 1>(part, w0, w1, a0, a1, b);
}

// up is the power of two that makes twice the scales of any group add up to 2^14 at most: they have to be halves at every bit.
extern "C" __global__ void __launch_bounds__(THREADS, 1) mask_product(
    const u32* words, const u32* scales, const u16* x, const u16* addend, u16* y,
    int tokens, int in_features, int out_features, int groups, int addend_stride, float up)
{
    SHARED_BYTES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int tiles = (out_features + 15) / 16, steps = (in_features + 255) / 256;
    Quad* slab = (Quad*)shared_bytes;            // [2 SLAB][NTILES][4][32]
    Pair* facts = (Pair*)(slab + 2 * SLAB * NTILES * 128);
    float* totals = (float*)(facts + 2 * SLAB * COLUMNS);
    u32* ring = (u32*)(totals + 2 * SLAB * COLUMNS) + warp * STAGES * STAGE_WORDS;
    float* partial = (float*)slab;               // [WARPS][COLUMNS][16], when the slab is done

    // A block has the tiles from `begin` to `end`, some of them at a time; where they are fewer than its warps, several warps share a tile.
    const int begin = (int)((u64)blockIdx.x * tiles / gridDim.x), end = (int)((u64)(blockIdx.x + 1) * tiles / gridDim.x);
    const int together = end - begin < WARPS ? end - begin : WARPS;
    const int shares = WARPS / together, mine = warp % together, share = warp / together;
    const bool active = share < shares;

    int next_tile = begin + mine, next_step = share, next_slot = 0, slot = 0;
    auto prefetch = [&]() {
        if (active && next_step < steps && next_tile < end)
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

    const float down = 1 / up, twice_up = 2 * up;
    for (int base = begin; base < end; base += together)
    {
        const int tile = base + mine;
        const bool works = active && tile < end;
        Sums sum[NTILES];
#pragma unroll
        for (int n = 0; n < NTILES; n++)
            sum[n] = Sums{0, 0, 0, 0};
        int step = share;
        for (int first = 0; first < steps; first += SLAB)
        {
            block_barrier();
            stage_slab(slab, facts, totals, x, tokens, in_features, first * 256);
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
                    u32 w0[BASES], w1[BASES], a0[BASES], a1[BASES];
                    float rest[2] = {0, 0};      // less the sum of alpha
                    Sums part[NTILES];
#pragma unroll
                    for (int n = 0; n < NTILES; n++)
                        part[n] = Sums{0, 0, 0, 0};
#pragma unroll
                    for (int i = 0; i < BASES; i++)
                    {
                        const Pair signs = ((const Pair*)stage)[(i * 32 + lane) * 2 + half];
                        w0[i] = signs.x, w1[i] = signs.y;
                        const float low = half_to_float(alpha[i] & 0xffff), high = half_to_float(alpha[i] >> 16);
                        rest[0] -= low, rest[1] -= high;
                        a0[i] = floats_to_halves(twice_up * low, twice_up * low), a1[i] = floats_to_halves(twice_up * high, twice_up * high);
                    }
                    const Quad* piece = slab + chunk * NTILES * 128 + lane;
                    multiply_piece<0>(part, w0, w1, a0, a1, piece);
                    multiply_piece<1>(part, w0, w1, a0, a1, piece);
                    multiply_piece<2>(part, w0, w1, a0, a1, piece);
                    multiply_piece<3>(part, w0, w1, a0, a1, piece);
#pragma unroll
                    for (int n = 0; n < NTILES; n++)
                    {
                        const Quad two = ((const Quad*)(facts + chunk * COLUMNS))[4 * n + t];
                        const float left = as_float(two.x) * down, right = as_float(two.z) * down;
                        sum[n].a += left * part[n].a + as_float(two.y) * rest[0];
                        sum[n].b += right * part[n].b + as_float(two.w) * rest[0];
                        sum[n].c += left * part[n].c + as_float(two.y) * rest[1];
                        sum[n].d += right * part[n].d + as_float(two.w) * rest[1];
                    }
                    if (BIAS)
                    {
                        const float low = half_to_float(alpha[BASES] & 0xffff), high = half_to_float(alpha[BASES] >> 16);
#pragma unroll
                        for (int n = 0; n < NTILES; n++)
                        {
                            const Pair all = ((const Pair*)(totals + chunk * COLUMNS))[4 * n + t];
                            sum[n].a += as_float(all.x) * low, sum[n].b += as_float(all.y) * low;
                            sum[n].c += as_float(all.x) * high, sum[n].d += as_float(all.y) * high;
                        }
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
                v += partial[((s * together + at / 16) * COLUMNS + token) * 16 + at % 16];
            if (addend)
                v += load_element(addend[(u64)token * addend_stride + row]);
            y[(u64)token * out_features + row] = (u16)store_element(v);
        }
    }
    copies_wait<0>();
}
