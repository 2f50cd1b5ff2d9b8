// Alternating refinement of groups of weights: one warp takes one group from its weights to fp16 scales and codes. The plain forms are
// GroupBatch (the same on tensors) and, in the end, ReferenceAlternating.
//
// The weights are sorted, with running sums of them in double, so that the weights nearest to one of the 2^N levels are an interval: a
// round needs 2^N binary searches and differences instead of a look at every weight. TEAM lanes hold the levels of one starting point,
// HELD of them each, so that TEAMS starting points run side by side in a warp. The N + 1 normal equations are Walsh-Hadamard coefficients
// of counts and sums per code; every lane of a team solves them for itself.
//
// Stands behind bases.cu. Defined by the host beside BASES and BIAS: WEIGHTED (0, 1: errors count by column), PADDED (a power of two, the
// group's length at least and 32 at least), CASCADE and GRIDS (0, 1: the starting points), WARPS (of a block) and WARP_BYTES.

#define TEAM (LEVELS < 32 ? LEVELS : 32)
#define TEAMS (32 / TEAM)
#define HELD (LEVELS / TEAM)
#define CLIPS 7
#define STARTS (CASCADE + CLIPS * GRIDS)
#define PROBE_ROUNDS 2
#define SURVIVORS 3
#define STATS (1 + 3 * BASES)
#define RIDGE 1e-10

// What the lanes of a team add up for its normal equations: per code first, per mask of the transform then.
struct Team {
    double counts[LEVELS];
    double sums[LEVELS];
};

// What a warp keeps of its group.
struct Warp {
    u64 keys[PADDED + 1];  // to sort by; afterwards the running sums, as double
#if WEIGHTED
    double masses[PADDED + 1];  // running sums of the weights' importance
#endif
    Team teams[TEAMS];
    double starts[STARTS][UNKNOWNS + 1];  // scales, bias, objective
    float values[PADDED];                 // rising; +infinity behind the group's length
    u16 columns[PADDED];
    u8 first[PADDED];  // the cascade's codes, by place in the order
};

static_assert(sizeof(Warp) == WARP_BYTES, "the host counts the bytes of a warp otherwise");

// A start on its way, the same in all lanes of its team.
struct Candidate {
    double a[UNKNOWNS];
    double objective;
};

// The levels that a lane holds, rising: their codes, and how many weights lie below the upper threshold of each.
struct Intervals {
    int code[HELD];
    int bound[HELD];
};

__device__ __forceinline__ int reversed(int code) {
    int r = 0;
#pragma unroll
    for (int i = 0; i < BASES; i++) r |= (code >> i & 1) << (BASES - 1 - i);
    return r;
}

// ---- loading ----------------------------------------------------------------------------------------------------------------------------

// Bits of a float in an order that unsigned integers share, with the column behind, so that the order is one and the same always.
__device__ __forceinline__ u64 key_of(float w, int column) {
    int bits = __float_as_int(w);
    u32 ordered = (u32)(bits ^ (bits >> 31 & 0x7fffffff)) ^ 0x80000000u;
    return (u64)ordered << 32 | (u32)column;
}

__device__ __forceinline__ float value_of(u64 key) {
    int bits = (int)((u32)(key >> 32) ^ 0x80000000u);
    return __int_as_float(bits ^ (bits >> 31 & 0x7fffffff));
}

// Bitonic sort of the keys.
__device__ void sort(u64* keys, int lane) {
    for (int size = 2; size <= PADDED; size *= 2) {
        for (int stride = size / 2; stride > 0; stride /= 2) {
            __syncwarp();
            for (int pair = lane; pair < PADDED / 2; pair += 32) {
                int low = 2 * pair - (pair & (stride - 1));
                u64 a = keys[low], b = keys[low + stride];
                if ((a > b) == ((low & size) == 0)) {
                    keys[low] = b;
                    keys[low + stride] = a;
                }
            }
        }
    }
    __syncwarp();
}

