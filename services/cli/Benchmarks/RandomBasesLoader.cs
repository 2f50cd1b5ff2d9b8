using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Torch;

namespace Qbb.Cli.Benchmarks;

/// <summary>A student of random signs: its blocks' layers are binary, the rest is the teacher's.</summary>
internal sealed class RandomBasesLoader(int bases, int group) : ILinearLoader
{
    private readonly DenseLinearLoader _dense = new();
    private readonly Random _random = new(1);

    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (spec.Block < 0)
            return _dense.Load(source, spec, device, dtype);
        var groups = (spec.InFeatures + group - 1) / group;
        var planes = new uint[(long)bases * spec.OutFeatures * SignPacking.WordsPerRow(spec.InFeatures)];
        _random.NextBytes(MemoryMarshal.AsBytes(planes.AsSpan()));
        var alpha = new Half[bases * spec.OutFeatures * groups];
        // Together of about the deviation of the teacher's weights.
        for (var k = 0; k < alpha.Length; k++)
            alpha[k] = (Half)(0.016 / (1 << k / (spec.OutFeatures * groups)));
        var weight = new BinaryBases(bases, spec.OutFeatures, spec.InFeatures, group, planes, alpha, new Half[spec.OutFeatures * groups]);
        return new BinaryLinear(weight, null, device, dtype);
    }
}
