// The steps of output-aware decomposition over all rows of a layer. Rows are independent; H couples columns only. A row's signs are codes
// [rows, columns] (bit i for basis i), its scales alpha fp16 [N, rows, groups] and beta fp16 [rows, groups]. e = w - what the codes stand
// for; its gradient is eH. The plain forms are ReferenceSteps and, a block of rows at a time, ColumnFeedback, CoordinateDescent and
// JointScales.
//
// Stands behind bases.cu. Defined by the host beside BASES and BIAS: REAL (double, or float where double is slow), BLOCK (columns that a
// launch of `feedback` or `descend` takes one after the other, a multiple of 32) and WARPS (of a block of threads).

#define HELD (LEVELS <= 32 ? 1 : LEVELS / 32)
#define SHARE (BLOCK / 32)

__device__ __forceinline__ REAL sum_of(REAL x) {
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(ALL, x, d);
    return x;
}

// Scales and bias of group `index` of `count`.
__device__ __forceinline__ void read_scales(const u16* alpha, const u16* beta, long long count, long long index, double* a) {
#pragma unroll
    for (int i = 0; i < BASES; i++) a[i] = from_half(alpha[i * count + index]);
    if (BIAS) a[UNKNOWNS - 1] = from_half(beta[index]);
}

__device__ __forceinline__ REAL sign_of(int code, int unknown) { return unknown == BASES || (code >> unknown & 1) ? (REAL)1 : (REAL)-1; }

// ---- levels -----------------------------------------------------------------------------------------------------------------------------

// The levels of every group in rising order, the middles between neighbours (infinity behind the last) and their codes: [groups, 2^N]
// each. A warp a group.
extern "C" __global__ void __launch_bounds__(WARPS * 32) sort_levels(
    const u16* alpha, const u16* beta, REAL* levels, REAL* middles, u8* order, long long count) {
    __shared__ REAL raw[WARPS][LEVELS];
    __shared__ REAL sorted[WARPS][LEVELS];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long long index = (long long)blockIdx.x * WARPS + warp;
    if (index >= count) return;
    double a[UNKNOWNS];
    read_scales(alpha, beta, count, index, a);
    for (int code = lane; code < LEVELS; code += 32) raw[warp][code] = (REAL)level(a, code);
    __syncwarp();
    for (int code = lane; code < LEVELS; code += 32) {
        const REAL v = raw[warp][code];
        int place = 0;
        for (int other = 0; other < LEVELS; other++) place += raw[warp][other] < v || (raw[warp][other] == v && other < code);
        sorted[warp][place] = v;
        order[index * LEVELS + place] = (u8)code;
    }
    __syncwarp();
    for (int place = lane; place < LEVELS; place += 32) {
        levels[index * LEVELS + place] = sorted[warp][place];
        middles[index * LEVELS + place] = place + 1 < LEVELS ? (sorted[warp][place] + sorted[warp][place + 1]) / 2 : (REAL)infinity();
    }
}

// The levels of one group, LEVELS / 32 a lane.
struct Table {
    REAL levels[HELD];
    REAL middles[HELD];
};

__device__ __forceinline__ void read_table(const REAL* levels, const REAL* middles, long long index, int lane, Table& t) {
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int place = h * 32 + lane;
        const bool there = place < LEVELS;
        t.levels[h] = there ? levels[index * LEVELS + place] : (REAL)0;
        t.middles[h] = there ? middles[index * LEVELS + place] : (REAL)infinity();
    }
}

// The level nearest to a value that all lanes have, of two equally near ones the larger, and its place.
__device__ __forceinline__ REAL nearest(const Table& t, REAL value, int& place) {
    place = 0;
#pragma unroll
    for (int h = 0; h < HELD; h++) place += __popc(__ballot_sync(ALL, value >= t.middles[h]));
    REAL found = __shfl_sync(ALL, t.levels[0], place % 32);
#pragma unroll
    for (int h = 1; h < HELD; h++) {
        const REAL other = __shfl_sync(ALL, t.levels[h], place % 32);
        if (place / 32 == h) found = other;
    }
    return found;
}

// ---- errors -----------------------------------------------------------------------------------------------------------------------------

// e = w - level of the code, [rows, columns]; a thread an element.
extern "C" __global__ void measure(
    const REAL* weights, const u8* codes, const u16* alpha, const u16* beta, REAL* errors, long long rows, int columns, int group, int groups) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= rows * columns) return;
    double a[UNKNOWNS];
    read_scales(alpha, beta, rows * groups, index / columns * groups + index % columns / group, a);
    errors[index] = (REAL)(weights[index] - level(a, codes[index]));
}