// Running sum at the beginning of this lane's share, given the sum over the share.
__device__ __forceinline__ double before(double share, int lane) {
    for (int d = 1; d < 32; d *= 2) {
        double y = __shfl_up_sync(ALL, share, d);
        if (lane >= d) share += y;
    }
    double x = __shfl_up_sync(ALL, share, 1);
    return lane == 0 ? 0.0 : x;
}

// Sorts the group and sums it up; gives the sum of importance times square.
__device__ double load(Warp& me, const float* w, const double* importance, int length, int lane) {
    for (int j = lane; j < PADDED; j += 32) me.keys[j] = j < length ? key_of(w[j], j) : ~0ull;
    sort(me.keys, lane);
    for (int j = lane; j < PADDED; j += 32) {
        me.values[j] = j < length ? value_of(me.keys[j]) : __int_as_float(0x7f800000);
        me.columns[j] = (u16)me.keys[j];
    }
    __syncwarp();
    double* running = reinterpret_cast<double*>(me.keys);
    const int share = PADDED / 32, begin = lane * share;
    double sum = 0, squares = 0, mass = 0;
    for (int j = begin; j < begin + share && j < length; j++) {
        double h = WEIGHTED ? importance[me.columns[j]] : 1.0;
        double weighted = h * me.values[j];
        sum += weighted;
        squares += weighted * me.values[j];
        mass += h;
    }
    sum = before(sum, lane);
    mass = before(mass, lane);
    for (int j = begin; j < begin + share; j++) {
        running[j] = sum;
#if WEIGHTED
        me.masses[j] = mass;
#endif
        if (j >= length) continue;
        double h = WEIGHTED ? importance[me.columns[j]] : 1.0;
        sum += h * me.values[j];
        mass += h;
    }
    if (lane == 31) {
        running[PADDED] = sum;
#if WEIGHTED
        me.masses[PADDED] = mass;
#endif
    }
    __syncwarp();
    return total(squares);
}

// ---- the cascade ------------------------------------------------------------------------------------------------------------------------

// What `count` bases of the cascade leave of a weight; their signs go into code.
__device__ __forceinline__ double residual(double r, const double* scales, int count, int& code) {
    code = 0;
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        if (i >= count) break;
        bool positive = r >= 0;
        r -= positive ? scales[i] : -scales[i];
        code |= (int)positive << i;
    }
    return r;
}

// Each basis takes the signs of what the ones before left, and its mean magnitude. errors [N]: what 1..N bases leave, squared.
__device__ void cascade(Warp& me, int length, int lane, double* errors) {
    double scales[BASES];
    double magnitude = 0;
    for (int j = lane; j < length; j += 32) magnitude += fabs((double)me.values[j]);
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        scales[i] = total(magnitude) / length;
        double squares = 0;
        magnitude = 0;
        for (int j = lane; j < length; j += 32) {
            int code;
            double r = residual(me.values[j], scales, i + 1, code);
            squares += r * r;
            magnitude += fabs(r);
            me.first[j] = (u8)code;
        }
        errors[i] = total(squares);
    }
    __syncwarp();
}

// The cascade's codes, read with the first basis as the highest bit, rise with the weights: its intervals.
__device__ void cascade_intervals(const Warp& me, Intervals& at, int length, int rank) {
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int place = rank * HELD + k, low = 0, high = length;
        at.code[k] = reversed(place);
        while (low < high) {
            int middle = (low + high) / 2;
            if (reversed(me.first[middle]) <= place) low = middle + 1;
            else high = middle;
        }
        at.bound[k] = low;
    }
}

// ---- one round --------------------------------------------------------------------------------------------------------------------------

