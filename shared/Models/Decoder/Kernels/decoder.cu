// The parts of a decoder block between its matrix products, each one pass over memory where the plain form takes five to ten. The plain
// forms are Norm, Attention and Mlp; intermediate roundings to the element type are where those have them.
// elements.cu comes before this.

// y = x/sqrt(mean(x^2) + epsilon) * weight, one block per row. With a branch, x + branch takes the place of x and is kept in sum.
// x, branch, sum, y [rows, size]; weight [size]; inverse [rows] or null gets 1/sqrt(..) for the backward pass; size is a multiple of 8.
// Gemma (plus_one) multiplies by 1 + weight before it rounds.
extern "C" __global__ void rms_norm(const element* x, const element* branch, const element* weight, element* sum, element* y,
                                    float* inverse, int size, float epsilon, int plus_one) {
    const i64 row = (i64)blockIdx.x * size;
    const element* source = x + row;
    float square = 0;
    for (int c = threadIdx.x * 8; c < size; c += blockDim.x * 8) {
        float v[8];
        load8(x + row + c, v);
        if (branch) {
            float b[8];
            load8(branch + row + c, b);
            EIGHT(k) v[k] = rounded(v[k] + b[k]);
            store8(sum + row + c, v);
        }
        EIGHT(k) square += v[k] * v[k];
    }
    if (branch) source = sum + row;
    const float scale = rsqrtf(block_sum(square) / size + epsilon);
    if (inverse && threadIdx.x == 0) inverse[blockIdx.x] = scale;
    // A thread reads what it wrote itself.
    for (int c = threadIdx.x * 8; c < size; c += blockDim.x * 8) {
        float v[8], w[8];
        load8(source + c, v);
        load8(weight + c, w);
        EIGHT(k) v[k] = plus_one ? v[k] * scale * (w[k] + 1) : rounded(v[k] * scale) * w[k];
        store8(y + row + c, v);
    }
}

// dx of y = x r w with r = inverse[row]: r (g w) - x r^3 mean(g w x), plus an added gradient (or null) that reached x another way.
extern "C" __global__ void rms_norm_backward(const element* g, const element* x, const element* weight, const float* inverse,
                                             const element* added, element* dx, int size, int plus_one) {
    const i64 row = (i64)blockIdx.x * size;
    float dot = 0;
    for (int c = threadIdx.x * 8; c < size; c += blockDim.x * 8) {
        float a[8], v[8], w[8];
        load8(g + row + c, a);
        load8(x + row + c, v);
        load8(weight + c, w);
        EIGHT(k) dot += a[k] * (w[k] + plus_one) * v[k];
    }
    const float r = inverse[blockIdx.x];
    const float pull = block_sum(dot) / size * r * r * r;
    for (int c = threadIdx.x * 8; c < size; c += blockDim.x * 8) {
        float a[8], v[8], w[8];
        load8(g + row + c, a);
        load8(x + row + c, v);
        load8(weight + c, w);
        EIGHT(k) a[k] = r * a[k] * (w[k] + plus_one) - v[k] * pull;
        if (added) {
            load8(added + row + c, v);
            EIGHT(k) a[k] += v[k];
        }
        store8(dx + row + c, a);
    }
}

// Eight elements from column c of one rotated head: pairs (i, i + pairs) turn by their angle, columns from 2 pairs on pass.
__device__ __forceinline__ void rotated8(const element* x, const element* cos, const element* sin, int c, int pairs, float sign, float* out) {
    load8(x + c, out);
    if (c >= 2 * pairs) return;
    const bool second = c >= pairs;
    const int angle = second ? c - pairs : c;
    float other[8], cs[8], sn[8];
    load8(x + (second ? c - pairs : c + pairs), other);
    load8(cos + angle, cs);
    load8(sin + angle, sn);
    const float turn = second ? sign : -sign;
    EIGHT(k) out[k] = out[k] * cs[k] + turn * other[k] * sn[k];
}

// Rotary embedding of x [rows, heads, head] (steps of rows and heads in elements) into y, contiguous. cos and sin [angles, pairs]; row i
// has the angles of row i % angles. sign -1 turns back, which is the backward pass. pairs and head are multiples of 8.
extern "C" __global__ void rotate(const element* x, i64 x_row, i64 x_head, const element* cos, const element* sin, element* y,
                                  int angles, int heads, int head, int pairs, float sign, i64 units) {
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const int c = (int)(unit % (head / 8)) * 8;
    const i64 place = unit / (head / 8), row = place / heads;
    const i64 angle = row % angles * pairs;
    float v[8];
    rotated8(x + row * x_row + place % heads * x_head, cos + angle, sin + angle, c, pairs, sign, v);
    store8(y + place * head + c, v);
}

// The same for queries [rows, heads, head] into q_out and for keys [rows, groups, head], which with the values go into the caches
// [batch, groups, capacity, head] at places past, past + 1, ..; rows = batch * count.
extern "C" __global__ void rotate_append(const element* q, i64 q_row, i64 q_head, const element* k, i64 k_row, i64 k_head,
                                         const element* v, i64 v_row, i64 v_head, const element* cos, const element* sin,
                                         element* q_out, element* k_cache, element* v_cache, int angles, int count, int heads, int groups,
                                         int head, int pairs, int capacity, int past, i64 units) {
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const int c = (int)(unit % (head / 8)) * 8;
    const i64 place = unit / (head / 8), row = place / (heads + 2 * groups);
    const int slot = (int)(place % (heads + 2 * groups));
    const i64 angle = row % angles * pairs;
    float out[8];
    if (slot < heads) {
        rotated8(q + row * q_row + slot * q_head, cos + angle, sin + angle, c, pairs, 1, out);
        store8(q_out + (row * heads + slot) * head + c, out);
        return;
    }
    const int group = (slot - heads) % groups;
    const i64 to = ((row / count * groups + group) * capacity + past + row % count) * head + c;
    if (slot < heads + groups) {
        rotated8(k + row * k_row + group * k_head, cos + angle, sin + angle, c, pairs, 1, out);
        store8(k_cache + to, out);
    } else {
        load8(v + row * v_row + group * v_head + c, out);
        store8(v_cache + to, out);
    }
}

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + __expf(-x)); }

// y = silu(gate) * up; gate and up [rows, width] with steps of rows, y contiguous; width is a multiple of 8.
extern "C" __global__ void swiglu(const element* gate, i64 gate_row, const element* up, i64 up_row, element* y, int width, i64 units) {
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const i64 row = unit / (width / 8);
    const int c = (int)(unit % (width / 8)) * 8;
    float a[8], b[8];
    load8(gate + row * gate_row + c, a);
    load8(up + row * up_row + c, b);
    EIGHT(k) a[k] = rounded(a[k] * sigmoid(a[k])) * b[k];
    store8(y + row * width + c, a);
}

// The gradients of gate and up, contiguous both.
extern "C" __global__ void swiglu_backward(const element* g, const element* gate, i64 gate_row, const element* up, i64 up_row,
                                           element* d_gate, element* d_up, int width, i64 units) {
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const i64 row = unit / (width / 8);
    const int c = (int)(unit % (width / 8)) * 8;
    float a[8], b[8], d[8];
    load8(gate + row * gate_row + c, a);
    load8(up + row * up_row + c, b);
    load8(g + row * width + c, d);
    EIGHT(k) {
        const float s = sigmoid(a[k]), silu = a[k] * s;
        const float through = d[k] * b[k] * (s + silu * (1 - s));
        b[k] = d[k] * silu;
        a[k] = through;
    }
    store8(d_gate + row * width + c, a);
    store8(d_up + row * width + c, b);
}