// Lets a row of the best state and of the trial be the better of both. objectives: eHe of each. A block of threads a row.
extern "C" __global__ void settle(
    const REAL* best_objectives, const REAL* trial_objectives, REAL* objectives, u8* best_codes, u8* trial_codes, u16* best_alpha,
    u16* trial_alpha, u16* best_beta, u16* trial_beta, REAL* best_errors, REAL* trial_errors, REAL* best_gradients, REAL* trial_gradients,
    long long rows, int columns, int groups) {
    const long long row = blockIdx.x;
    const bool better = trial_objectives[row] < best_objectives[row];
    if (threadIdx.x == 0) objectives[row] = better ? trial_objectives[row] : best_objectives[row];
#define SETTLE(best, trial, at)                \
    do {                                       \
        if (better) best[at] = trial[at];      \
        else trial[at] = best[at];             \
    } while (0)
    for (int j = threadIdx.x; j < columns; j += blockDim.x) {
        SETTLE(best_codes, trial_codes, row * columns + j);
        SETTLE(best_errors, trial_errors, row * columns + j);
        SETTLE(best_gradients, trial_gradients, row * columns + j);
    }
    for (int g = threadIdx.x; g < groups; g += blockDim.x) {
        for (int i = 0; i < BASES; i++) SETTLE(best_alpha, trial_alpha, (i * rows + row) * groups + g);
        if (BIAS) SETTLE(best_beta, trial_beta, row * groups + g);
    }
#undef SETTLE
}

// Per row: squared error with the first 1..N bases, and signs of each basis that differ from those before: [rows, 2N]. A warp a row.
extern "C" __global__ void __launch_bounds__(WARPS * 32) report(
    const REAL* weights, const u8* codes, const u8* before, const u16* alpha, const u16* beta, double* sums, long long rows, int columns,
    int group, int groups) {
    const int lane = threadIdx.x % 32;
    const long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= rows) return;
    double errors[BASES];
    int flips[BASES];
#pragma unroll
    for (int i = 0; i < BASES; i++) errors[i] = flips[i] = 0;
    for (int j = lane; j < columns; j += 32) {
        double a[UNKNOWNS];
        read_scales(alpha, beta, rows * groups, row * groups + j / group, a);
        const int code = codes[row * columns + j];
#pragma unroll
        for (int i = 0; i < BASES; i++) {
            const double e = weights[row * columns + j] - level(a, code, i + 1);
            errors[i] += e * e;
            flips[i] += (code ^ before[row * columns + j]) >> i & 1;
        }
    }
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        const double error = total(errors[i]), flipped = total(flips[i]);
        if (lane != 0) continue;
        sums[row * 2 * BASES + i] = error;
        sums[row * 2 * BASES + BASES + i] = flipped;
    }
}

// ---- column loops -----------------------------------------------------------------------------------------------------------------------

// A square of a matrix [columns, columns] whose rows and columns both begin at `first`, in shared memory; 0 beyond `count`. The diagonal
// is replaced by its reciprocal: what a column does to itself is nowhere read again.
__device__ __forceinline__ void load_square(const REAL* matrix, int columns, int first, int count, REAL* square) {
    for (int i = threadIdx.x; i < BLOCK * BLOCK; i += WARPS * 32) {
        const int k = i / BLOCK, j = i % BLOCK;
        const REAL v = k < count && j < count ? matrix[(long long)(first + k) * columns + first + j] : (REAL)0;
        square[i] = k == j && k < count ? 1 / v : v;
    }
    __syncthreads();
}

// GPTQ's loop over columns order[first .. first + count): each takes the nearest level of its own group, and what that leaves is made up
// for by the columns to come, here within the block; by errors [rows, BLOCK] outside. weights [rows, columns] are in that order, as is
// factor U [columns, columns]. A warp a row at a time, the block's columns spread over its lanes.
extern "C" __global__ void __launch_bounds__(WARPS * 32) feedback(
    const REAL* weights, const REAL* factor, const int* order, const REAL* levels, const REAL* middles, const u8* ranks, u8* codes,
    REAL* errors, long long rows, int columns, int group, int groups, int first, int count) {
    extern __shared__ double memory[];
    REAL* square = reinterpret_cast<REAL*>(memory);
    const int lane = threadIdx.x % 32;
    load_square(factor, columns, first, count, square);
    for (long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32; row < rows; row += (long long)gridDim.x * WARPS) {
        REAL w[SHARE], left[SHARE];
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            const int j = s * 32 + lane;
            w[s] = j < count ? weights[row * columns + first + j] : (REAL)0;
            left[s] = 0;
        }
        int column = order[first];
        long long at = row * groups + column / group;
        Table table, next;
        read_table(levels, middles, at, lane, table);
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            for (int turn = 0; turn < 32; turn++) {
                const int k = s * 32 + turn;
                if (k >= count) break;
                // What the next column needs is under way while this one is at work.
                const int next_column = order[first + (k + 1 < count ? k + 1 : k)];
                const long long next_at = row * groups + next_column / group;
                read_table(levels, middles, next_at, lane, next);
                int place;
                const REAL value = __shfl_sync(ALL, w[s], turn);
                const REAL e = (value - nearest(table, value, place)) * square[k * BLOCK + k];
                if (lane == turn) {
                    left[s] = e;
                    codes[row * columns + column] = ranks[at * LEVELS + place];
                }
                // Below the diagonal U is 0.
#pragma unroll
                for (int to = s; to < SHARE; to++) w[to] -= e * square[k * BLOCK + to * 32 + lane];
                table = next;
                column = next_column;
                at = next_at;
            }
        }
