// y = x Ŵᵀ for a few tokens by counting bits, Ŵ a sum of binary matrices in the layout of FragmentLayout.
//
// Each 128 inputs of a token become 16-bit integers under one power of two, and these 16 planes of bits. The matrix unit counts the bits
// that a plane of signs and a plane of x have in common: with b = 1 for +1 and 0 for -1, B x = 2 b x - sum x, and b x is the sum of its counts
// times powers of two. Nothing is unpacked, counts are exact, and the only multiplications are those by scales, once a group and plane.
//
// INPUT says what stands between x and the product, calculated by every block anew since that is cheaper than a launch: 0 nothing, 1 the RMS
// norm with weight `norm`, 2 the same with 1 + weight, 3 silu(gate) * up with gate and up side by side in x [tokens, 2 in].
//
// Compiled for: BASES (1..8), BIAS (0, 1), TOKENS (1..4), GROUP (inputs of a scale, a multiple of 128; 2^30 for the row), WARPS, STAGES, BFLOAT (type of x and y), BLOCKS (least blocks an SM shall hold).
// Order of summation is fixed by the shape alone, so that results repeat bit for bit.

#define SCALES (BASES + BIAS)
#define THREADS (32 * WARPS)
#define CHUNK 128
#define RECORD 72                            // words of 128 inputs in shared memory: 16 planes of 4 words, then 4 pairs of floats
#define STEP_WORDS (BASES * 128)             // words of 16 rows and 256 inputs
#define STAGE_WORDS (STEP_WORDS + 16 * SCALES)
#define MAGIC 0x4B400000                     // 1.5 * 2^23 as a float: adding a small integer to these bits adds it to the number

DEVICE float rounded(float x) { return load_element(store_element(x)); }

// Bits of 16 integers in the low halves, and of 16 in the high ones: afterwards bit j of word b is bit b of integer j.
DEVICE void transpose_bits(u32 (&r)[16])
{
#pragma unroll
    for (int level = 0; level < 4; level++)
    {
        const int s = 8 >> level;
        const u32 low = s == 8 ? 0x00ff00ffu : s == 4 ? 0x0f0f0f0fu : s == 2 ? 0x33333333u : 0x55555555u;
#pragma unroll
        for (int j = 0; j < 16; j++)
        {
            if (j & s)
                continue;
            u32 a = r[j], b = r[j + s];
            r[j] = choose_bits(a, b << s, low);
            r[j + s] = choose_bits(a >> s, b, low);
        }
    }
}

// 1 / sqrt(mean square + epsilon) of every token, for all threads.
DEVICE void measure_rows(float* inverses, float* scratch, const u16* x, int in_features, float epsilon)
{
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    for (int token = 0; token < TOKENS; token++)
    {
        const u16* row = x + (u64)token * in_features;
        float sum = 0;
        for (int first = 32 * threadIdx.x; first < in_features; first += 32 * THREADS)
        {
            u32 r[16];
            load_inputs(r, row, first, in_features, aligned);
#pragma unroll
            for (int k = 0; k < 32; k++)
                sum += element_of(r, k) * element_of(r, k);
        }
#pragma unroll
        for (int k = 16; k; k /= 2)
            sum += as_float(shuffle_xor(as_bits(sum), k));
        if (threadIdx.x % 32 == 0)
            scratch[token * WARPS + threadIdx.x / 32] = sum;
    }
    block_barrier();
    if (threadIdx.x < TOKENS)
    {
        float sum = 0;
        for (int k = 0; k < WARPS; k++)
            sum += scratch[threadIdx.x * WARPS + k];
        inverses[threadIdx.x] = 1 / square_root(sum / in_features + epsilon);
    }
    block_barrier();
}

// The 32 inputs of an item as the product takes them, rounded where the decoder's layers round.
DEVICE void take_inputs(float (&f)[32], const u16* x, const u16* norm, const float* inverses, int token, int first, int in_features, int count, bool aligned)
{
    u32 r[16];
    load_inputs(r, x + (u64)token * in_features * (INPUT == 3 ? 2 : 1), first, count, aligned);
#pragma unroll
    for (int k = 0; k < 32; k++)
        f[k] = element_of(r, k);
    if (INPUT == 1 || INPUT == 2)
    {
        const float inverse = inverses[token];
        load_inputs(r, norm, first, count, aligned && ((u64)norm & 15) == 0);
#pragma unroll
        for (int k = 0; k < 32; k++)
            f[k] = INPUT == 1 ? rounded(rounded(f[k] * inverse) * element_of(r, k)) : rounded(f[k] * inverse * (1 + element_of(r, k)));
    }
    if (INPUT == 3)
    {
        load_inputs(r, x + (u64)(2 * token + 1) * in_features, first, count, aligned);
#pragma unroll
        for (int k = 0; k < 32; k++)
            f[k] = rounded(rounded(f[k] * reciprocal(1 + power_of_two(-1.4426950408889634f * f[k]))) * element_of(r, k));
    }
}

