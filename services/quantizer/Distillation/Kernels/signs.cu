// One step of the signs of a layer; the plain form is ReferenceSignStep. elements.cu comes before this; ELEMENT is the type of the gradient,
// BASES the number of planes. A warp makes one word of every plane: 32 columns of a row, a lane each.
// latent, mean, square [out, in]; gradient [out, in]; alpha [BASES, out, groups]; beta [out, groups] or null; planes [BASES, out, words].
extern "C" __global__ void step_signs(float* latent, float* mean, float* square, const element* gradient, const float* alpha,
                                      const float* beta, u32* planes, int rows, int columns, int words, int group, int groups, float rate,
                                      float decay1, float decay2, float correction1, float correction2, float eps) {
    const i64 word = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (word >= (i64)rows * words) return;
    const i64 row = word / words;
    const int column = (int)(word % words) * 32 + (threadIdx.x & 31);
    u32 code = 0;
    if (column < columns) {
        const i64 place = row * groups + column / group;
        float scales[BASES], unit = 0, most = 0;
        EACH(i, BASES) {
            scales[i] = alpha[i * (i64)rows * groups + place];
            unit += fabsf(scales[i]) / BASES;
            most += fabsf(scales[i]);
        }
        const float bias = beta ? beta[place] : 0.0f;
        const i64 k = row * columns + column;
        const float g = widen(gradient[k]);
        const float m = mean[k] + (1 - decay1) * (g - mean[k]);
        const float s = square[k] * decay2 + (1 - decay2) * g * g;
        mean[k] = m;
        square[k] = s;
        float v = latent[k] - rate * unit * (m / correction1) / (sqrtf(s / correction2) + eps);
        v = fminf(fmaxf(v, bias - most), bias + most);
        latent[k] = v;
        float nearest = 3.4e38f;
        for (u32 c = 0; c < 1u << BASES; c++) {
            float level = bias;
            EACH(i, BASES) level += c >> i & 1 ? scales[i] : -scales[i];
            const float distance = fabsf(v - level);
            if (distance < nearest) nearest = distance, code = c;
        }
    }
    EACH(i, BASES) {
        const u32 bits = __ballot_sync(0xffffffffu, code >> i & 1);
        if ((threadIdx.x & 31) == 0) planes[i * (i64)rows * words + word] = bits;
    }
}
