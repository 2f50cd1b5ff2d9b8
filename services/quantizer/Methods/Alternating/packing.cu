// Codes of N bits as bit planes. The plain form is SignPacking.

// codes [rows, columns], bit i for basis i → planes [bases, rows, words], bit j of word k the sign of column 32k + j; bits behind the last
// column are 0. One warp makes the words of 32 columns.
extern "C" __global__ void pack(const unsigned char* codes, unsigned int* planes, long long rows, int columns, int words, int bases) {
    const long long index = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    const int lane = threadIdx.x % 32;
    if (index >= rows * words) return;
    const int column = (int)(index % words) * 32 + lane;
    const unsigned code = column < columns ? codes[index / words * columns + column] : 0;
    for (int basis = 0; basis < bases; basis++) {
        const unsigned word = __ballot_sync(0xffffffffu, code >> basis & 1);
        if (lane == basis) planes[basis * rows * words + index] = word;
    }
}
