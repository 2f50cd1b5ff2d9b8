// y = x Ŵᵀ for up to 32 tokens with signs as the places of a sparse matrix product, Ŵ a sum of binary matrices in the layout of FragmentLayout.
//
// A product with a matrix of which two in four elements are zero takes, besides the others, the place of each of them among its four. Here four
// places hold the sums -x0 - x1, x0 - x1, -x0 + x1, x0 + x1 of two inputs (pairs.cu), so that the signs of two inputs ARE the place of one element,
// which is the scale; the second element is the scale of the next plane, with its signs. No sign is ever unpacked: four signs of two planes are one
// digit of the product's places, and the matrix unit selects, multiplies by the scales and adds in fp32. An odd last plane has 0 beside it.
//
// Two elements at one place are outside of what the instruction's description defines; that the device selects them one by one is found out
// before the first use (SelectProduct), and other kernels serve where it does not.
//
// Compiled for: what pairs.cu is, and BASES (1..8), WIDE (1: four warps multiply together and without waiting, sm_90a only), STAGES, RUNS (groups that
// a team's part of a slab touches at most), CLUSTER (blocks that have the same rows and a part of the inputs each; more than 1 from sm_90 on). The order
// of summation is fixed by the shape and the number of blocks, so that results repeat bit for bit.

#define SCALES (BASES + BIAS)
#define PAIRS ((BASES + 1) / 2)
#define TEAM (WIDE ? 4 : 1)                      // warps that multiply together, each a tile of 16 rows
#define TEAMS (WARPS / TEAM)
#define STEP_WORDS (BASES * 128)                 // words of 16 rows and 256 inputs
#define SLOTS (GROUP >= 256 ? (GROUP % 256 ? 2 : 1) : 256 % GROUP ? 255 / GROUP + 2 : 256 / GROUP)
#define STAGE_WORDS (STEP_WORDS + SLOTS * 8 * SCALES)
// Sums of one result that grow side by side: a product takes as long as four others, but for those of a team, of which one follows the other.
#define WAYS (WIDE || NTILES >= 4 ? 1 : 4 / NTILES)
#define ALL_WAYS (WAYS + (WIDE && BIAS))         // the last one takes the bias

// The scales of a step's word are in this one of its slots.
DEVICE int slot_of(int step, int word) { return GROUP % 256 == 0 ? 0 : 256 % GROUP == 0 ? word * 32 / GROUP : (8 * step + word) * 32 / GROUP - step * 256 / GROUP; }

// Asks for what one warp needs of one step: signs, of which `from` says where they are, and the scales of its groups, the last again where there are no more.
DEVICE void fetch(u32 stage, const u32* from, const u32* scales, int step, int groups)
{
    const int lane = threadIdx.x & 31, group = step * 256 / GROUP;
#pragma unroll
    for (int i = 0; i < BASES; i++)
        copy16(stage + 16 * lane + 4 * i * 128, from + i * 128);
#pragma unroll
    for (int piece = lane; piece < SLOTS * 2 * SCALES; piece += 32)
    {
        const int slot = SLOTS == 1 ? 0 : piece / (2 * SCALES), at = group + slot < groups ? group + slot : groups - 1;
        copy16(stage + 16 * piece + 4 * STEP_WORDS, scales + at * (8 * SCALES) + 4 * (piece - slot * 2 * SCALES));
    }
}

// Both scales of a pair of planes at rows g and g + 8. Products want four registers side by side, so that those that are equal are made twice.
struct Scales { u32 first, second; };

template <int copy>
DEVICE Scales scales_of(const u32* alpha, int pair)
{
    const u32 one = alpha[2 * pair], two = 2 * pair + 1 < BASES ? alpha[2 * pair + 1] : 0;
    return copy ? Scales{permute_bytes(two, one, 0x1054), permute_bytes(two, one, 0x3276)} : Scales{permute_bytes(one, two, 0x5410), permute_bytes(one, two, 0x7632)};
}

// What the products of 128 inputs take besides x.
struct Operands
{
    u32 places[PAIRS][4];                        // [2 k + p]: inputs 16k + 4j + 2p + {0, 1} of 32, j = 0..3
    Scales scales[PAIRS][SUMS_A_CHUNK == 1 ? 2 : 4];
};

