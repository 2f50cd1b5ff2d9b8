// y = x Ŵᵀ for up to 16 tokens with levels looked up in registers, Ŵ a sum of binary matrices in the layout of FragmentLayout.
//
// Up to four signs of a weight choose one of 2^4 values ±a0 ±a1 ±a2 ±a3; the last sign turns all the others round, so that 8 halves, four
// registers, hold the table of a row and group. Two byte permutations look up four weights; the matrix unit multiplies them with x and adds in
// fp32. More than four planes are two tables and two products. The bias of a group multiplies the sum of its inputs.
//
// Compiled for: BASES (1..8), BIAS (0, 1), COLUMNS (8 or 16: most tokens), GROUP (inputs of a scale, a multiple of 32; 2^30 for the row),
// WARPS, STAGES, SLAB (steps of 256 inputs whose x is in shared memory at a time: a multiple of 4), BFLOAT (type of x and y).
// The order of summation is fixed by the shape and the number of blocks, so that results repeat bit for bit.

#define SCALES (BASES + BIAS)
#define THREADS (32 * WARPS)
#define NTILES (COLUMNS / 8)
#define QUADS ((BASES + 3) / 4)
#define STEP_WORDS (BASES * 128)
#define SLOTS (GROUP >= 256 ? (GROUP % 256 ? 2 : 1) : 256 % GROUP ? 255 / GROUP + 2 : 256 / GROUP)
#define STAGE_WORDS (STEP_WORDS + SLOTS * 8 * SCALES)
#define SUM_WORDS (GROUP % 128 == 0 ? 4 : 1)     // words of 32 inputs that one sum for the bias spans
#define SLAB_WORDS (SLAB * 8)

// A warp brings the slab's inputs of one token after the other into the order of the products: for each 128 inputs, r = 0..3, token and lane t
// the inputs 32t + 4i + r, i = 0..7. bf16 becomes f16 under a power of two that goes into `factors`.
DEVICE void stage_slab(Quad* slab, float* sums, float* factors, const u16* x, int tokens, int in_features, int first)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    for (int token = warp; token < COLUMNS; token += WARPS)
    {
        const u16* row = x + (u64)token * in_features;
        const int count = token < tokens ? in_features : 0;
        float up = 1;
        if (BFLOAT)
        {
            u32 largest = 0;
            for (int word = lane; word < SLAB_WORDS; word += 32)
            {
                u32 v[16];
                load_inputs(v, row, first + 32 * word, count, aligned);
#pragma unroll
                for (int k = 0; k < 16; k++)
                {
                    u32 low = v[k] << 16 & 0x7fffffff, high = v[k] & 0x7fff0000;
                    largest = low > largest ? low : largest;
                    largest = high > largest ? high : largest;
                }
            }
#pragma unroll
            for (int k = 1; k < 32; k *= 2)
            {
                u32 other = shuffle_xor(largest, k);
                largest = other > largest ? other : largest;
            }
            int exponent = 268 - (int)(largest >> 23);
            exponent = exponent > 253 ? 253 : exponent;
            up = as_float((u32)exponent << 23);
            if (lane == 0)
                factors[token] = largest >= 0x7f800000u ? as_float(0x7fc00000u) : as_float((u32)(254 - exponent) << 23);
        }
        for (int word = lane; word < SLAB_WORDS; word += 32)
        {
            u32 v[16];
            load_inputs(v, row, first + 32 * word, count, aligned);
            if (BFLOAT)
            {
#pragma unroll
                for (int k = 0; k < 16; k++)
                    v[k] = floats_to_halves(as_float(v[k] << 16) * up, as_float(v[k] & 0xffff0000) * up);
            }
            if (BIAS)
            {
                float sum = 0;
#pragma unroll
                for (int k = 0; k < 16; k++)
                    sum += half_to_float(v[k] & 0xffff) + half_to_float(v[k] >> 16);
                if (SUM_WORDS == 4)
                {
                    sum += as_float(shuffle_xor(as_bits(sum), 1));
                    sum += as_float(shuffle_xor(as_bits(sum), 2));
                }
                if (word % SUM_WORDS == 0)
                    sums[word / SUM_WORDS * COLUMNS + token] = sum;
            }
#pragma unroll
            for (int r = 0; r < 4; r++)
            {
                const u32 pick = r & 1 ? 0x7632 : 0x5410;
                const int a = r >> 1;
                slab[((word / 4 * 4 + r) * COLUMNS + token) * 4 + word % 4] =
                    Quad{permute_bytes(v[a], v[a + 2], pick), permute_bytes(v[a + 4], v[a + 6], pick),
                         permute_bytes(v[a + 8], v[a + 10], pick), permute_bytes(v[a + 12], v[a + 14], pick)};
            }
        }
    }
}

DEVICE int group_of(int word, int groups)
{
    int group = word * 32 / GROUP;
    return group < groups ? group : groups - 1;
}

