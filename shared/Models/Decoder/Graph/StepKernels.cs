using Qbb.Cuda;

namespace Qbb.Models.Decoder.Graph;

/// <summary>step.cu for one type and size of heads: the launches of a token step.</summary>
internal sealed class StepKernels
{
    public const int Warps = 4;
    private const int MostQueries = 8;
    private readonly KernelModule _module;
    private readonly int _heads;
    private readonly int _groups;
    private readonly int _head;

    public StepKernels(Device device, ScalarType dtype, int heads, int groups, int head)
    {
        (_heads, _groups, _head) = (heads, groups, head);
        _module = KernelModule.Load(SourceFor(dtype == ScalarType.BFloat16, head, QueriesOf(heads, groups)), device);
    }

    /// <summary>Query heads that one block serves.</summary>
    public static int QueriesOf(int heads, int groups) => Math.Min(heads / groups, MostQueries);

    public static KernelSource SourceFor(bool bfloat, int head, int queries) => DeviceSource.Of(typeof(StepKernels).Assembly, ["step.cu"],
        $"-DBFLOAT={(bfloat ? 1 : 0)}", $"-DHEAD={head}", $"-DQUERIES={queries}", $"-DWARPS={Warps}");

    /// <summary>Shared memory of an attention block.</summary>
    public static int AttentionBytes(int head, int queries)
    {
        var lanes = head > 128 ? 32 : head > 64 ? 16 : head > 32 ? 8 : head > 16 ? 4 : head > 8 ? 2 : 1;
        return 4 * ((queries + 2 + Warps) * head + Warps * 32 / lanes * queries * (head + 2));
    }

    /// <summary>Blocks along x of an attention.</summary>
    public static int AttentionBlocks(int heads, int groups) => groups * ((heads / groups + QueriesOf(heads, groups) - 1) / QueriesOf(heads, groups));

    /// <summary>Pieces in which each sequence's past is read, so that the GPU is full.</summary>
    public int SplitsFor(int batch, int capacity) => Math.Clamp(
        Math.Min(2 * _module.Device.MultiprocessorCount / (AttentionBlocks(_heads, _groups) * batch), (capacity + 63) / 64), 1, 16);

    public void Embed(Tensor ids, Tensor table, Tensor x, double scale) =>
        _module["embed"].LaunchOverlapping((int)ids.numel(), 256, 0, ids, table, x, (int)table.size(1), (float)scale);

    public void Norm(Tensor x, Tensor weight, Tensor y, double epsilon, bool plusOne) =>
        _module["rms_norm"].LaunchOverlapping((int)(x.numel() / weight.numel()), 512, 64, x, weight, y, (int)weight.numel(), (float)epsilon, plusOne ? 1 : 0);

    public void Gate(Tensor x, Tensor y, Activation activation)
    {
        var units = (int)(y.numel() / 8);
        _module["gate"].LaunchOverlapping((units + 255) / 256, 256, 0, x, y, (int)y.size(1), units, activation == Activation.Silu ? 0 : 1);
    }

    public void Attend(
        Tensor qkv, Tensor? queryNorm, Tensor? keyNorm, Tensor cos, Tensor sin, Tensor positions, Tensor starts, Tensor keys, Tensor values,
        Tensor y, Tensor partial, int window, int splits, double scale, double epsilon)
    {
        var batch = (int)positions.numel();
        _module["attend"].LaunchOverlapping(new(AttentionBlocks(_heads, _groups), splits * batch), 32 * Warps, AttentionBytes(_head, QueriesOf(_heads, _groups)),
            qkv, queryNorm, keyNorm, cos, sin, positions, starts, keys, values, y, partial,
            _heads, _groups, (int)keys.size(2), (int)cos.size(1), window, splits, (float)(scale * Math.Log2(Math.E)), (float)epsilon);
        if (splits > 1)
            _module["join"].LaunchOverlapping(_heads * batch, (_head + 31) / 32 * 32, 0, partial, y, splits);
    }

    public void Pick(Tensor logits, Tensor ids, Tensor positions, Tensor history) => _module["pick"].LaunchOverlapping(
        (int)ids.numel(), 1024, 256, logits, ids, positions, history, (int)logits.size(1), (int)history.size(1));
}
