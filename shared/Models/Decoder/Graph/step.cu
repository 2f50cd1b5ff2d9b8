// What one token step does between its matrix products, a few tokens at a time, with positions and lengths in the GPU's memory, so that one
// CUDA graph serves every step. Plain forms: Norm, Attention, Mlp and argmax of the decoder.
//
// Compiled for: BFLOAT (1 bf16, 0 f16); HEAD (size of a head, a multiple of 8), QUERIES (query heads of a block, which share its keys), WARPS.
// Statistics, scores and sums are fp32; results are rounded where the decoder's layers round.

#define LANES (HEAD > 128 ? 32 : HEAD > 64 ? 16 : HEAD > 32 ? 8 : HEAD > 16 ? 4 : HEAD > 8 ? 2 : 1)   // of one key, eight elements each
#define SLOTS (WARPS * 32 / LANES)                                                                  // keys of a block at a time
#define UNROLL 4

DEVICE float load_element(u32 bits) { return BFLOAT ? as_float(bits << 16) : half_to_float(bits); }
DEVICE u32 store_element(float x) { return BFLOAT ? float_to_bfloat(x) : float_to_half(x); }
DEVICE float rounded(float x) { return load_element(store_element(x)); }

DEVICE void load8(float (&v)[8], const u16* from)
{
    const Quad q = *(const Quad*)from;
    const u32 words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int k = 0; k < 4; k++)
        v[2 * k] = load_element(words[k] & 0xffff), v[2 * k + 1] = load_element(words[k] >> 16);
}

DEVICE void store8(u16* to, const float (&v)[8])
{
    u32 words[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        words[k] = store_element(v[2 * k]) | store_element(v[2 * k + 1]) << 16;
    *(Quad*)to = Quad{words[0], words[1], words[2], words[3]};
}

DEVICE float warp_sum(float x)
{
#pragma unroll
    for (int k = 16; k; k /= 2)
        x += as_float(shuffle_xor(as_bits(x), k));
    return x;
}

// x[token] = scale * table[ids[token]]; a block a token, size a multiple of 8.
extern "C" __global__ void __launch_bounds__(256) embed(const u64* ids, const u16* table, u16* x, int size, float scale)
{
    overlap_next();
    overlap_wait();
    const u16* row = table + ids[blockIdx.x] * (u64)size;
    for (int k = 8 * threadIdx.x; k < size; k += 8 * 256)
    {
        float v[8];
        load8(v, row + k);
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] *= scale;
        store8(x + (u64)blockIdx.x * size + k, v);
    }
}