// Asks for what one warp needs of one step: signs, and the scales of its groups.
DEVICE void fetch(u32* stage, const u32* words, const u32* scales, int tile, int step, int steps, int groups)
{
    const int lane = threadIdx.x & 31;
    const u32* from = words + ((u64)tile * steps + step) * STEP_WORDS + 4 * lane;
#pragma unroll
    for (int i = 0; i < BASES; i++)
        copy16(stage + i * 128 + 4 * lane, from + i * 128);
    const int group = group_of(8 * step, groups);
#pragma unroll
    for (int piece = lane; piece < SLOTS * 2 * SCALES; piece += 32)
    {
        int slot = piece / (2 * SCALES), at = group + slot < groups ? group + slot : groups - 1;
        copy16(stage + STEP_WORDS + 4 * piece, scales + ((u64)tile * groups + at) * (8 * SCALES) + 4 * (piece - slot * 2 * SCALES));
    }
}

// Tables of rows g (first) and g + 8: the high and the low bytes of eight levels each.
struct Table { u32 high[2], low[2]; };

// From scales of both rows side by side: level e is a3 + sum of (bit j of e ? -a_j : a_j). The largest scale, commonly the first, comes last.
DEVICE void make_tables(Table (&tables)[2], u32 a0, u32 a1, u32 a2, u32 a3)
{
    u32 s = add_halves(a3, a2), d = subtract_halves(a3, a2);
    u32 p[4] = {add_halves(s, a1), subtract_halves(s, a1), add_halves(d, a1), subtract_halves(d, a1)};
#pragma unroll
    for (int k = 0; k < 2; k++)
    {
        u32 l0 = add_halves(p[2 * k], a0), l1 = subtract_halves(p[2 * k], a0), l2 = add_halves(p[2 * k + 1], a0), l3 = subtract_halves(p[2 * k + 1], a0);
        u32 first = permute_bytes(l0, l1, 0x5140), second = permute_bytes(l2, l3, 0x5140);
        tables[0].low[k] = permute_bytes(first, second, 0x5410), tables[0].high[k] = permute_bytes(first, second, 0x7632);
        first = permute_bytes(l0, l1, 0x7362), second = permute_bytes(l2, l3, 0x7362);
        tables[1].low[k] = permute_bytes(first, second, 0x5410), tables[1].high[k] = permute_bytes(first, second, 0x7632);
    }
}

// The signs of 32 weights of one row in the order of the lookups: e0..e2 tell which signs differ from the last one, each turned by its number;
// in `last` nibble 2i + h holds what nibble 4h + i held.
struct Codes { u32 e0, e1, e2, last; };

DEVICE Codes make_codes(u32 w0, u32 w1, u32 w2, u32 w3)
{
    u32 bytes = permute_bytes(w3, w3, 0x3120);
    u32 middle = choose_bits(bytes << 4, bytes >> 4, 0x0f000f00);
    return Codes{w0 ^ w3, rotate_right(w1 ^ w3, 31), rotate_right(w2 ^ w3, 30), choose_bits(bytes, middle, 0xf00ff00f)};
}

DEVICE u32 turn_left(u32 x, int bits) { return bits ? x << bits | x >> (32 - bits) : x; }

