using Qbb.Cuda;

namespace Qbb.Models.Decoder.Kernels;

/// <summary>
/// A tensor whose last dimension lies in one piece, as rows at a fixed distance: what the projections give, whole or as a part of a fused
/// one.
/// </summary>
/// <param name="Tensor">Whose rows they are.</param>
/// <param name="Pointer">The first element.</param>
/// <param name="Row">Elements from one row to the next.</param>
internal readonly record struct RowView(Tensor Tensor, nint Pointer, long Row)
{
    /// <summary>Elements that a kernel moves at once.</summary>
    public const int Step = 8;

    public KernelArgument Start => KernelArgument.Pointer(Pointer, Tensor);

    /// <summary>
    /// Views x so that the dimensions before the last <paramref name="inner"/> are one of rows; null where it does not lie so.
    /// </summary>
    public static RowView? Of(Tensor x, int inner)
    {
        var (shape, strides) = (x.shape, x.stride());
        var last = shape.Length - inner - 1;
        if (strides[^1] != 1 || last < 0)
            return null;
        var row = strides[last];
        for (var k = last; k > 0; k--)
        {
            if (shape[k - 1] != 1 && strides[k - 1] != shape[k] * strides[k])
                return null;
        }
        var pointer = x.data_ptr();
        return row % Step == 0 && pointer % 16 == 0 ? new RowView(x, pointer, row) : null;
    }
}
