// The divergence of a student's next-token law from its teacher's and the gradient by the student's logits, without a copy of the logits in
// fp32. Plain form: ReferenceLogitLoss. elements.cu comes before this.

// The logarithm of a sum of exponentials, as largest + log(sum).
struct mass {
    float largest, sum;
};

__device__ __forceinline__ mass join(mass a, mass b) {
    mass both;
    both.largest = fmaxf(a.largest, b.largest);
    both.sum = a.sum * __expf(a.largest - both.largest) + b.sum * __expf(b.largest - both.largest);
    return both;
}

__device__ __forceinline__ mass taken(mass a, const float* x, int count) {
    mass b = {x[0], 0};
    for (int k = 1; k < count; k++) b.largest = fmaxf(b.largest, x[k]);
    for (int k = 0; k < count; k++) b.sum += __expf(x[k] - b.largest);
    return join(a, b);
}

// Joined over the block and given to all threads as one number; blockDim.x is a multiple of 32.
__device__ __forceinline__ float block_log(mass a) {
    __shared__ mass parts[32];
    for (int step = 16; step > 0; step >>= 1) {
        mass b;
        b.largest = __shfl_xor_sync(0xffffffffu, a.largest, step);
        b.sum = __shfl_xor_sync(0xffffffffu, a.sum, step);
        a = join(a, b);
    }
    __syncthreads();
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = a;
    __syncthreads();
    a = parts[0];
    for (int w = 1; w < blockDim.x / 32; w++) a = join(a, parts[w]);
    return a.largest + logf(a.sum);
}

__device__ __forceinline__ float compare(float& s, float t, float s_log, float t_log) {
    const float q_log = s - s_log, p_log = t - t_log, p = __expf(p_log);
    s = __expf(q_log) - p;
    return p * (p_log - q_log);
}

// One block per position. student, teacher [positions, vocabulary], divided by a temperature (inverse is one over it); loss [positions] =
// temperature^2 * KL(teacher || student); gradient [positions, vocabulary] or null.
extern "C" __global__ void divergence(const element* student, const element* teacher, float* loss, element* gradient, int vocabulary,
                                      float inverse) {
    const i64 row = (i64)blockIdx.x * vocabulary;
    student += row, teacher += row;
    // Steps of eight elements need rows that begin at multiples of 16 bytes.
    const int wide = vocabulary % 8 == 0 ? vocabulary : 0;
    mass p = {-3.0e38f, 0}, q = {-3.0e38f, 0};
    float s[8], t[8];
    for (int c = threadIdx.x * 8; c < wide; c += blockDim.x * 8) {
        load8(student + c, s);
        load8(teacher + c, t);
        EIGHT(k) s[k] *= inverse, t[k] *= inverse;
        q = taken(q, s, 8);
        p = taken(p, t, 8);
    }
    for (int c = wide + threadIdx.x; c < vocabulary; c += blockDim.x) {
        s[0] = widen(student[c]) * inverse, t[0] = widen(teacher[c]) * inverse;
        q = taken(q, s, 1);
        p = taken(p, t, 1);
    }
    const float s_log = block_log(q), t_log = block_log(p);
    float sum = 0;
    for (int c = threadIdx.x * 8; c < wide; c += blockDim.x * 8) {
        load8(student + c, s);
        load8(teacher + c, t);
        EIGHT(k) {
            s[k] *= inverse;
            sum += compare(s[k], t[k] * inverse, s_log, t_log);
            s[k] /= inverse;
        }
        if (gradient) store8(gradient + row + c, s);
    }
    for (int c = wide + threadIdx.x; c < vocabulary; c += blockDim.x) {
        s[0] = widen(student[c]) * inverse;
        sum += compare(s[0], widen(teacher[c]) * inverse, s_log, t_log);
        if (gradient) gradient[row + c] = narrow(s[0] / inverse);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[blockIdx.x] = sum / (inverse * inverse);
}
