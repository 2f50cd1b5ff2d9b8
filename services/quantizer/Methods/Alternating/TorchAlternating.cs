using System.Diagnostics;
using Qbb.Bases;
using Qbb.Cuda;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Alternating refinement on a device, many groups at a time. Finds what <see cref="BasesMethod"/> finds on the CPU, up to
/// ties and the last digits of scales; on one device the result is always the same. On a GPU by <see cref="FusedGroups"/> where groups are
/// short enough, else by <see cref="GroupBatch"/>, which is its plain form.
/// </summary>
public sealed class TorchAlternating : ILayerMethod, IDisposable
{
    private readonly Recipe _recipe;
    private readonly Device _device;
    private readonly long _batchBytes;
    private readonly SignTables _tables;
    private readonly KernelLoader? _kernels;

    /// <param name="recipe">Cascaded init and alternating refinement with at least one round.</param>
    /// <param name="device">Where it works.</param>
    /// <param name="batchBytes">Memory that one batch of groups may take beside the weight and its result.</param>
    /// <exception cref="InvalidInputException">The recipe asks for something else.</exception>
    public TorchAlternating(Recipe recipe, Device device, long batchBytes = 3L << 30)
        : this(recipe, device, batchBytes, device.type == DeviceType.CUDA ? KernelModule.LoadKernel : null)
    {
    }

    /// <param name="recipe">As above.</param>
    /// <param name="device">As above.</param>
    /// <param name="batchBytes">As above.</param>
    /// <param name="kernels">Where fused kernels come from; null to work on tensors alone.</param>
    public TorchAlternating(Recipe recipe, Device device, long batchBytes, KernelLoader? kernels)
    {
        _recipe = recipe.Resolve();
        if (!Supports(_recipe))
            throw new InvalidInputException(
                "only a recipe with cascaded init and at least one round of alternating refinement runs in batches on a device");
        ArgumentOutOfRangeException.ThrowIfLessThan(batchBytes, 1);
        (_device, _batchBytes, _kernels) = (device, batchBytes, kernels);
        _tables = new SignTables(_recipe.Bases, device);
    }

    /// <inheritdoc/>
    public string Name => $"qbb alternating on {_device.type.ToString().ToLowerInvariant()}";