// RMS norm; a block a token, size a multiple of 8. plus_one: Gemma's 1 + weight, rounded once.
extern "C" __global__ void __launch_bounds__(512) rms_norm(const u16* x, const u16* weight, u16* y, int size, float epsilon, int plus_one)
{
    SHARED_BYTES;
    float* sums = (float*)shared_bytes;
    overlap_next();
    overlap_wait();
    const u16* row = x + (u64)blockIdx.x * size;
    float sum = 0;
    for (int k = 8 * threadIdx.x; k < size; k += 8 * 512)
    {
        float v[8];
        load8(v, row + k);
#pragma unroll
        for (int j = 0; j < 8; j++)
            sum += v[j] * v[j];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = sum;
    block_barrier();
    sum = 0;
#pragma unroll
    for (int k = 0; k < 16; k++)
        sum += sums[k];
    const float inverse = 1 / square_root(sum / size + epsilon);
    for (int k = 8 * threadIdx.x; k < size; k += 8 * 512)
    {
        float v[8], w[8];
        load8(v, row + k);
        load8(w, weight + k);
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = plus_one ? v[j] * inverse * (1 + w[j]) : rounded(v[j] * inverse) * w[j];
        store8(y + (u64)blockIdx.x * size + k, v);
    }
}

// y = act(gate) * up, gate and up side by side in x [tokens, 2 width]; a thread eight elements. kind: 0 SiLU, 1 GELU by tanh.
extern "C" __global__ void __launch_bounds__(256) gate(const u16* x, u16* y, int width, int units, int kind)
{
    overlap_next();
    overlap_wait();
    const int unit = blockIdx.x * 256 + threadIdx.x;
    if (unit >= units)
        return;
    const int token = unit / (width / 8), k = unit % (width / 8) * 8;
    float a[8], b[8];
    load8(a, x + (u64)token * 2 * width + k);
    load8(b, x + (u64)token * 2 * width + width + k);
#pragma unroll
    for (int j = 0; j < 8; j++)
    {
        const float inner = kind ? 1.5957691216057308f * (a[j] + 0.044715f * a[j] * a[j] * a[j]) : a[j];
        a[j] = rounded(a[j] / (1 + power_of_two(-1.4426950408889634f * inner))) * b[j];
    }
    store8(y + (u64)token * width + k, a);
}

#ifdef HEAD
// Norm (where weight is not null) and rotation of one head by one warp, from memory into shared memory.
DEVICE void prepare_head(float* to, float* scratch, const u16* from, const u16* weight, const u16* cosines, const u16* sines, int pairs, float epsilon)
{
    const int lane = threadIdx.x & 31;
    float sum = 0;
    for (int k = lane; k < HEAD; k += 32)
    {
        const float v = load_element(from[k]);
        scratch[k] = v, sum += v * v;
    }
    if (weight)
    {
        const float inverse = 1 / square_root(warp_sum(sum) / HEAD + epsilon);
        for (int k = lane; k < HEAD; k += 32)
            scratch[k] = rounded(rounded(scratch[k] * inverse) * load_element(weight[k]));
    }
    warp_barrier();
    for (int k = lane; k < HEAD; k += 32)
    {
        float v = scratch[k];
        if (k < 2 * pairs)
        {
            const int pair = k < pairs ? k : k - pairs;
            const float c = load_element(cosines[pair]), s = load_element(sines[pair]), other = scratch[k < pairs ? k + pairs : pair];
            v = rounded(k < pairs ? v * c - other * s : v * c + other * s);
        }
        to[k] = v;
    }
    warp_barrier();
}

// Attention of one new token per sequence. Block (key head and part of its queries, split, token): norms and rotates its queries and the new
// key, attends to its share of the keys seen, of which the new one is the last, and writes that one and its value into the cache. With one
// split it writes y [tokens, heads, HEAD], else sums for `join` [tokens, heads, splits, HEAD + 2]. qkv is [tokens, heads + 2 groups, HEAD].
extern "C" __global__ void __launch_bounds__(32 * WARPS) attend(
    const u16* qkv, const u16* query_norm, const u16* key_norm, const u16* cosines, const u16* sines, const int* positions, const int* starts,
    u16* keys, u16* values, u16* y, float* partial, int heads, int groups, int capacity, int pairs, int window, int splits, float scale, float epsilon)
{
    SHARED_BYTES;
    float* queries = (float*)shared_bytes;                  // [QUERIES][HEAD]
    float* new_key = queries + QUERIES * HEAD;              // [HEAD]
    float* new_value = new_key + HEAD;                      // [HEAD]
    float* scratch = new_value + HEAD;                      // [WARPS][HEAD]
    float* joined = scratch + WARPS * HEAD;                 // [SLOTS][QUERIES][HEAD + 2]
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int per_group = heads / groups, parts = (per_group + QUERIES - 1) / QUERIES;
    const int group = blockIdx.x / parts, first_query = blockIdx.x % parts * QUERIES, split = blockIdx.y % splits, token = blockIdx.y / splits;
    overlap_next();
    overlap_wait();

    const int position = positions[token], start = starts[token];
    int begin = window > 0 && position - window + 1 > start ? position - window + 1 : start;
    const int each = (position - begin + splits) / splits;  // (count + splits - 1) / splits
    const int from = begin + split * each, until = from + each < position + 1 ? from + each : position + 1;
    const u16* c = cosines + (u64)(position - start) * pairs;
    const u16* s = sines + (u64)(position - start) * pairs;
    const u16* row = qkv + (u64)token * (heads + 2 * groups) * HEAD;
    for (int k = warp; k < QUERIES + 2; k += WARPS)
    {
        float* own = scratch + warp * HEAD;
        if (k < QUERIES)
        {
            if (first_query + k < per_group)
                prepare_head(queries + k * HEAD, own, row + (u64)(group * per_group + first_query + k) * HEAD, query_norm, c, s, pairs, epsilon);
            else
                for (int j = lane; j < HEAD; j += 32)
                    queries[k * HEAD + j] = 0;
        }
        else if (k == QUERIES)
            prepare_head(new_key, own, row + (u64)(heads + group) * HEAD, key_norm, c, s, pairs, epsilon);
        else
            for (int j = lane; j < HEAD; j += 32)
                new_value[j] = load_element(row[(u64)(heads + groups + group) * HEAD + j]);
    }
    block_barrier();
    u16* own_keys = keys + ((u64)token * groups + group) * capacity * HEAD;
    u16* own_values = values + ((u64)token * groups + group) * capacity * HEAD;
    if (from <= position && position < until && first_query == 0)
        for (int j = threadIdx.x; j < HEAD; j += 32 * WARPS)
        {
            own_keys[(u64)position * HEAD + j] = (u16)store_element(new_key[j]);
            own_values[(u64)position * HEAD + j] = (u16)store_element(new_value[j]);
        }

    const int slot = warp * (32 / LANES) + lane / LANES, place = lane % LANES * 8;
    const bool holds = place < HEAD;
    float largest[QUERIES], total[QUERIES], sum[QUERIES][8];
#pragma unroll
    for (int q = 0; q < QUERIES; q++)
    {
        largest[q] = as_float(0xff800000u), total[q] = 0;
#pragma unroll
        for (int j = 0; j < 8; j++)
            sum[q][j] = 0;
    }
    for (int base = from; base < until; base += SLOTS * UNROLL)
    {
        float k[UNROLL][8], v[UNROLL][8];
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
        {
            const int at = base + u * SLOTS + slot;
#pragma unroll
            for (int j = 0; j < 8; j++)
                k[u][j] = v[u][j] = 0;
            if (holds && at < position && at < until)
            {
                load8(k[u], own_keys + (u64)at * HEAD + place);
                load8(v[u], own_values + (u64)at * HEAD + place);
            }
            else if (holds && at == position && at < until)
            {
#pragma unroll
                for (int j = 0; j < 8; j++)
                    k[u][j] = new_key[place + j], v[u][j] = new_value[place + j];
            }
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
        {
            const bool seen = base + u * SLOTS + slot < until;
#pragma unroll
            for (int q = 0; q < QUERIES; q++)
            {
                float score = 0;
                if (holds)
                {
#pragma unroll
                    for (int j = 0; j < 8; j++)
                        score += k[u][j] * queries[q * HEAD + place + j];
                }
#pragma unroll
                for (int n = 1; n < LANES; n *= 2)
                    score += as_float(shuffle_xor(as_bits(score), n));
                if (!seen)
                    continue;
                score *= scale;
                const float top = score > largest[q] ? score : largest[q];
                const float keep = power_of_two(largest[q] - top), weight = power_of_two(score - top);
                largest[q] = top, total[q] = total[q] * keep + weight;
#pragma unroll
                for (int j = 0; j < 8; j++)
                    sum[q][j] = sum[q][j] * keep + weight * v[u][j];
            }
        }
    }
#pragma unroll
    for (int q = 0; q < QUERIES; q++)
    {
        float* to = joined + (slot * QUERIES + q) * (HEAD + 2);
        if (holds)
        {
#pragma unroll
            for (int j = 0; j < 8; j++)
                to[place + j] = sum[q][j];
        }
        if (place == 0)
            to[HEAD] = largest[q], to[HEAD + 1] = total[q];
    }
    block_barrier();
    for (int item = threadIdx.x; item < QUERIES * HEAD; item += 32 * WARPS)
    {
        const int q = item / HEAD, j = item % HEAD, head = group * per_group + first_query + q;
        if (first_query + q >= per_group)
            continue;
        float top = as_float(0xff800000u), all = 0, v = 0;
        for (int n = 0; n < SLOTS; n++)
        {
            const float other = joined[(n * QUERIES + q) * (HEAD + 2) + HEAD];
            top = other > top ? other : top;
        }
        for (int n = 0; n < SLOTS; n++)
        {
            const float* of = joined + (n * QUERIES + q) * (HEAD + 2);
            const float weight = of[HEAD + 1] == 0 ? 0 : power_of_two(of[HEAD] - top);
            all += weight * of[HEAD + 1], v += weight * of[j];
        }
        if (splits == 1)
            y[((u64)token * heads + head) * HEAD + j] = (u16)store_element(v / all);
        else
        {
            float* to = partial + (((u64)token * heads + head) * splits + split) * (HEAD + 2);
            to[j] = v;
            if (j == 0)
                to[HEAD] = top, to[HEAD + 1] = all;
        }
    }
}

// Joins the splits of one head of one token; a block has a thread for every element.
extern "C" __global__ void join(const float* partial, u16* y, int splits)
{
    overlap_next();
    overlap_wait();
    const float* of = partial + (u64)blockIdx.x * splits * (HEAD + 2);
    const int j = threadIdx.x;
    if (j >= HEAD)
        return;
    float top = as_float(0xff800000u), all = 0, v = 0;
    for (int n = 0; n < splits; n++)
    {
        const float other = of[n * (HEAD + 2) + HEAD];
        top = other > top ? other : top;
    }
    for (int n = 0; n < splits; n++)
    {
        const float* at = of + n * (HEAD + 2);
        const float weight = at[HEAD + 1] == 0 ? 0 : power_of_two(at[HEAD] - top);
        all += weight * at[HEAD + 1], v += weight * at[j];
    }
    y[(u64)blockIdx.x * HEAD + j] = (u16)store_element(v / all);
}
#endif

// The likeliest token of each row of logits [tokens, vocabulary], the first among equals: the next input, and its place in history
// [tokens, capacity]; -1 there where a logit is no number or the largest is not finite. Every row goes on by one position. A block a token.
extern "C" __global__ void __launch_bounds__(1024) pick(const u16* logits, u64* ids, int* positions, int* history, int vocabulary, int capacity)
{
    SHARED_BYTES;
    Pair* best = (Pair*)shared_bytes;
    overlap_next();
    overlap_wait();
    const u16* row = logits + (u64)blockIdx.x * vocabulary;
    float top = as_float(0xff800000u);
    int at = 0x7fffffff;
    for (int k = threadIdx.x; k < vocabulary; k += 1024)
    {
        const float v = load_element(row[k]);
        if (v > top || v != v || at == 0x7fffffff)
            top = v, at = k;
    }
#pragma unroll
    for (int n = 16; n; n /= 2)
    {
        const float other = as_float(shuffle_xor(as_bits(top), n));
        const int there = (int)shuffle_xor((u32)at, n);
        if (other > top || other != other || (other == top && there < at))
            top = other, at = there;
    }
    if (threadIdx.x % 32 == 0)
        best[threadIdx.x / 32] = Pair{as_bits(top), (u32)at};
    block_barrier();
    if (threadIdx.x)
        return;
    for (int k = 1; k < 32; k++)
    {
        const float other = as_float(best[k].x);
        if (other > top || other != other || (other == top && (int)best[k].y < at))
            top = other, at = (int)best[k].y;
    }
    const bool finite = (as_bits(top) & 0x7f800000u) != 0x7f800000u;
    const int position = positions[blockIdx.x] + 1;
    ids[blockIdx.x] = finite ? (u64)at : 0;
    positions[blockIdx.x] = position;
    if (position < capacity)
        history[blockIdx.x * capacity + position] = finite ? at : -1;
}
