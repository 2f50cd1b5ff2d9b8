using System.Diagnostics;
using Qbb.Bases;
using Qbb.Cuda;
using Qbb.Models;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// <see cref="OutputAwareMethod"/> on a GPU: the same steps, all rows of a layer at once. It ends at other signs where two levels are
/// equally near up to rounding, so objectives agree and bytes do not. Layers whose groups or systems of equations are too large for it go
/// to the CPU's form.
/// </summary>
public sealed class TorchOutputAware : ILayerMethod, IDisposable
{
    private const int MostUnknowns = 4096;
    private readonly Recipe _recipe;
    private readonly Device _device;
    private readonly KernelLoader _loader;
    private readonly DeviceKernels _kernels;
    private readonly ScalarType _type;
    private readonly OutputAwareMethod _plain;
    private readonly CurvatureCache _curvatures = new();

    /// <param name="recipe">The choices, importance being full; resolved here.</param>
    /// <param name="device">A GPU.</param>
    /// <param name="threads">Threads of the CPU's form.</param>
    public TorchOutputAware(Recipe recipe, Device device, int threads = 0)
        : this(recipe, device, KernelModule.LoadKernel, CudaDevice.Get(device).HasFastDouble ? ScalarType.Float64 : ScalarType.Float32, threads)
    {
    }

    /// <param name="recipe">As above.</param>
    /// <param name="device">Where it works.</param>
    /// <param name="kernels">Where kernels come from.</param>
    /// <param name="type">What the steps calculate in: f64, or f32 where the device is slow at that.</param>
    /// <param name="threads">As above.</param>
    internal TorchOutputAware(Recipe recipe, Device device, KernelLoader kernels, ScalarType type, int threads = 0)
    {
        (_recipe, _device, _loader, _type) = (recipe.Resolve(), device, kernels, type);
        if (!Supports(_recipe))
        {
            throw new InvalidInputException(
                "only a recipe with cascaded init, at least one round of alternating refinement and importance full runs on a GPU");
        }
        _kernels = new DeviceKernels(_recipe.Bases, _recipe.Bias, device, type, kernels);
        _plain = new OutputAwareMethod(_recipe, threads);
    }

    /// <inheritdoc/>
    public string Name => $"qbb output-aware on {_device.type.ToString().ToLowerInvariant()}";

    /// <summary>Whether a recipe can run on a GPU.</summary>
    public static bool Supports(Recipe recipe) =>
        recipe.Resolve() is { Init: Init.Cascaded, Refinement: Refinement.Alternating, Rounds: > 0, Importance: Importance.Full };

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
    {
        var shape = ShapeOf(weights.OutFeatures, weights.InFeatures);
        if (shape.GroupSize > FusedGroups.MostLength || shape.Order > MostUnknowns)
            return _plain.Quantize(weights, cancellation);
        using var scope = torch.NewDisposeScope();
        var w = weights.On(_device);
        return Quantize(w, weights.RequireInputs(), weights.Name, cancellation);
    }

    /// <summary>Quantizes a weight that is on the device already.</summary>
    /// <param name="weight">f32 [out, in], finite; groups of at most 4096 columns.</param>
    /// <param name="inputs">Of the layer's inputs.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="InvalidInputException">As of <see cref="Decompose"/>.</exception>
    public LayerResult Quantize(Tensor weight, InputStatistics inputs, string name, CancellationToken cancellation = default)
    {
        var clock = Stopwatch.StartNew();
        using var found = Decompose(weight, inputs, name, cancellation);
        return found.ToResult(name, clock);
    }

    /// <summary>Decomposes a weight that is on the device already.</summary>
    /// <param name="weight">f32 [out, in], finite; groups of at most 4096 columns.</param>
    /// <param name="inputs">Of the layer's inputs.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="InvalidInputException">A scale does not fit fp16, or the inputs are of no use; the message names the weight.</exception>
    public TorchDecomposition Decompose(Tensor weight, InputStatistics inputs, string name, CancellationToken cancellation = default)
    {
        if (inputs.Features != weight.size(1))
            throw new ArgumentException($"{name} has {weight.size(1)} inputs, the statistics {inputs.Features}");
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var shape = ShapeOf(weight.size(0), (int)weight.size(1));
        var curvature = _curvatures.Of(inputs, () => DeviceCurvature.Of(inputs.Mean(_device), name, _type));
        var start = new FusedGroups(_recipe, _device, _loader).Refine(weight.contiguous(), curvature.Importance);
        start.CheckFinite(name);
        var steps = new DeviceSteps(shape, weight.to(_type).contiguous(), curvature, _kernels);
        var best = DeviceState.Of(start.Codes.clone(), start.Alpha, start.Beta, _type);
        var objectives = Improve(shape, curvature, steps, best, cancellation);
        var sums = steps.Report(best, start.Codes);
        var norm = Norm(weight, curvature.Matrix);
        return new TorchDecomposition(FusedGroups.Pack(best.Codes, shape.Bases, _loader), best.Alpha, best.Beta, shape.Columns, shape.GroupSize)
        {
            SquaredNorm = start.SquaredNorm,
            Errors = sums[..shape.Bases],
            InitErrors = start.InitErrors,
            Flips = sums[shape.Bases..],
            Output = new OutputError(norm, objectives, curvature.Damping, inputs.Count),
        };
    }

    public void Dispose() => _curvatures.Dispose();

    /// <summary>Steps 2 to 5; returns the objective after each step, the start being the first.</summary>
    private double[] Improve(DeviceShape shape, DeviceCurvature curvature, DeviceSteps steps, DeviceState best, CancellationToken cancellation)
    {
        using var scope = torch.NewDisposeScope();
        var scales = new DeviceScales(shape, curvature, _kernels);
        var objectives = new List<Tensor>();
        steps.Measure(best);
        Record();
        var trial = best.Copy();
        steps.Feedback(trial);
        steps.Measure(trial);
        Accept();
        for (var round = 1; ; round++)
        {
            scales.Run(trial);
            steps.Measure(trial);
            Accept();
            if (round == OutputAwareMethod.Rounds)
                break;
            steps.Descend(trial);
            Accept();
        }
        return torch.stack([.. objectives]).ToArray<double>();

        void Accept()
        {
            cancellation.ThrowIfCancellationRequested();
            steps.Settle(best, trial);
            Record();
        }

        void Record() => objectives.Add(best.Objectives.to(ScalarType.Float64).sum());
    }

    /// <summary>tr(W H Wᵀ).</summary>
    private double Norm(Tensor weight, Tensor matrix)
    {
        using var scope = torch.NewDisposeScope();
        var w = weight.to(_type);
        return torch.matmul(w, matrix).mul_(w).to(ScalarType.Float64).sum().ToDouble();
    }

    private DeviceShape ShapeOf(long rows, int columns) =>
        new(rows, columns, Math.Min(_recipe.Group ?? columns, columns), _recipe.Bases, _recipe.Bias);
}
