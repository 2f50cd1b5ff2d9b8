namespace Qbb.Checkpoints;

/// <summary>
/// A weight [out, in] of integers with a scale and a zero point per group, as GPTQ, AWQ, compressed-tensors and HQQ have them: (q − zero) · scale,
/// rounded to the type of the scales as their libraries round.
/// </summary>
/// <param name="Bits">Of q, 1 to 8.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="Type">Of the scales: F16, BF16 or F32.</param>
public sealed record PackedWeight(int Bits, int OutFeatures, int InFeatures, int GroupSize, string Type)
{
    /// <summary>q [out, in].</summary>
    public required byte[] Codes { get; init; }

    /// <summary>[rows of scales, groups], numbers of <see cref="Type"/>.</summary>
    public required float[] Scales { get; init; }

    /// <summary>Zero points, laid out as the scales.</summary>
    public required float[] Zeros { get; init; }

    /// <summary>The group of every column; null where columns follow one another in groups.</summary>
    public int[]? GroupOf { get; init; }

    /// <summary>Rows of the scales: row r of the weight has those of row r modulo this number. All rows but where rows share scales.</summary>
    public int ScaleRows { get; init; } = OutFeatures;

    /// <summary>Whether q − zero is rounded too, before it is multiplied: zero points that are not integers.</summary>
    public bool RoundsDifference { get; init; }

    /// <summary>Groups of a row.</summary>
    public int Groups => Scales.Length / ScaleRows;

    /// <summary>Whether all zero points are in the middle, 2^(bits − 1).</summary>
    public bool IsSymmetric => !Zeros.AsSpan().ContainsAnyExcept((float)(1 << (Bits - 1)));

    /// <summary>The weights from one place on, row-major.</summary>
    public void Dequantize(long first, Span<float> destination)
    {
        var values = 1 << Bits;
        // A table of all values of a row's groups, where that is less work than every weight by itself.
        var levels = GroupSize >= values ? new float[Groups * values] : null;
        while (destination.Length > 0)
        {
            var (row, column) = ((int)(first / InFeatures), (int)(first % InFeatures));
            var part = destination[..Math.Min(destination.Length, InFeatures - column)];
            var scales = row % ScaleRows * Groups;
            for (var k = 0; k < levels?.Length; k++)
                levels[k] = Value(k & values - 1, scales + k / values);
            var codes = Codes.AsSpan(row * InFeatures + column, part.Length);
            for (var k = 0; k < part.Length; k++)
            {
                var group = GroupOf is null ? (column + k) / GroupSize : GroupOf[column + k];
                part[k] = levels is null ? Value(codes[k], scales + group) : levels[group * values + codes[k]];
            }
            destination = destination[part.Length..];
            first += part.Length;
        }
    }

    private float Value(int q, int place)
    {
        var difference = RoundsDifference ? Round(q - Zeros[place]) : q - Zeros[place];
        return Round(difference * Scales[place]);
    }

    private float Round(float value) => Type switch
    {
        "F16" => (float)(Half)value,
        "BF16" => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) + 0x7fff + (BitConverter.SingleToUInt32Bits(value) >> 16 & 1) & 0xffff0000),
        _ => value,
    };
}
