using System.Collections.Concurrent;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Bases.Tests.Cpu;

/// <summary>
/// Loads the layers of a plain model as four cascaded bases, either as the layer of this product or, for comparison, as the dense weight
/// that those bases stand for. All loaders take the bases of one model.
/// </summary>
internal sealed class CascadedLoader(bool dense, BasesProductOptions? options = null) : ILinearLoader
{
    private const int Count = 4;
    private const int Group = 64;
    private static readonly ConcurrentDictionary<string, BinaryBases> s_bases = [];

    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        var weight = new float[(long)spec.OutFeatures * spec.InFeatures];
        var bases = s_bases.GetOrAdd(spec.Weight, name =>
        {
            source.ReadFloat(name, 0, weight);
            return Decompose(weight, spec.OutFeatures, spec.InFeatures);
        });
        if (!dense)
            return new BinaryLinear(bases, null, device, dtype, options);
        bases.Dequantize(0, spec.OutFeatures, weight);
        return new DenseLinear(torch.tensor(weight, spec.OutFeatures, spec.InFeatures).DetachFromDisposeScope(), null, transposed: false);
    }

    private static BinaryBases Decompose(float[] weight, int rows, int columns)
    {
        var (words, groups) = (SignPacking.WordsPerRow(columns), (columns - 1) / Group + 1);
        var planes = new uint[Count * rows * words];
        var alpha = new Half[Count * rows * groups];
        var residual = (float[])weight.Clone();
        for (var basis = 0; basis < Count; basis++)
        {
            for (var row = 0; row < rows; row++)
            {
                for (var group = 0; group < groups; group++)
                {
                    var part = residual.AsSpan(row * columns + group * Group, Math.Min(Group, columns - group * Group));
                    var sum = 0f;
                    foreach (var value in part)
                        sum += Math.Abs(value);
                    var scale = (Half)(sum / part.Length);
                    alpha[(basis * rows + row) * groups + group] = scale;
                    for (var k = 0; k < part.Length; k++)
                    {
                        var column = group * Group + k;
                        if (part[k] >= 0)
                            planes[(basis * rows + row) * words + column / 32] |= 1u << column % 32;
                        part[k] -= part[k] >= 0 ? (float)scale : -(float)scale;
                    }
                }
            }
        }
        return new BinaryBases(Count, rows, columns, Group, planes, alpha, null);
    }
}