// Puts the codes that the team's lanes hold, and their levels, in rising order. They mostly are already: odd-even transposition.
__device__ __forceinline__ void arrange(const double* a, Intervals& at, double* levels, int rank) {
#pragma unroll
    for (int k = 0; k < HELD; k++) levels[k] = level(a, at.code[k]);
    for (;;) {
        double above = __shfl_down_sync(ALL, levels[0], 1, TEAM);
        bool wrong = rank < TEAM - 1 && above < levels[HELD - 1];
#pragma unroll
        for (int k = 0; k + 1 < HELD; k++) wrong |= levels[k + 1] < levels[k];
        if (!__any_sync(ALL, wrong)) return;
#if HELD == 1
        for (int phase = 0; phase < 2; phase++) {
            int partner = phase == 0 ? rank ^ 1 : ((rank + 1) ^ 1) - 1;
            bool paired = partner >= 0 && partner < TEAM;
            double other = __shfl_sync(ALL, levels[0], paired ? partner : rank, TEAM);
            int code = __shfl_sync(ALL, at.code[0], paired ? partner : rank, TEAM);
            if (paired && (rank < partner ? other < levels[0] : other > levels[0])) {
                levels[0] = other;
                at.code[0] = code;
            }
        }
#else
        for (int phase = 0; phase < 2; phase++) {
#pragma unroll
            for (int k = 0; k + 1 < HELD; k++) {
                if ((k & 1) != phase || !(levels[k + 1] < levels[k])) continue;
                double v = levels[k];
                int code = at.code[k];
                levels[k] = levels[k + 1];
                at.code[k] = at.code[k + 1];
                levels[k + 1] = v;
                at.code[k + 1] = code;
            }
        }
        double next = __shfl_down_sync(ALL, levels[0], 1, TEAM), previous = __shfl_up_sync(ALL, levels[HELD - 1], 1, TEAM);
        int next_code = __shfl_down_sync(ALL, at.code[0], 1, TEAM), previous_code = __shfl_up_sync(ALL, at.code[HELD - 1], 1, TEAM);
        if (rank < TEAM - 1 && next < levels[HELD - 1]) {
            levels[HELD - 1] = next;
            at.code[HELD - 1] = next_code;
        }
        if (rank > 0 && previous > levels[0]) {
            levels[0] = previous;
            at.code[0] = previous_code;
        }
#endif
    }
}

// Half way to the next level, for each level that the lane holds; of no meaning for the highest.
__device__ __forceinline__ void thresholds_of(const double* levels, float* thresholds) {
    double above = __shfl_down_sync(ALL, levels[0], 1, TEAM);
#pragma unroll
    for (int k = 0; k < HELD; k++) thresholds[k] = (float)((levels[k] + (k + 1 < HELD ? levels[k + 1 < HELD ? k + 1 : 0] : above)) * 0.5);
}

// How many weights are smaller.
__device__ __forceinline__ int count_below(const float* values, float threshold) {
    int place = 0;
#pragma unroll
    for (int step = PADDED / 2; step > 0; step /= 2)
        if (values[place + step - 1] < threshold) place += step;
    return place + (values[place] < threshold ? 1 : 0);
}

__device__ __forceinline__ void find_bounds(const Warp& me, const double* levels, Intervals& at, int length, int rank) {
    float thresholds[HELD];
    thresholds_of(levels, thresholds);
#pragma unroll
    for (int k = 0; k < HELD; k++) at.bound[k] = rank * HELD + k == LEVELS - 1 ? length : count_below(me.values, thresholds[k]);
}

// In place x[m] := sum over c of (-1)^{bits of c and m} x[c], index rank · HELD + k.
__device__ __forceinline__ void transform(double* x, int rank) {
#pragma unroll
    for (int half = 1; half < HELD; half *= 2) {
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            if (k & half) continue;
            double low = x[k], high = x[k | half];
            x[k] = low + high;
            x[k | half] = low - high;
        }
    }
#pragma unroll
    for (int mask = 1; mask < TEAM; mask *= 2) {
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            double other = __shfl_xor_sync(ALL, x[k], mask, TEAM);
            x[k] = rank & mask ? other - x[k] : x[k] + other;
        }
    }
}