#pragma unroll
        for (int s = 0; s < SHARE; s++) errors[row * BLOCK + s * 32 + lane] = left[s];
    }
}

// Coordinate descent over columns first .. first + count of some rows: the best value of column j is w_j - e_j + (eH)_j / H_jj, and the
// nearest level is taken. Errors are brought up to date, gradients only for itself: changes [rows, BLOCK] times rows of H are what they
// still lack.
extern "C" __global__ void __launch_bounds__(WARPS * 32) descend(
    const REAL* weights, const REAL* matrix, const REAL* levels, const REAL* middles, const u8* ranks, u8* codes, REAL* errors,
    const REAL* gradients, REAL* changes, long long rows, int columns, int group, int groups, int first, int count) {
    extern __shared__ double memory[];
    REAL* square = reinterpret_cast<REAL*>(memory);
    const int lane = threadIdx.x % 32;
    load_square(matrix, columns, first, count, square);
    for (long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32; row < rows; row += (long long)gridDim.x * WARPS) {
        REAL w[SHARE], e[SHARE], gradient[SHARE], change[SHARE];
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            const int j = s * 32 + lane;
            const long long place = row * columns + first + j;
            w[s] = j < count ? weights[place] : (REAL)0;
            e[s] = j < count ? errors[place] : (REAL)0;
            gradient[s] = j < count ? gradients[place] : (REAL)0;
            change[s] = 0;
        }
        int now = first / group;
        Table table;
        read_table(levels, middles, row * groups + now, lane, table);
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            for (int turn = 0; turn < 32; turn++) {
                const int k = s * 32 + turn;
                if (k >= count) break;
                if ((first + k) / group != now) {
                    now = (first + k) / group;
                    read_table(levels, middles, row * groups + now, lane, table);
                }
                int place;
                const REAL best = __shfl_sync(ALL, w[s] - e[s] + gradient[s] * square[k * BLOCK + k], turn);
                const REAL found = nearest(table, best, place);
                const REAL difference = __shfl_sync(ALL, w[s] - found - e[s], turn);
                if (lane == turn) {
                    change[s] = difference;
                    e[s] = w[s] - found;
                    codes[row * columns + first + k] = ranks[(row * groups + now) * LEVELS + place];
                }
                if (difference == 0) continue;
#pragma unroll
                for (int to = 0; to < SHARE; to++) gradient[to] += difference * square[k * BLOCK + to * 32 + lane];
            }
        }
#pragma unroll
        for (int s = 0; s < SHARE; s++) {
            const int j = s * 32 + lane;
            changes[row * BLOCK + j] = change[s];
            if (j < count) errors[row * columns + first + j] = e[s];
        }
    }
}

// ---- joint scales -----------------------------------------------------------------------------------------------------------------------

// The signs of `count` rows from row `first` as numbers: [count, N + BIAS, columns], ones for the bias. A thread a column of a row.
extern "C" __global__ void spread(const u8* codes, REAL* signs, long long first, long long count, int columns) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count * columns) return;
    const long long row = index / columns;
    const int column = (int)(index % columns), code = codes[first * columns + index];
#pragma unroll
    for (int u = 0; u < UNKNOWNS; u++) signs[(row * UNKNOWNS + u) * columns + column] = sign_of(code, u);
}

