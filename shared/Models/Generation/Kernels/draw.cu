// One token for each row of logits, by temperature alone: BatchSampler in one launch, without copies of the logits. elements.cu comes
// before this. Probabilities are whole numbers, as there: their sum does not depend on the order of addition.

#define TILES 256  // the most of them in a row
#define WARPS_AT_MOST 32
#define INFINITE __uint_as_float(0x7f800000u)

__device__ __forceinline__ i64 warp_sum(i64 x) {
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// Eight logits from column c on; behind the end of the row minus infinity, whose weight is zero.
__device__ __forceinline__ void fetch(const element* row, int c, int vocabulary, float* x) {
    if (vocabulary % 8 == 0 && c < vocabulary)
        load8(row + c, x);
    else
        EIGHT(k) x[k] = c + k < vocabulary ? widen(row[c + k]) : -INFINITE;
}

__device__ __forceinline__ i64 weight(float x, float best, float temperature, float unit) {
    return (i64)(expf((x - best) / temperature) * unit);
}

// A block per row of logits [rows, vocabulary]; uniforms [rows] in [0, 1); temperature 0 takes the first of the largest. unit is the weight
// of the largest logit, a power of two. tokens [rows]: -1 where a logit is no number or the largest is not finite. At most 1024 threads.
extern "C" __global__ void draw(const element* logits, const double* uniforms, i64* tokens, int vocabulary, float temperature, float unit) {
    __shared__ float bests[WARPS_AT_MOST];
    __shared__ int places[WARPS_AT_MOST], faults[WARPS_AT_MOST];
    __shared__ i64 sums[TILES], parts[WARPS_AT_MOST];
    const element* row = logits + (i64)blockIdx.x * vocabulary;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    const int tile = blockDim.x * 8, tiles = (vocabulary + tile - 1) / tile;
    float x[8];

    float best = -INFINITE;
    int place = vocabulary, fault = 0;
    for (int c = threadIdx.x * 8; c < vocabulary; c += tile) {
        fetch(row, c, vocabulary, x);
        EIGHT(k) {
            fault |= x[k] != x[k];
            if (x[k] > best) best = x[k], place = c + k;
        }
    }
    for (int step = 16; step > 0; step >>= 1) {
        const float other = __shfl_xor_sync(0xffffffffu, best, step);
        const int there = __shfl_xor_sync(0xffffffffu, place, step);
        fault |= __shfl_xor_sync(0xffffffffu, fault, step);
        if (other > best || (other == best && there < place)) best = other, place = there;
    }
    if (lane == 0) bests[warp] = best, places[warp] = place, faults[warp] = fault;
    __syncthreads();
    best = bests[0], place = places[0], fault = faults[0];
    for (int w = 1; w < warps; w++) {
        fault |= faults[w];
        if (bests[w] > best || (bests[w] == best && places[w] < place)) best = bests[w], place = places[w];
    }
    if (fault || !(fabsf(best) < INFINITE) || temperature == 0) {
        if (threadIdx.x == 0) tokens[blockIdx.x] = fault || !(fabsf(best) < INFINITE) ? -1 : place;
        return;
    }

    for (int t = 0; t < tiles; t++) {
        fetch(row, t * tile + threadIdx.x * 8, vocabulary, x);
        i64 sum = 0;
        EIGHT(k) sum += weight(x[k], best, temperature, unit);
        sum = warp_sum(sum);
        if (lane == 0) parts[warp] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int w = 1; w < warps; w++) sum += parts[w];
            sums[t] = sum;
        }
        __syncthreads();
    }
    i64 total = 0;
    for (int t = 0; t < tiles; t++) total += sums[t];
    // The product may round up to the total itself.
    i64 target = (i64)((double)total * uniforms[blockIdx.x]);
    if (target >= total) target = total - 1;
    int t = 0;
    while (target >= sums[t]) target -= sums[t++];

    // Within the tile the target falls into one thread's share: those of the lanes and warps before it are taken off.
    const int first = t * tile + threadIdx.x * 8;
    fetch(row, first, vocabulary, x);
    i64 mine = 0;
    EIGHT(k) mine += weight(x[k], best, temperature, unit);
    i64 upTo = mine;
    for (int step = 1; step < 32; step <<= 1) {
        const i64 before = __shfl_up_sync(0xffffffffu, upTo, step);
        if (lane >= step) upTo += before;
    }
    if (lane == 31) parts[warp] = upTo;
    __syncthreads();
    for (int w = 0; w < warp; w++) target -= parts[w];
    target -= upTo - mine;
    if (target < 0 || target >= mine) return;
    int k = 0;
    for (int j = 0; j < 8; j++) {
        const i64 w = weight(x[j], best, temperature, unit);
        if (target < w) break;
        target -= w;
        k++;
    }
    tokens[blockIdx.x] = first + k;
}