// The normal equations of the intervals, as coefficients of the transform.
__device__ __forceinline__ void prepare(Warp& me, Team& team, const Intervals& at, int rank) {
    const double* running = reinterpret_cast<const double*>(me.keys);
    int below = __shfl_up_sync(ALL, at.bound[HELD - 1], 1, TEAM);
    if (rank == 0) below = 0;
    __syncwarp();
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int first = k == 0 ? below : at.bound[k == 0 ? 0 : k - 1], last = at.bound[k];
#if WEIGHTED
        team.counts[at.code[k]] = me.masses[last] - me.masses[first];
#else
        team.counts[at.code[k]] = last - first;
#endif
        team.sums[at.code[k]] = running[last] - running[first];
    }
    __syncwarp();
    double counts[HELD], sums[HELD];
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        counts[k] = team.counts[rank * HELD + k];
        sums[k] = team.sums[rank * HELD + k];
    }
    transform(counts, rank);
    transform(sums, rank);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        team.counts[rank * HELD + k] = counts[k];
        team.sums[rank * HELD + k] = sums[k];
    }
    __syncwarp();
}

// A set bit is +1 here and -1 in the transform: products of two signs agree, single signs are opposite. Row i below the diagonal.
__device__ __forceinline__ double entry(const Team& team, int i, int j) {
    return i == BASES ? -team.counts[1 << j] : team.counts[1 << i | 1 << j];
}

__device__ __forceinline__ double right_side(const Team& team, int i) { return i == BASES ? team.sums[0] : -team.sums[1 << i]; }

// Squared error under scales and bias a.
__device__ __forceinline__ double objective(const Team& team, const double* a, double squares) {
    double length = team.counts[0], sum = squares;
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) {
        double product = -right_side(team, i);
#pragma unroll
        for (int j = 0; j < i; j++) product += entry(team, i, j) * a[j];
        sum += a[i] * (a[i] * length + 2 * product);
    }
    return sum;
}

// Scales and bias of least squares, by Cholesky's factors.
__device__ __forceinline__ void solve(const Team& team, double* a) {
    double factor[UNKNOWNS][UNKNOWNS], inverse[UNKNOWNS];
    double length = team.counts[0], ridge = RIDGE * length;
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) {
        double right = right_side(team, i), diagonal = length + ridge;
#pragma unroll
        for (int j = 0; j < i; j++) {
            double sum = entry(team, i, j);
#pragma unroll
            for (int k = 0; k < j; k++) sum -= factor[i][k] * factor[j][k];
            sum *= inverse[j];
            factor[i][j] = sum;
            right -= sum * a[j];
            diagonal -= sum * sum;
        }
        // Rounding can leave a singular direction slightly negative; the ridge is what exact arithmetic would have left of it.
        inverse[i] = rsqrt(diagonal > ridge ? diagonal : ridge);
        a[i] = right * inverse[i];
    }
#pragma unroll
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        double sum = a[i];
#pragma unroll
        for (int k = i + 1; k < UNKNOWNS; k++) sum -= factor[k][i] * a[k];
        a[i] = sum * inverse[i];
    }
}

// Least squares. The ridge and rounding can make it worse by a hair: then the old scales stay.
__device__ __forceinline__ void improve(const Team& team, Candidate& it, double squares) {
    double trial[UNKNOWNS];
    double kept = objective(team, it.a, squares);
    solve(team, trial);
    double reached = objective(team, trial, squares);
    bool worse = kept < reached && it.objective < infinity();
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) it.a[i] = worse ? it.a[i] : trial[i];
    it.objective = worse ? kept : reached;
}

// Rounds of one start a team, until nothing changes in any.
__device__ __forceinline__ void run(Warp& me, Team& team, Candidate& it, int rounds, int length, double squares, int rank) {
    Intervals at, last;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        at.code[k] = reversed(rank * HELD + k);
        last.code[k] = last.bound[k] = -1;
    }
    for (int round = 0; round < rounds; round++) {
        double levels[HELD];
        arrange(it.a, at, levels, rank);
        find_bounds(me, levels, at, length, rank);
        bool same = true;
#pragma unroll
        for (int k = 0; k < HELD; k++) same = same && at.code[k] == last.code[k] && at.bound[k] == last.bound[k];
        if (__all_sync(ALL, same)) break;
        last = at;
        prepare(me, team, at, rank);
        improve(team, it, squares);
    }
}