// The blocks (other, now) of X'HX for other >= now, and their mirror images: systems [count, groups · U, groups · U], given products
// [count, U, columns - now · group], the signed rows of H that belong to group `now`. A warp a row and a group.
extern "C" __global__ void __launch_bounds__(WARPS * 32) fold(
    const u8* codes, const REAL* products, REAL* systems, long long first, long long count, int columns, int group, int groups, int now) {
    const int lane = threadIdx.x % 32, width = columns - now * group, order = groups * UNKNOWNS;
    const long long index = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (index >= count * (groups - now)) return;
    const long long row = index / (groups - now);
    const int other = now + (int)(index % (groups - now)), begin = other * group;
    const int end = begin + group < columns ? begin + group : columns;
    REAL sums[UNKNOWNS][UNKNOWNS];
#pragma unroll
    for (int l = 0; l < UNKNOWNS; l++)
#pragma unroll
        for (int r = 0; r < UNKNOWNS; r++) sums[l][r] = 0;
    for (int j = begin + lane; j < end; j += 32) {
        const int code = codes[(first + row) * columns + j];
#pragma unroll
        for (int r = 0; r < UNKNOWNS; r++) {
            const REAL product = products[(row * UNKNOWNS + r) * width + j - now * group];
#pragma unroll
            for (int l = 0; l < UNKNOWNS; l++) sums[l][r] += sign_of(code, l) * product;
        }
    }
    REAL* system = systems + row * order * order;
#pragma unroll
    for (int l = 0; l < UNKNOWNS; l++) {
#pragma unroll
        for (int r = 0; r < UNKNOWNS; r++) {
            const REAL sum = sum_of(sums[l][r]);
            const int line = other * UNKNOWNS + l, place = now * UNKNOWNS + r;
            if (lane != 0 || (other == now && place > line)) continue;
            system[line * order + place] = sum;
            system[place * order + line] = sum;
        }
    }
}

// X'(eH)': [count, groups · U]. A warp a row and a group.
extern "C" __global__ void __launch_bounds__(WARPS * 32) right_sides(
    const u8* codes, const REAL* gradients, REAL* right, long long first, long long count, int columns, int group, int groups) {
    const int lane = threadIdx.x % 32;
    const long long index = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (index >= count * groups) return;
    const long long row = first + index / groups;
    const int begin = (int)(index % groups) * group, end = begin + group < columns ? begin + group : columns;
    REAL sums[UNKNOWNS];
#pragma unroll
    for (int u = 0; u < UNKNOWNS; u++) sums[u] = 0;
    for (int j = begin + lane; j < end; j += 32) {
        const int code = codes[row * columns + j];
        const REAL gradient = gradients[row * columns + j];
#pragma unroll
        for (int u = 0; u < UNKNOWNS; u++) sums[u] += sign_of(code, u) * gradient;
    }
#pragma unroll
    for (int u = 0; u < UNKNOWNS; u++) {
        const REAL sum = sum_of(sums[u]);
        if (lane == 0) right[index * UNKNOWNS + u] = sum;
    }
}

// Adds the solution [count, groups · U] to scales and biases, in fp16; then makes scales positive and falling without changing a value: a
// basis with a negative scale is turned over, then bases change places. Rows whose failed [count] is not 0 stay. A warp a row and a group.
extern "C" __global__ void __launch_bounds__(WARPS * 32) change_scales(
    u8* codes, u16* alpha, u16* beta, const REAL* solution, const int* failed, long long rows, long long first, long long count, int columns,
    int group, int groups) {
    const int lane = threadIdx.x % 32;
    const long long index = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (index >= count * groups || failed[index / groups] != 0) return;
    const long long row = first + index / groups, place = first * groups + index;
    const REAL* by = solution + index * UNKNOWNS;
    u16 halves[BASES];
    double scales[BASES];
    int order[BASES];
#pragma unroll
    for (int i = 0; i < BASES; i++) {
        halves[i] = to_half(from_half(alpha[i * rows * groups + place]) + (double)by[i]);
        scales[i] = from_half(halves[i]);
        order[i] = i;
    }
    const u16 offset = BIAS ? to_half(from_half(beta[place]) + (double)by[UNKNOWNS - 1]) : (u16)0;
    // Stable: of equal magnitudes the earlier basis stays ahead.
#pragma unroll
    for (int i = 0; i < BASES; i++) {
#pragma unroll
        for (int j = 0; j + 1 < BASES - i; j++) {
            if (!(fabs(scales[j]) < fabs(scales[j + 1]))) continue;
            const double scale = scales[j];
            scales[j] = scales[j + 1];
            scales[j + 1] = scale;
            const int basis = order[j];
            order[j] = order[j + 1];
            order[j + 1] = basis;
        }
    }
    // All lanes have read the old scales.
    __syncwarp();
    if (lane == 0) {
#pragma unroll
        for (int i = 0; i < BASES; i++) alpha[i * rows * groups + place] = to_half(fabs(scales[i]));
        if (BIAS) beta[place] = offset;
    }
    const int begin = (int)(index % groups) * group, end = begin + group < columns ? begin + group : columns;
    for (int j = begin + lane; j < end; j += 32) {
        const int code = codes[row * columns + j];
        int renamed = 0;
#pragma unroll
        for (int i = 0; i < BASES; i++) renamed |= ((code >> order[i] & 1) ^ (scales[i] < 0)) << i;
        codes[row * columns + j] = (u8)renamed;
    }
}
