// Attention of one query per sequence over the cache: softmax(scale q kT) v. What bounds it is reading keys and values, which happens once:
// a block serves one sequence and one key/value head with all its QUERIES query heads. Plain form: ScaledAttention.
// elements.cu comes before this. HEAD (16, 32, .. 256) is the size of a head, WARPS the warps of a block.
//
// LANES neighbouring lanes hold one key, eight elements each, so that a warp reads 32/LANES keys in one instruction, and UNROLL times as
// many are under way. Each such slot of lanes keeps the softmax of the keys that it saw (largest score, sum, weighted values); at the end
// the slots of a warp join by shuffles and the warps through shared memory.

#define LANES (HEAD / 8)
#define SLOTS (32 / LANES)
#define UNROLL 4

#define LOWEST (-3.0e38f)

#if ELEMENT == 6
struct packed8 { float4 a, b; };
__device__ __forceinline__ packed8 fetch8(const element* from) {
    packed8 p;
    p.a = __ldcs(reinterpret_cast<const float4*>(from));
    p.b = __ldcs(reinterpret_cast<const float4*>(from) + 1);
    return p;
}
__device__ __forceinline__ void unpack(const packed8& p, float* v) {
    v[0] = p.a.x, v[1] = p.a.y, v[2] = p.a.z, v[3] = p.a.w, v[4] = p.b.x, v[5] = p.b.y, v[6] = p.b.z, v[7] = p.b.w;
}
#else
typedef uint4 packed8;
__device__ __forceinline__ packed8 fetch8(const element* from) { return __ldcs(reinterpret_cast<const uint4*>(from)); }
__device__ __forceinline__ void unpack(const packed8& p, float* v) { unpack8(p, v); }
#endif

// Joins (m, l, acc) with that of the lane `step` lanes away.
__device__ __forceinline__ void join(float& m, float& l, float* acc, int step) {
    const float other = __shfl_xor_sync(0xffffffffu, m, step);
    const float both = fmaxf(m, other);
    const float mine = exp2f(m - both), theirs = exp2f(other - both);
    l = l * mine + __shfl_xor_sync(0xffffffffu, l, step) * theirs;
    EIGHT(k) acc[k] = acc[k] * mine + __shfl_xor_sync(0xffffffffu, acc[k], step) * theirs;
    m = both;
}

// q, y [batch, groups * QUERIES, HEAD]; keys, values [batch, groups, capacity, HEAD], of which [first, seen) count; scale is times log2(e).
extern "C" __global__ void __launch_bounds__(32 * WARPS) attend_one(const element* q, const element* keys, const element* values, element* y,
                                                                    int capacity, int first, int seen, float scale) {
    const i64 pair = blockIdx.x;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int slot = lane / LANES, c = lane % LANES * 8;
    keys += pair * capacity * HEAD + c;
    values += pair * capacity * HEAD + c;

    float query[QUERIES][8], acc[QUERIES][8], m[QUERIES], l[QUERIES];
    EACH(h, QUERIES) {
        load8(q + (pair * QUERIES + h) * HEAD + c, query[h]);
        EIGHT(k) query[h][k] *= scale, acc[h][k] = 0;
        m[h] = LOWEST, l[h] = 0;
    }

    for (int start = first + warp * SLOTS * UNROLL; start < seen; start += WARPS * SLOTS * UNROLL) {
        packed8 key[UNROLL], value[UNROLL];
        EACH(u, UNROLL) {
            // Behind the last key the last one is read again, and its score is set to nothing below.
            const i64 place = (i64)min(start + u * SLOTS + slot, seen - 1) * HEAD;
            key[u] = fetch8(keys + place);
            value[u] = fetch8(values + place);
        }
        float score[QUERIES][UNROLL];
        EACH(u, UNROLL) {
            float v[8];
            unpack(key[u], v);
            EACH(h, QUERIES) {
                float dot = 0;
                EIGHT(k) dot += query[h][k] * v[k];
                for (int step = LANES / 2; step > 0; step >>= 1) dot += __shfl_xor_sync(0xffffffffu, dot, step);
                score[h][u] = start + u * SLOTS + slot < seen ? dot : LOWEST;
            }
        }
        EACH(h, QUERIES) {
            float largest = m[h];
            EACH(u, UNROLL) largest = fmaxf(largest, score[h][u]);
            const float kept = exp2f(m[h] - largest);
            m[h] = largest;
            l[h] *= kept;
            EIGHT(k) acc[h][k] *= kept;
            EACH(u, UNROLL) {
                // A slot that saw no key yet has largest = LOWEST: a missing key must not weigh 1 there.
                score[h][u] = score[h][u] == LOWEST ? 0.0f : exp2f(score[h][u] - largest);
                l[h] += score[h][u];
            }
        }
        EACH(u, UNROLL) {
            float v[8];
            unpack(value[u], v);
            EACH(h, QUERIES)
                EIGHT(k) acc[h][k] += score[h][u] * v[k];
        }
    }

    __shared__ float shared_acc[WARPS][QUERIES][HEAD];
    __shared__ float shared_m[WARPS][QUERIES], shared_l[WARPS][QUERIES];
    EACH(h, QUERIES) {
        for (int step = LANES; step < 32; step <<= 1) join(m[h], l[h], acc[h], step);
        if (slot == 0)
            EIGHT(k) shared_acc[warp][h][c + k] = acc[h][k];
        if (lane == 0) shared_m[warp][h] = m[h], shared_l[warp][h] = l[h];
    }
    __syncthreads();
    for (int k = threadIdx.x; k < QUERIES * HEAD; k += 32 * WARPS) {
        const int h = k / HEAD;
        float largest = LOWEST, total = 0, sum = 0;
        for (int w = 0; w < WARPS; w++) largest = fmaxf(largest, shared_m[w][h]);
        for (int w = 0; w < WARPS; w++) {
            const float weight = exp2f(shared_m[w][h] - largest);
            total += shared_l[w][h] * weight;
            sum += shared_acc[w][h][k % HEAD] * weight;
        }
        y[pair * QUERIES * HEAD + k] = narrow(sum / total);
    }
}