// The weights 16h + 4i + r, i = 0..3, as halves: i = 0, 1 in a, 2, 3 in b.
DEVICE void look_up(u32& a, u32& b, const Table& table, u32 selector, u32 last, int place)
{
    u32 high = permute_bytes(table.high[0], table.high[1], selector), low = permute_bytes(table.low[0], table.low[1], selector);
    high ^= ~(last << (7 - place)) & 0x80808080u;
    a = permute_bytes(low, high, 0x5140), b = permute_bytes(low, high, 0x7362);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) table_product(
    const u32* words, const u32* scales, const u16* x, const u16* addend, u16* y,
    int tokens, int in_features, int out_features, int groups, int addend_stride)
{
    SHARED_BYTES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int tiles = (out_features + 15) / 16, steps = (in_features + 255) / 256;
    Quad* slab = (Quad*)shared_bytes;
    float* sums = (float*)(slab + SLAB_WORDS * 4 * COLUMNS);
    float* factors = sums + (BIAS ? SLAB_WORDS / SUM_WORDS * COLUMNS : 0);
    u32* ring = (u32*)(factors + COLUMNS) + warp * STAGES * STAGE_WORDS;
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

    for (int base = begin; base < end; base += together)
    {
        const int tile = base + mine;
        const bool works = active && tile < end;
        Sums total[NTILES], sum[NTILES];
#pragma unroll
        for (int n = 0; n < NTILES; n++)
            total[n] = sum[n] = Sums{0, 0, 0, 0};
        int step = share;
        for (int first = 0; first < steps; first += SLAB)
        {
            block_barrier();
            stage_slab(slab, sums, factors, x, tokens, in_features, first * 256);
            block_barrier();
            for (; works && step < steps && step < first + SLAB; step += shares)
            {
                copies_wait<STAGES - 2>();
                warp_barrier();
                prefetch();
                const u32* stage = ring + slot * STAGE_WORDS;
                slot = slot + 1 == STAGES ? 0 : slot + 1;
                const int group = group_of(8 * step, groups);
                Quad signs[BASES];
#pragma unroll
                for (int i = 0; i < BASES; i++)
                    signs[i] = ((const Quad*)stage)[i * 32 + lane];
#pragma unroll
                for (int half = 0; half < 2; half++)
                {
                    const int chunk = 2 * (step - first) + half;
                    const u32* alpha = stage + STEP_WORDS + ((group_of(8 * step + 4 * half + t, groups) - group) * 8 + g) * SCALES;
#pragma unroll
                    for (int q = 0; q < QUADS; q++)
                    {
                        const int planes = BASES - 4 * q < 4 ? BASES - 4 * q : 4, last = 4 * q + planes - 1;
                        Table tables[2];
                        make_tables(tables, planes > 1 ? alpha[4 * q] : 0, planes > 2 ? alpha[4 * q + 1] : 0, planes > 3 ? alpha[4 * q + 2] : 0, alpha[last]);
                        Codes codes[2];
#pragma unroll
                        for (int k = 0; k < 2; k++)
                        {
                            u32 w[4];
#pragma unroll
                            for (int j = 0; j < 4; j++)
                            {
                                const Quad& v = signs[j < planes - 1 ? 4 * q + j : last];
                                w[j] = half ? (k ? v.w : v.z) : (k ? v.y : v.x);
                            }
                            codes[k] = make_codes(w[0], w[1], w[2], w[3]);
                        }
#pragma unroll
                        for (int r = 0; r < 4; r++)
                        {
                            u32 selectors[2];
#pragma unroll
                            for (int k = 0; k < 2; k++)
                            {
                                const u32 m0 = turn_left(0x11111111, r), m1 = turn_left(0x22222222, r), m2 = turn_left(0x44444444, r);
                                u32 both = choose_bits(codes[k].e0, codes[k].e1, m0) & (m0 | m1);
                                selectors[k] = rotate_right(both | (codes[k].e2 & m2), r);
                            }
                            Quad b[NTILES];
#pragma unroll
                            for (int n = 0; n < NTILES; n++)
                                b[n] = slab[((chunk * 4 + r) * COLUMNS + 8 * n + g) * 4 + t];
#pragma unroll
                            for (int h = 0; h < 2; h++)
                            {
                                u32 a0, a1, a2, a3;
                                look_up(a0, a2, tables[0], selectors[0] >> 16 * h, codes[0].last, 4 * h + r);
                                look_up(a1, a3, tables[1], selectors[1] >> 16 * h, codes[1].last, 4 * h + r);
#pragma unroll
                                for (int n = 0; n < NTILES; n++)
                                    multiply_add(sum[n], a0, a1, a2, a3, h ? b[n].z : b[n].x, h ? b[n].w : b[n].y);
                            }
                        }
                    }
                    if (BIAS)
                    {
#pragma unroll
                        for (int k = 0; k < 4 / SUM_WORDS; k++)
                        {
                            const u32 beta = stage[STEP_WORDS + ((group_of(8 * step + 4 * half + k, groups) - group) * 8 + g) * SCALES + BASES];
                            const float low = half_to_float(beta & 0xffff), high = half_to_float(beta >> 16);
#pragma unroll
                            for (int n = 0; n < NTILES; n++)
                            {
                                Pair both = ((const Pair*)(sums + (chunk * (4 / SUM_WORDS) + k) * COLUMNS))[4 * n + t];
                                sum[n].a += low * as_float(both.x), sum[n].b += low * as_float(both.y);
                                sum[n].c += high * as_float(both.x), sum[n].d += high * as_float(both.y);
                            }
                        }
                    }
                }
            }
            if (BFLOAT)
            {
#pragma unroll
                for (int n = 0; n < NTILES; n++)
                {
                    const float left = factors[8 * n + 2 * t], right = factors[8 * n + 2 * t + 1];
                    total[n].a += sum[n].a * left, total[n].b += sum[n].b * right, total[n].c += sum[n].c * left, total[n].d += sum[n].d * right;
                    sum[n] = Sums{0, 0, 0, 0};
                }
            }
        }
        block_barrier();
#pragma unroll
        for (int n = 0; n < NTILES; n++)
        {
            const Sums& v = BFLOAT ? total[n] : sum[n];
            float* to = partial + (warp * COLUMNS + 8 * n + 2 * t) * 16 + g;
            to[0] = v.a, to[16] = v.b, to[8] = v.c, to[24] = v.d;
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
