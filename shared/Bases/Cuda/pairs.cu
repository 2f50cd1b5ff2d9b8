// x in shared memory as select.cu wants it: for every two inputs the four sums ±x0 ±x1, as halves in the order of the matrix unit's second operand.
//
// Compiled for: COLUMNS (8, 16 or 32: most tokens), BIAS (0, 1), GROUP (inputs of a scale, a multiple of 32; 2^30 for the row), WARPS, SLAB (steps of
// 256 inputs that are there at a time), BFLOAT (type of x).

#define THREADS (32 * WARPS)
#define NTILES (COLUMNS / 8)
#define SUMS_A_CHUNK (GROUP % 128 == 0 ? 1 : 4)  // sums of x for the bias in each 128 inputs
#define CHUNKS (2 * SLAB)
#define ITEMS ((CHUNKS * COLUMNS * 4 + THREADS - 1) / THREADS)
#define PIECE (4 * NTILES * 8)                   // quads of 16 inputs: [4 cores][NTILES][8 tokens] of 8 halves

// Lanes 8t + g, t = 0..3, have 128 inputs of the token g as an item, 32 each.
struct Item { int t, token, chunk; bool there; };

DEVICE Item item_of(int thread, int k)
{
    const int at = thread + k * THREADS, rest = at >> 5;
    return Item{at >> 3 & 3, (at & 7) + rest % NTILES * 8, rest / NTILES, rest / NTILES < CHUNKS};
}

DEVICE void load_item(u32 (&values)[16], Item item, const u16* x, int tokens, int in_features, int first, bool aligned)
{
    const bool there = item.there && item.token < tokens;
    load_inputs(values, x + (u64)(there ? item.token : 0) * in_features, first + item.chunk * 128 + 32 * item.t, there ? in_features : 0, aligned);
}

// The largest of 32 inputs, without its sign, as the bits of a float.
DEVICE u32 largest_of(const u32 (&values)[16])
{
    u32 most = 0;
#pragma unroll
    for (int p = 0; p < 16; p++)
    {
        u32 low = values[p] << 16 & 0x7fffffff, high = values[p] & 0x7fff0000;
        most = low > most ? low : most;
        most = high > most ? high : most;
    }
    return most;
}

DEVICE u32 largest_of_token(u32 most)
{
#pragma unroll
    for (int lanes = 8; lanes < 32; lanes *= 2)
    {
        u32 other = shuffle_xor(most, lanes);
        most = other > most ? other : most;
    }
    return most;
}

// The sums of pairs of inputs in the order of the products, in shared memory. They are halves under a power of two: 1/2 for f16, so that a sum
// is no larger than an input may be; for bf16 what makes the token's largest in the slab less than 2^14, whose inverse goes into `factors`.
DEVICE void write_slab(Quad* slab, float* sums, float* factors, u32* largest, const u16* x, int thread, int tokens, int in_features, int first)
{
    const bool aligned = in_features % 8 == 0 && ((u64)x & 15) == 0;
    u32 values[ITEMS][16];                       // all on their way before the first is needed
#pragma unroll
    for (int k = 0; k < ITEMS; k++)
        load_item(values[k], item_of(thread, k), x, tokens, in_features, first, aligned);
    if (BFLOAT)
    {
#pragma unroll
        for (int k = 0; k < ITEMS; k++)
        {
            const Item item = item_of(thread, k);
            const u32 most = largest_of_token(largest_of(values[k]));
            if (item.there && item.t == 0)
                largest[item.token * CHUNKS + item.chunk] = most;
        }
        block_barrier();
    }
#pragma unroll
    for (int k = 0; k < ITEMS; k++)
    {
        const Item item = item_of(thread, k);
        float up = 0.5f;
        if (BFLOAT)
        {
            u32 most = 0;
            for (int c = item.t; c < CHUNKS; c += 4)
            {
                u32 other = item.there ? largest[item.token * CHUNKS + c] : 0;
                most = other > most ? other : most;
            }
            most = largest_of_token(most);
            int exponent = 267 - (int)(most >> 23);
            exponent = exponent > 253 ? 253 : exponent;
            up = as_float((u32)exponent << 23);
            // Infinity and NaN spoil the whole slab, as they would any sum.
            if (item.there && item.t == 0 && item.chunk == 0)
                factors[item.token] = most >= 0x7f800000u ? as_float(0x7fc00000u) : as_float((u32)(254 - exponent) << 23);
        }
        float sum = 0;
        Quad* to = slab + (item.chunk * 8 + (item.t >> 1)) * PIECE + ((item.t & 1) * 2 * NTILES + item.token / 8) * 8 + item.token % 8;
#pragma unroll
        for (int q = 0; q < 4; q++)                  // eight inputs: the fours 2 (q % 2) + {0, 1} of both pieces of q / 2
        {
            u32 even[4], odd[4];
#pragma unroll
            for (int p = 0; p < 4; p++)
            {
                const u32 v = values[k][4 * q + p];
                const u32 both = BFLOAT ? floats_to_halves(as_float(v << 16) * up, as_float(v & 0xffff0000) * up) : multiply_halves(v, 0x38003800);
                const u32 a = permute_bytes(both, both, 0x1010), b = permute_bytes(both, both, 0x3232);
                even[p] = multiply_add_halves(a, 0x3c00bc00, b ^ 0x80008000);    // -a - b, a - b
                odd[p] = multiply_add_halves(a, 0x3c00bc00, b);                  // -a + b, a + b
                if (BIAS)
                    sum += half_to_float(odd[p] >> 16);
            }
            if (item.there)
            {
#pragma unroll
                for (int p = 0; p < 2; p++)
                    to[(q >> 1) * 4 * PIECE + p * 2 * PIECE + (q & 1) * NTILES * 8] = Quad{even[p], odd[p], even[p + 2], odd[p + 2]};
            }
        }
        if (BIAS)
        {
            if (SUMS_A_CHUNK == 1)
            {
                sum += as_float(shuffle_xor(as_bits(sum), 8));
                sum += as_float(shuffle_xor(as_bits(sum), 16));
            }
            if (item.there && item.t % (4 / SUMS_A_CHUNK) == 0)
                sums[(item.chunk * SUMS_A_CHUNK + (SUMS_A_CHUNK == 1 ? 0 : item.t)) * COLUMNS + item.token] = sum;
        }
    }
}
