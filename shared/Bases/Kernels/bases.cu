// Dense weights from binary bases and the way back for gradients. Plain forms: BinaryLinear.ReferenceWeight and ReferenceGradients.
// elements.cu comes before this. BASES is the number of planes. planes [BASES, out, words], bit j of word k the sign of input 32k + j;
// alpha [BASES, out, groups]; beta [out, groups] or null.

// weight [out, in] = sum_i alpha_i * B_i + beta. A thread makes eight columns.
extern "C" __global__ void expand(const u32* planes, const float* alpha, const float* beta, element* weight, int rows, int columns,
                                  int words, int group, int groups, i64 units) {
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const int chunks = (columns + 7) / 8;
    const i64 row = unit / chunks;
    const int c = (int)(unit % chunks) * 8;
    u32 bits[BASES];
    EACH(i, BASES) bits[i] = planes[(i * (i64)rows + row) * words + c / 32] >> (c & 31);
    float v[8];
    if (group % 8 == 0) {
        const i64 place = row * groups + c / group;
        const float start = beta ? beta[place] : 0.0f;
        EIGHT(k) v[k] = start;
        EACH(i, BASES) {
            const float scale = alpha[i * (i64)rows * groups + place];
            EIGHT(k) v[k] += bits[i] >> k & 1 ? scale : -scale;
        }
    } else {
        EIGHT(k) {
            const i64 place = row * groups + min(c + k, columns - 1) / group;
            v[k] = beta ? beta[place] : 0.0f;
            EACH(i, BASES) {
                const float scale = alpha[i * (i64)rows * groups + place];
                v[k] += bits[i] >> k & 1 ? scale : -scale;
            }
        }
    }
    element* to = weight + row * columns + c;
    if (columns % 8 == 0)
        store8(to, v);
    else
        EIGHT(k) if (c + k < columns) to[k] = narrow(v[k]);
}

// d_alpha [BASES, out, groups] and d_beta [out, groups] (or null): the sums over each group of B_i * dense and of dense [out, in], a
// gradient with respect to the weight. A warp per group.
extern "C" __global__ void reduce(const u32* planes, const element* dense, float* d_alpha, float* d_beta, int rows, int columns, int words,
                                  int group, int groups) {
    const i64 place = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (place >= (i64)rows * groups) return;
    const i64 row = place / groups;
    const int first = (int)(place % groups) * group, last = min(first + group, columns);
    float sums[BASES + 1] = {};
    for (int c = first + (threadIdx.x & 31); c < last; c += 32) {
        const float g = widen(dense[row * columns + c]);
        sums[BASES] += g;
        EACH(i, BASES)
            sums[i] += planes[(i * (i64)rows + row) * words + c / 32] >> (c & 31) & 1 ? g : -g;
    }
    EACH(i, BASES + 1)
        for (int step = 16; step > 0; step >>= 1) sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], step);
    if (threadIdx.x & 31) return;
    EACH(i, BASES) d_alpha[i * (i64)rows * groups + place] = sums[i];
    if (d_beta) d_beta[place] = sums[BASES];
}
