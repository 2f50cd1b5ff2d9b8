// How far two tensors are from one another, relative to the second, and the gradient by the first. Plain form: MixedStack. elements.cu comes
// before this; x, t and gradient begin at multiples of 16 bytes.

// partial [blocks, 2] = the block's share of sum (x - t)^2 and of sum t^2.
extern "C" __global__ void distance(const element* x, const element* t, float* partial, i64 count) {
    float apart = 0, size = 0, a[8], b[8];
    const i64 step = (i64)gridDim.x * blockDim.x * 8, wide = count / 8 * 8;
    for (i64 k = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 8; k < wide; k += step) {
        load8(x + k, a);
        load8(t + k, b);
        EIGHT(j) {
            apart += (a[j] - b[j]) * (a[j] - b[j]);
            size += b[j] * b[j];
        }
    }
    if (blockIdx.x == 0 && threadIdx.x < count - wide) {
        const float p = widen(x[wide + threadIdx.x]), q = widen(t[wide + threadIdx.x]);
        apart += (p - q) * (p - q);
        size += q * q;
    }
    apart = block_sum(apart);
    size = block_sum(size);
    if (threadIdx.x == 0) partial[blockIdx.x * 2] = apart, partial[blockIdx.x * 2 + 1] = size;
}

// gradient = given * 2 (x - t) / norms[1], with norms = sum (x - t)^2 and sum t^2.
extern "C" __global__ void distance_backward(const element* x, const element* t, const float* norms, const float* given, element* gradient,
                                             i64 count) {
    const float factor = 2 * given[0] / norms[1];
    const i64 k = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    float a[8], b[8];
    if (k + 8 <= count) {
        load8(x + k, a);
        load8(t + k, b);
        EIGHT(j) a[j] = factor * (a[j] - b[j]);
        store8(gradient + k, a);
        return;
    }
    for (i64 j = k; j < count; j++) gradient[j] = narrow(factor * (widen(x[j]) - widen(t[j])));
}