// Four neighbouring lanes turn 128 inputs of one token into a record of shared memory, 32 each.
DEVICE void stage_inputs(u32* records, const u16* x, const u16* norm, const float* inverses, int in_features, int chunks)
{
    const int lane = threadIdx.x & 31, total = TOKENS * chunks * 4;
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    for (int base = threadIdx.x - lane; base < total; base += THREADS)
    {
        // Lanes behind the last item go along with zeros: shuffles need the whole warp.
        const int item = base + lane < total ? base + lane : 0, t = lane & 3, chunk = (item >> 2) % chunks, token = (item >> 2) / chunks;
        float f[32];
        take_inputs(f, x, norm, inverses, token, chunk * CHUNK + 32 * t, in_features, base + lane < total ? in_features : 0, aligned);
        u32 r[16];
        u32 largest = 0;
#pragma unroll
        for (int k = 0; k < 32; k++)
        {
            u32 size = as_bits(f[k]) & 0x7fffffff;
            largest = size > largest ? size : largest;
        }
        u32 other = shuffle_xor(largest, 1);
        largest = other > largest ? other : largest;
        other = shuffle_xor(largest, 2);
        largest = other > largest ? other : largest;
        // The largest gets its leading bit at place 14. Infinity and NaN spoil the whole chunk, as they would any sum.
        int exponent = 268 - (int)(largest >> 23);
        exponent = exponent > 253 ? 253 : exponent;
        const float up = as_float((u32)exponent << 23);
        const float down = largest >= 0x7f800000u ? as_float(0x7fc00000u) : as_float((u32)(254 - exponent) << 23);
        int sum = 0;
#pragma unroll
        for (int k = 0; k < 16; k++)
        {
            int low = round_to_int(f[k] * up), high = round_to_int(f[k + 16] * up);
            sum += low + high;
            r[k] = permute_bytes((u32)low, (u32)high, 0x5410);
        }
        sum += (int)shuffle_xor((u32)sum, 1);
        sum += (int)shuffle_xor((u32)sum, 2);
        transpose_bits(r);
        if (base + lane >= total)
            continue;
        u32* record = records + (token * chunks + chunk) * RECORD;
#pragma unroll
        for (int b = 0; b < 8; b++)
            ((Pair*)record)[4 * b + t] = Pair{r[b], r[b + 8]};
        // A lane of the product counts the planes 2t, 2t + 1, 2t + 8 and 2t + 9: all of them times 2^2t, and twice as b x is.
        ((Pair*)record)[32 + t] = Pair{as_bits(down * (float)(2 << 2 * t)), as_bits(down * (float)sum * 0.25f)};
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

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) count_product(
    const u32* words, const u32* scales, const u16* x, const u16* norm, const u16* addend, u16* y,
    int in_features, int out_features, int groups, int addend_stride, float epsilon)
{
    SHARED_BYTES;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int tiles = (out_features + 15) / 16, steps = (in_features + 255) / 256, chunks = 2 * steps;
    u32* records = (u32*)shared_bytes;
    u32* ring = records + TOKENS * chunks * RECORD + warp * STAGES * STAGE_WORDS;
    float* partial = (float*)(records + TOKENS * chunks * RECORD + WARPS * STAGES * STAGE_WORDS);

    // The signs are on their way before x is looked at, and before the kernel that makes x has ended.
    int next_tile = blockIdx.x, next_step = warp, next_slot = 0, slot = 0;
    auto prefetch = [&]() {
        if (next_step < steps && next_tile < tiles)
        {
            fetch(ring + next_slot * STAGE_WORDS, words, scales, next_tile, next_step, steps, groups);
            next_step += WARPS;
            if (next_step >= steps)
                next_step = warp, next_tile += gridDim.x;
        }
        copies_commit();
        next_slot = next_slot + 1 == STAGES ? 0 : next_slot + 1;
    };
#pragma unroll
    for (int k = 0; k < STAGES - 1; k++)
        prefetch();
    overlap_next();
    overlap_wait();
    float* inverses = partial + WARPS * TOKENS;
    if (INPUT == 1 || INPUT == 2)
        measure_rows(inverses, partial, x, in_features, epsilon);
    stage_inputs(records, x, norm, inverses, in_features, chunks);
    block_barrier();

    const Counts start{MAGIC, 0, MAGIC, 0}, zero{0, 0, 0, 0};
    const int top = t == 3 ? -512 : 512;     // bit 15 is the sign
    int parity = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    {
        float sum[2][TOKENS];
#pragma unroll
        for (int token = 0; token < TOKENS; token++)
            sum[0][token] = sum[1][token] = 0;
        for (int step = warp; step < steps; step += WARPS)
        {
            copies_wait<STAGES - 2>();
            warp_barrier();
            prefetch();
            const u32* stage = ring + slot * STAGE_WORDS;
            slot = slot + 1 == STAGES ? 0 : slot + 1;
            Quad signs[BASES];
#pragma unroll
            for (int i = 0; i < BASES; i++)
                signs[i] = ((const Quad*)stage)[i * 32 + lane];
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const u32* alpha = stage + STEP_WORDS + half * 8 * SCALES + g * SCALES;
                Pair bits[TOKENS], info[TOKENS];
                float part[2][TOKENS];
#pragma unroll
                for (int token = 0; token < TOKENS; token++)
                {
                    const Pair* record = (const Pair*)(records + (token * chunks + 2 * step + half) * RECORD);
                    bits[token] = record[lane], info[token] = record[32 + t];
                    part[0][token] = part[1][token] = 0;
                }
                float rest[2] = {0, 0};      // beta - sum of alpha
                if (BIAS)
                    rest[0] = half_to_float(alpha[BASES] & 0xffff), rest[1] = half_to_float(alpha[BASES] >> 16);
#pragma unroll
                for (int i = 0; i < BASES; i++)
                {
                    const float low = half_to_float(alpha[i] & 0xffff), high = half_to_float(alpha[i] >> 16);
                    rest[0] -= low, rest[1] -= high;
                    const u32 a0 = half ? signs[i].z : signs[i].x, a1 = half ? signs[i].w : signs[i].y;
#pragma unroll
                    for (int token = 0; token < TOKENS; token++)
                    {
                        Counts c = count_and(a0, a1, bits[token].x, start), d = count_and(a0, a1, bits[token].y, zero);
                        float first = as_float((u32)(c.a + 2 * c.b + 256 * d.a + top * d.b)) - 12582912.0f;
                        float second = as_float((u32)(c.c + 2 * c.d + 256 * d.c + top * d.d)) - 12582912.0f;
                        part[0][token] += low * first, part[1][token] += high * second;
                    }
                }
#pragma unroll
                for (int token = 0; token < TOKENS; token++)
                {
                    const float scale = as_float(info[token].x), quarter = as_float(info[token].y);
                    sum[0][token] += scale * part[0][token] + quarter * rest[0];
                    sum[1][token] += scale * part[1][token] + quarter * rest[1];
                }
            }
        }
        // First over the four lanes of a row, then over the warps, always in the same order. Two buffers need one barrier a tile.
        float* mine = partial + (parity * WARPS + warp) * 16 * TOKENS;
#pragma unroll
        for (int token = 0; token < TOKENS; token++)
        {
#pragma unroll
            for (int k = 0; k < 2; k++)
            {
                float v = sum[k][token];
                v += as_float(shuffle_xor(as_bits(v), 1));
                v += as_float(shuffle_xor(as_bits(v), 2));
                if (t == 0)
                    mine[16 * token + 8 * k + g] = v;
            }
        }
        block_barrier();
        for (int k = threadIdx.x; k < 16 * TOKENS; k += THREADS)
        {
            const int row = 16 * tile + (k & 15), token = k >> 4;
            float v = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++)
                v += partial[(parity * WARPS + w) * 16 * TOKENS + k];
            if (row < out_features)
            {
                if (addend)
                    v += load_element(addend[(u64)token * addend_stride + row]);
                y[(u64)token * out_features + row] = (u16)store_element(v);
            }
        }
        parity ^= 1;
    }
    copies_wait<0>();
}