// ---- starts -----------------------------------------------------------------------------------------------------------------------------

__device__ __forceinline__ void read_start(const Warp& me, int start, Candidate& it) {
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) it.a[i] = me.starts[start][i];
    it.objective = me.starts[start][UNKNOWNS];
}

__device__ __forceinline__ void write_start(Warp& me, int start, const Candidate& it) {
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) me.starts[start][i] = it.a[i];
    me.starts[start][UNKNOWNS] = it.objective;
}

// Uniform grids over shares of the range, with an offset where there is a bias, else symmetric about 0.
__device__ void make_grids(Warp& me, int length, int lane) {
    if (lane < CLIPS) {
        double clip = (10 - lane) / 10.0;
        double smallest = me.values[0], largest = me.values[length - 1];
        double half = clip * (BIAS ? (largest - smallest) / 2 : fmax(fabs(smallest), fabs(largest)));
        Candidate it;
#pragma unroll
        for (int i = 0; i < BASES; i++) it.a[i] = half / (LEVELS - 1) * (1 << (BASES - 1 - i));
        if (BIAS) it.a[UNKNOWNS - 1] = clip * (smallest + largest) / 2;
        it.objective = infinity();
        write_start(me, CASCADE + lane, it);
    }
    __syncwarp();
}

// The starts listed, TEAMS at a time; each goes on from where it stands.
__device__ __noinline__ void run_starts(Warp& me, const int* list, int count, int rounds, int length, double squares, int lane) {
    int rank = lane % TEAM, team = lane / TEAM;
    for (int first = 0; first < count; first += TEAMS) {
        int place = first + team < count ? first + team : count - 1;
        int start = 0;
        for (int k = 0; k < count; k++)
            if (k == place) start = list[k];
        Candidate it;
        read_start(me, start, it);
        run(me, me.teams[team], it, rounds, length, squares, rank);
        __syncwarp();
        if (rank == 0 && first + team < count) write_start(me, start, it);
        __syncwarp();
    }
}

// The best start: all get a few rounds, the cascade and the most promising others the rest.
__device__ int best_start(Warp& me, int rounds, int length, double squares, int lane) {
    int list[STARTS];
    int count = STARTS;
    for (int k = 0; k < STARTS; k++) list[k] = k;
#if STARTS > SURVIVORS
    int probe = rounds < PROBE_ROUNDS ? rounds : PROBE_ROUNDS;
    run_starts(me, list, STARTS, probe, length, squares, lane);
    rounds -= probe;
    count = SURVIVORS;
    for (int k = CASCADE; k < SURVIVORS; k++) {
        double lowest = infinity();
        int found = CASCADE;
        for (int start = CASCADE; start < STARTS; start++) {
            bool taken = false;
            for (int j = CASCADE; j < k; j++) taken |= list[j] == start;
            double reached = me.starts[start][UNKNOWNS];
            if (!taken && reached < lowest) {
                lowest = reached;
                found = start;
            }
        }
        list[k] = found;
    }
#endif
    run_starts(me, list, count, rounds, length, squares, lane);
    int best = list[0];
    for (int k = 1; k < count; k++)
        if (me.starts[list[k]][UNKNOWNS] < me.starts[best][UNKNOWNS]) best = list[k];
    return best;
}

// ---- the kernel -------------------------------------------------------------------------------------------------------------------------

// Positive scales, the largest first, as fp16 has them.
__device__ __forceinline__ void round_scales(const double* from, double* a, u16* halves) {
#pragma unroll
    for (int i = 0; i < BASES; i++) a[i] = fabs(from[i]);
#pragma unroll
    for (int i = 0; i < BASES; i++) {
#pragma unroll
        for (int j = 0; j + 1 < BASES - i; j++) {
            double low = fmin(a[j], a[j + 1]);
            a[j] = fmax(a[j], a[j + 1]);
            a[j + 1] = low;
        }
    }
    if (BIAS) a[UNKNOWNS - 1] = from[UNKNOWNS - 1];
#pragma unroll
    for (int i = 0; i < UNKNOWNS; i++) {
        halves[i] = to_half(a[i]);
        a[i] = from_half(halves[i]);
    }
}