    /// <summary>Whether a recipe can run in batches. Importance diag only by fused kernels: groups that they do not take go to the CPU.</summary>
    public static bool Supports(Recipe recipe) => recipe.Resolve() is
    {
        Init: Init.Cascaded,
        Refinement: Refinement.Alternating,
        Rounds: > 0,
        Importance: Importance.None or Importance.Diag,
        Nested: false,
    };

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        using var scope = torch.NewDisposeScope();
        var clock = Stopwatch.StartNew();
        Tensor? importance = null;
        if (_recipe.Importance == Importance.Diag)
        {
            if (!IsFused(weights.InFeatures))
                return new BasesMethod(_recipe).Quantize(weights, cancellation);
            importance = torch.tensor(weights.RequireInputs().Importance()).to(_device);
        }
        var w = weights.On(_device);
        using var found = Decompose(w, weights.Name, importance, cancellation);
        return found.ToResult(weights.Name, clock);
    }

    /// <summary>Decomposes a weight that is on the device already.</summary>
    /// <param name="weight">f32 [out, in], finite.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="InvalidInputException">A scale does not fit fp16; the message names the weight.</exception>
    public TorchDecomposition Decompose(Tensor weight, string name, CancellationToken cancellation = default) =>
        Decompose(weight, name, null, cancellation);

    public void Dispose() => _tables.Dispose();

    private bool IsFused(long columns) => _kernels is not null && Math.Min(_recipe.Group ?? columns, columns) <= FusedGroups.MostLength;

    private TorchDecomposition Decompose(Tensor weight, string name, Tensor? importance, CancellationToken cancellation)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var (rows, columns) = (weight.size(0), weight.size(1));
        var size = Math.Min(_recipe.Group ?? columns, columns);
        if (IsFused(columns))
            return Fused(weight, importance, (int)size, name);
        var whole = columns / size;
        var tail = columns - whole * size;
        var results = new List<BatchResult>();
        var codes = Refine(weight.narrow(1, 0, whole * size).reshape(rows * whole, size), results, cancellation).view(rows, whole * size);
        var alpha = torch.cat([.. results.Select(result => result.Alpha)], 1).view(_recipe.Bases, rows, whole);
        var beta = _recipe.Bias ? torch.cat([.. results.Select(result => result.Beta!)]).view(rows, whole) : null;
        if (tail > 0)
        {
            var first = results.Count;
            codes = torch.cat([codes, Refine(weight.narrow(1, whole * size, tail).contiguous(), results, cancellation)], 1);
            alpha = torch.cat([alpha, torch.cat([.. results.Skip(first).Select(result => result.Alpha)], 1).unsqueeze(2)], 2);
            if (beta is not null)
                beta = torch.cat([beta, torch.cat([.. results.Skip(first).Select(result => result.Beta!)]).unsqueeze(1)], 1);
        }
        CheckFinite(alpha, name);
        if (beta is not null)
            CheckFinite(beta, name);
        return new TorchDecomposition(Pack(codes), alpha, beta, (int)columns, (int)size)
        {
            SquaredNorm = results.Sum(result => result.Norm.ToDouble()),
            Errors = Total(result => result.Errors),
            InitErrors = Total(result => result.InitErrors),
            Flips = Total(result => result.Flips),
        };

        double[] Total(Func<BatchResult, Tensor> part)
        {
            var sums = new double[_recipe.Bases];
            foreach (var values in results.Select(result => part(result).to(ScalarType.Float64).to(torch.CPU).ToArray<double>()))
            {
                for (var basis = 0; basis < sums.Length; basis++)
                    sums[basis] += values[basis];
            }
            return sums;
        }
    }

    private TorchDecomposition Fused(Tensor weight, Tensor? importance, int size, string name)
    {
        var found = new FusedGroups(_recipe, _device, _kernels).Refine(weight.contiguous(), importance);
        found.CheckFinite(name);
        return new TorchDecomposition(FusedGroups.Pack(found.Codes, _recipe.Bases, _kernels), found.Alpha, found.Beta, (int)weight.size(1), size)
        {
            SquaredNorm = found.SquaredNorm,
            Errors = found.Errors,
            InitErrors = found.InitErrors,
            Flips = found.Flips,
        };
    }

    /// <summary>Codes i32 [G, g] of groups [G, g], batch by batch; the rest of the results goes into the list.</summary>
    private Tensor Refine(Tensor groups, List<BatchResult> results, CancellationToken cancellation)
    {
        // What one group takes at the peak of a round and of the final assignment, measured in fp64 vectors.
        var perGroup = 8 * (10 * groups.size(1) + 24L * (1 << _recipe.Bases) + 4L * _recipe.Bases * _recipe.Bases);
        var batch = Math.Max(1, _batchBytes / perGroup);
        var codes = torch.empty(groups.shape, ScalarType.Int32, _device);
        for (long first = 0; first < groups.size(0); first += batch)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = Math.Min(batch, groups.size(0) - first);
            using var scope = torch.NewDisposeScope();
            var result = new GroupBatch(_recipe, _tables, groups.narrow(0, first, count)).Refine().MoveToOuterDisposeScope();
            codes.narrow(0, first, count).copy_(result.Codes);
            result.Codes.Dispose();
            results.Add(result);
        }
        return codes;
    }

    /// <summary>Codes [out, in] → planes i32 [N, out, ceil(in/32)].</summary>
    private Tensor Pack(Tensor codes)
    {
        var (rows, columns) = (codes.size(0), codes.size(1));
        var words = SignPacking.WordsPerRow((int)columns);
        if (words * 32 > columns)
            codes = torch.nn.functional.pad(codes, [0, words * 32 - columns], 0);
        var shifts = torch.arange(0, 32, 1, ScalarType.Int32, _device);
        var planes = new List<Tensor>();
        for (var basis = 0; basis < _recipe.Bases; basis++)
        {
            using var scope = torch.NewDisposeScope();
            var bits = codes.bitwise_right_shift(torch.full([1], basis, ScalarType.Int32, _device)).bitwise_and(1).view(rows, words, 32);
            planes.Add(bits.bitwise_left_shift(shifts).sum(2).to(ScalarType.Int32).MoveToOuterDisposeScope());
        }
        return torch.stack([.. planes]);
    }

    private static void CheckFinite(Tensor scales, string name)
    {
        if (scales.isfinite().all().to(ScalarType.Int64).ToInt64() == 0)
            throw HalfScales.TooLarge(name);
    }
}
