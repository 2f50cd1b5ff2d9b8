// What the products of packed signs read and write: elements of x and y, whose type BFLOAT tells. It is put before each of them.
DEVICE float load_element(u32 bits) { return BFLOAT ? as_float(bits << 16) : half_to_float(bits); }
DEVICE u32 store_element(float x) { return BFLOAT ? float_to_bfloat(x) : float_to_half(x); }
DEVICE float element_of(const u32 (&pairs)[16], int k) { return load_element(k & 1 ? pairs[k >> 1] >> 16 : pairs[k >> 1] & 0xffff); }

// The 32 inputs from `first` on, two in a word; zeros beyond the row's end.
DEVICE void load_inputs(u32 (&pairs)[16], const u16* row, int first, int count, bool aligned)
{
    if (aligned && first + 32 <= count)
    {
#pragma unroll
        for (int k = 0; k < 4; k++)
        {
            Quad v = ((const Quad*)(row + first))[k];
            pairs[4 * k] = v.x, pairs[4 * k + 1] = v.y, pairs[4 * k + 2] = v.z, pairs[4 * k + 3] = v.w;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < 16; k++)
    {
        u32 low = first + 2 * k < count ? row[first + 2 * k] : 0;
        u32 high = first + 2 * k + 1 < count ? row[first + 2 * k + 1] : 0;
        pairs[k] = low | high << 16;
    }
}