// weights [rows, columns] in groups of `group` columns, the last of a row shorter; importance [columns] or null. Results: codes
// [rows, columns], bit i the sign of basis i; alpha fp16 [N, rows, groups]; beta fp16 [rows, groups] or null; stats [rows · groups, STATS]:
// squared norm, squared error with 1..N bases, the same of the cascade, signs of each basis that differ from the cascade's.
extern "C" __global__ void __launch_bounds__(WARPS * 32) alternating(
    const float* weights, const double* importance, long long count, int columns, int group, int groups, int rounds, u8* codes, u16* alpha,
    u16* beta, double* stats) {
    extern __shared__ double memory[];
    const int lane = threadIdx.x % 32, rank = lane % TEAM;
    Warp& me = reinterpret_cast<Warp*>(memory)[threadIdx.x / 32];
    const long long index = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (index >= count) return;
    const int offset = (int)(index % groups) * group;
    const int length = group < columns - offset ? group : columns - offset;
    const long long origin = index / groups * columns + offset;

    double squares = load(me, weights + origin, WEIGHTED ? importance + offset : importance, length, lane);
    double first_errors[BASES];
    cascade(me, length, lane, first_errors);
#if CASCADE
    {
        Team& team = me.teams[lane / TEAM];
        Intervals at;
        Candidate it;
        cascade_intervals(me, at, length, rank);
        prepare(me, team, at, rank);
        solve(team, it.a);
        it.objective = objective(team, it.a, squares);
        if (lane == 0) write_start(me, 0, it);
        __syncwarp();
    }
#endif
#if GRIDS
    make_grids(me, length, lane);
#endif
    const int best = best_start(me, rounds, length, squares, lane);

    double a[UNKNOWNS];
    u16 halves[UNKNOWNS];
    round_scales(me.starts[best], a, halves);
    Intervals at;
    double levels[HELD];
    float thresholds[HELD];
#pragma unroll
    for (int k = 0; k < HELD; k++) at.code[k] = reversed(rank * HELD + k);
    arrange(a, at, levels, rank);
    thresholds_of(levels, thresholds);
    // All teams hold the same levels now, and write the same.
    float* middles = reinterpret_cast<float*>(me.teams[0].counts);
    int* order = reinterpret_cast<int*>(me.teams[0].sums);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        middles[rank * HELD + k] = thresholds[k];
        order[rank * HELD + k] = at.code[k];
    }
    __syncwarp();

    double norm = 0, errors[BASES];
    int flips[BASES];
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        errors[i] = 0;
        flips[i] = 0;
    }
    for (int j = lane; j < length; j += 32) {
        float w = me.values[j];
        int place = 0;
#pragma unroll
        for (int step = LEVELS / 2; step > 0; step /= 2)
            if (w >= middles[place + step - 1]) place += step;
        int code = order[place];
        codes[origin + me.columns[j]] = (u8)code;
        norm += (double)w * w;
#pragma unroll
        for (int i = 0; i < BASES; i++) {
            double e = w - level(a, code, i + 1);
            errors[i] += e * e;
            flips[i] += (code ^ me.first[j]) >> i & 1;
        }
    }
    double* mine = stats + index * STATS;
    norm = total(norm);
    if (lane == 0) mine[0] = norm;
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        double error = total(errors[i]), flipped = total(flips[i]);
        if (lane != 0) continue;
        mine[1 + i] = error;
        mine[1 + BASES + i] = first_errors[i];
        mine[1 + 2 * BASES + i] = flipped;
        alpha[i * count + index] = halves[i];
    }
    if (BIAS && lane == 0) beta[index] = halves[UNKNOWNS - 1];
}