DEVICE void make_operands(Operands& made, const Quad (&signs)[BASES], const u32* stage, int step, int half)
{
    const u32* alpha = stage + STEP_WORDS + (threadIdx.x >> 2 & 7) * SCALES;
#pragma unroll
    for (int p = 0; p < PAIRS; p++)
    {
        const Quad &first = signs[2 * p], &second = signs[2 * p + 1 < BASES ? 2 * p + 1 : 2 * p];
        const Pair one = half ? Pair{first.z, first.w} : Pair{first.x, first.y}, two = half ? Pair{second.z, second.w} : Pair{second.x, second.y};
#pragma unroll
        for (int k = 0; k < 2; k++)
        {
            const u32 pick = k ? 0x7632 : 0x5410, low = permute_bytes(one.x, one.y, pick), high = permute_bytes(two.x, two.y, pick);
            made.places[p][2 * k] = choose_bits(low, high << 2, 0x33333333);
            made.places[p][2 * k + 1] = choose_bits(low >> 2, high, 0x33333333);
        }
#pragma unroll
        for (int k = 0; k < 4; k += SUMS_A_CHUNK == 1 ? 4 : 2)
        {
            const int left = slot_of(step, 4 * half + k), right = SUMS_A_CHUNK == 1 ? left : slot_of(step, 4 * half + k + 1);
            made.scales[p][k] = scales_of<0>(alpha + left * 8 * SCALES, p);
            made.scales[p][k + 1] = scales_of<1>(alpha + right * 8 * SCALES, p);
        }
    }
}

DEVICE void load_signs(Quad (&signs)[BASES], const u32* stage)
{
#pragma unroll
    for (int i = 0; i < BASES; i++)
        signs[i] = ((const Quad*)stage)[i * 32 + (threadIdx.x & 31)];
}

DEVICE void add_bias(Sums (&sum)[NTILES], const u32* stage, const float* sums, int step, int half)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int k = 0; k < SUMS_A_CHUNK; k++)
    {
        const u32 beta = stage[STEP_WORDS + (slot_of(step, 4 * half + k) * 8 + (lane >> 2)) * SCALES + BASES];
        const float low = half_to_float(beta & 0xffff), high = half_to_float(beta >> 16);
#pragma unroll
        for (int n = 0; n < NTILES; n++)
        {
            Pair both = ((const Pair*)(sums + (half * SUMS_A_CHUNK + k) * COLUMNS))[4 * n + (lane & 3)];
            sum[n].a += low * as_float(both.x), sum[n].b += low * as_float(both.y);
            sum[n].c += high * as_float(both.x), sum[n].d += high * as_float(both.y);
        }
    }
}

#if WIDE

// One step of a team: four tiles, 256 inputs. Products are on their way when it returns.
DEVICE void multiply_step(Sums (&sum)[ALL_WAYS][NTILES], const u32* stage, u32 slab, const float* sums, int step)
{
    const u32 inputs = operand_at<NTILES>(slab);
    Quad signs[BASES];
    load_signs(signs, stage);
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        group_wait<1>();                         // the operands' registers are free
        Operands made;
        make_operands(made, signs, stage, step, half);
        group_begin();
#pragma unroll
        for (int piece = 0; piece < 8; piece++)
        {
            const int k = SUMS_A_CHUNK == 1 ? 0 : 2 * (piece & 1);
#pragma unroll
            for (int p = 0; p < PAIRS; p++)
            {
                const Scales left = made.scales[p][k], right = made.scales[p][k + 1];
                const u32 b = inputs + (half * 8 + piece) * PIECE;
                if (piece & 1)
                    group_select_multiply_add<1>(sum[0], left.first, left.second, right.first, right.second, b, made.places[p][piece >> 1]);
                else
                    group_select_multiply_add<0>(sum[0], left.first, left.second, right.first, right.second, b, made.places[p][piece >> 1]);
            }
        }
        group_commit();
        if (BIAS)
            add_bias(sum[ALL_WAYS - 1], stage, sums, step, half);
    }
}

#else

// One step of a warp: a tile, 256 inputs.
DEVICE void multiply_step(Sums (&sum)[ALL_WAYS][NTILES], const u32* stage, u32 slab, const float* sums, int step)
{
    const int lane = threadIdx.x & 31;
    const u32 inputs = slab + 16 * ((lane >> 3) * NTILES * 8 + (lane & 7));
    Quad signs[BASES], b[2][NTILES];
    load_signs(signs, stage);
#pragma unroll
    for (int n = 0; n < NTILES; n++)
        b[0][n] = load_matrices(inputs + n * 128);
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        Operands made;
        make_operands(made, signs, stage, step, half);
#pragma unroll
        for (int piece = 0; piece < 8; piece++)
        {
            // The inputs of the next product come while this one is calculated.
            const int next = half * 8 + piece + 1, side = piece & 1, k = SUMS_A_CHUNK == 1 ? 0 : 2 * side;
            if (next < 16)
            {
#pragma unroll
                for (int n = 0; n < NTILES; n++)
                    b[next & 1][n] = load_matrices(inputs + next * 16 * PIECE + n * 128);
            }
#pragma unroll
            for (int p = 0; p < PAIRS; p++)
            {
                const Scales left = made.scales[p][k], right = made.scales[p][k + 1];
#pragma unroll
                for (int n = 0; n < NTILES; n++)
                {
                    Sums& to = sum[(piece * PAIRS + p) % WAYS][n];
                    if (side)
                        select_multiply_add<1>(to, left.first, left.second, right.first, right.second, b[side][n], made.places[p][piece >> 1]);
                    else
                        select_multiply_add<0>(to, left.first, left.second, right.first, right.second, b[side][n], made.places[p][piece >> 1]);
                }
            }
        }
        if (BIAS)
            add_bias(sum[ALL_WAYS - 1], stage, sums, step, half);
    }
}

#endif

// A cluster has the tiles from `begin` to `end`, `height` groups of TEAM at a time, and each of its blocks the steps up to `last` of them. Of each
// slab, all (group, step) are dealt out evenly to the teams, each getting a run of them that touches RUNS groups at most, the same in every slab.
struct Work
{
    int base, first, step, group, left, count;   // left: units of the slab that are still to come; count: steps of the slab
};

DEVICE void begin_slab(Work& work, int team, int height, int last)
{
    work.count = last - work.first < SLAB ? last - work.first : SLAB;
    const int from = height * work.count * team / TEAMS;
    work.left = height * work.count * (team + 1) / TEAMS - from;
    work.group = work.count == SLAB ? from / SLAB : work.count > 0 ? from / work.count : 0, work.step = from - work.group * work.count;
}

DEVICE void next_unit(Work& work)
{
    work.left--;
    if (++work.step == work.count)
        work.step = 0, work.group++;
}

extern "C" __global__ void
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
__launch_bounds__(THREADS, 1) select_product(
    const u32* words, const u32* scales, const u16* x, const u16* addend, u16* y,
    int tokens, int in_features, int out_features, int groups, int addend_stride)
{
    SHARED_BYTES;
    // By a shuffle the compiler knows that all lanes have the same.
    const int thread = threadIdx.x, lane = thread & 31, warp = shuffle_from(thread >> 5, 0), team = warp / TEAM, member = warp % TEAM, g = lane >> 2, t = lane & 3;
    const int tiles = (out_features + 15) / 16, steps = (in_features + 255) / 256;
    Quad* slab = (Quad*)shared_bytes;
    float* partial = (float*)slab;               // [WARPS][RUNS][COLUMNS][16], when the slab is done
    float* sums = (float*)(slab + (SLAB * 16 * PIECE > WARPS * RUNS * 4 * COLUMNS ? SLAB * 16 * PIECE : WARPS * RUNS * 4 * COLUMNS));
    float* factors = sums + (BIAS ? CHUNKS * SUMS_A_CHUNK * COLUMNS : 0);
    u32* largest = (u32*)(factors + COLUMNS);
    u32* ring = largest + (BFLOAT ? CHUNKS * COLUMNS : 0) + warp * STAGES * STAGE_WORDS;
    const u32 ring_at = shared_address(ring), slab_at = shared_address(slab);

    const int rank = blockIdx.x % CLUSTER, cluster = blockIdx.x / CLUSTER, clusters = gridDim.x / CLUSTER;
    const int begin = (int)((u64)cluster * tiles / clusters), end = (int)((u64)(cluster + 1) * tiles / clusters);
    const int initial = steps * rank / CLUSTER, last = steps * (rank + 1) / CLUSTER;
    const int all = (end - begin + TEAM - 1) / TEAM, batches = (all + (RUNS - 1) * TEAMS - 1) / ((RUNS - 1) * TEAMS), height = (all + batches - 1) / batches;

    int next_slot = 0, slot = 0;
    Work ahead{begin, initial};
    begin_slab(ahead, team, height, last);
    auto start_of = [&](const Work& work) {
        return words + ((u64)(work.base + work.group * TEAM + member) * steps + work.first + work.step) * STEP_WORDS + 4 * lane;
    };
    const u32* from = start_of(ahead);
    auto prefetch = [&]() {
        while (ahead.left == 0 && ahead.base < end)
        {
            ahead.first += SLAB;
            if (ahead.first >= last)
                ahead.first = initial, ahead.base += height * TEAM;
            begin_slab(ahead, team, height, last);
            from = start_of(ahead);
        }
        if (ahead.base < end)
        {
            const int tile = ahead.base + ahead.group * TEAM + member;
            if (tile < end)
                fetch(ring_at + 4 * next_slot * STAGE_WORDS, from, scales + (u64)tile * groups * (8 * SCALES), ahead.first + ahead.step, groups);
            next_unit(ahead);
            from = ahead.step ? from + STEP_WORDS : start_of(ahead);
        }
        copies_commit();
        next_slot = next_slot + 1 == STAGES ? 0 : next_slot + 1;
    };
#pragma unroll
    for (int k = 0; k < STAGES - 1; k++)
        prefetch();
    overlap_next();
    overlap_wait();

    for (int base = begin; base < end; base += height * TEAM)
    {
        Sums total[RUNS][NTILES];
#pragma unroll
        for (int k = 0; k < RUNS; k++)
#pragma unroll
            for (int n = 0; n < NTILES; n++)
                total[k][n] = Sums{0, 0, 0, 0};
        Sums sum[ALL_WAYS][NTILES];
#pragma unroll
        for (int way = 0; way < ALL_WAYS; way++)
#pragma unroll
            for (int n = 0; n < NTILES; n++)
                sum[way][n] = Sums{0, 0, 0, 0};
        Work work{base, initial};
        for (; work.first < last; work.first += SLAB)
        {
            block_barrier();
            write_slab(slab, sums, factors, largest, x, thread, tokens, in_features, work.first * 256);
            if (WIDE)
                shared_written();
            block_barrier();
            begin_slab(work, team, height, last);
            for (int run = 0; work.left > 0; run++)
            {
                for (int units = work.left < work.count - work.step ? work.left : work.count - work.step; units > 0; units--)
                {
                    copies_wait<STAGES - 2>();
                    warp_barrier();
                    prefetch();
                    multiply_step(sum, ring + slot * STAGE_WORDS, slab_at + 16 * work.step * 16 * PIECE, sums + work.step * 2 * SUMS_A_CHUNK * COLUMNS, work.first + work.step);
                    slot = slot + 1 == STAGES ? 0 : slot + 1;
                    next_unit(work);
                }
                if (WIDE)
                    group_wait<0>();
#pragma unroll
                for (int n = 0; n < NTILES; n++)
                {
                    const float left = BFLOAT ? factors[8 * n + 2 * t] : 2, right = BFLOAT ? factors[8 * n + 2 * t + 1] : 2;
                    Sums v = sum[0][n];
                    sum[0][n] = Sums{0, 0, 0, 0};
#pragma unroll
                    for (int way = 1; way < ALL_WAYS; way++)
                    {
                        v.a += sum[way][n].a, v.b += sum[way][n].b, v.c += sum[way][n].c, v.d += sum[way][n].d;
                        sum[way][n] = Sums{0, 0, 0, 0};
                    }
#pragma unroll
                    for (int k = 0; k < RUNS; k++)
                        if (k == run)
                            total[k][n].a += v.a * left, total[k][n].b += v.b * right, total[k][n].c += v.c * left, total[k][n].d += v.d * right;
                }
            }
        }
        block_barrier();
#pragma unroll
        for (int k = 0; k < RUNS; k++)
#pragma unroll
            for (int n = 0; n < NTILES; n++)
            {
                float* to = partial + ((warp * RUNS + k) * COLUMNS + 8 * n + 2 * t) * 16 + g;
                to[0] = total[k][n].a, to[16] = total[k][n].b, to[8] = total[k][n].c, to[24] = total[k][n].d;
            }
        cluster_barrier<CLUSTER>();
        // Four rows at a time, a part of them by each block of the cluster.
        const int quads = height * TEAM * 4;
        for (int k = thread + rank * THREADS; k < quads * tokens; k += THREADS * CLUSTER)
        {
            const int token = k / quads, quad = k - token * quads, group = quad / (4 * TEAM), row = 16 * base + 4 * quad;
            if (row >= out_features || base + quad / 4 >= end)
                continue;
            Sums v{0, 0, 0, 0};
#pragma unroll
            for (int r = 0; r < CLUSTER; r++)
            {
                Sums parts[TEAMS];
#pragma unroll
                for (int w = 0; w < TEAMS; w++)
                {
                    const int own = group - height * w / TEAMS;
                    const bool has = own >= 0 && own < RUNS;
                    parts[w] = load_from<CLUSTER>((const Sums*)(partial + (((w * TEAM + quad / 4 % TEAM) * RUNS + (has ? own : 0)) * COLUMNS + token) * 16) + quad % 4, r);
                    if (!has)
                        parts[w] = Sums{0, 0, 0, 0};
                }
#pragma unroll
                for (int w = 0; w < TEAMS; w++)
                    v.a += parts[w].a, v.b += parts[w].b, v.c += parts[w].c, v.d += parts[w].d;
            }
            const float values[4] = {v.a, v.b, v.c, v.d};
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (row + i < out_features)
                {
                    const float added = addend ? load_element(addend[(u64)token * addend_stride + row + i]) : 0;
                    y[(u64)token * out_features + row + i] = (u16)store_element(values[i] + added);
                }
        }
        cluster_done<CLUSTER>();                 // others have read
    }
    copies_wait<0>();
}
