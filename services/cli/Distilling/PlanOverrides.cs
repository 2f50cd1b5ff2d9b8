using System.CommandLine;
using System.CommandLine.Parsing;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Cli.Distilling;

/// <summary>Options that change what is sampled, kept and trained; <c>qbb sample</c>, <c>filter</c> and <c>distill</c> have more.</summary>
internal sealed class PlanOverrides
{
    private readonly Option<int?> _sequences = new("--sequences") { Description = "Sequences to sample from the model. Default: by preset." };
    private readonly Option<int?> _length = new("--length") { Description = "Tokens of a sequence. Default: 512, or the model's longest context if that is shorter." };
    private readonly Option<double?> _keep = new("--keep")
    {
        Description = "Distil on this share of the sequences only, those with the largest discrepancy between model and result. Default: 1.",
    };
    private readonly Option<string?> _loss = new("--loss") { Description = "Distillation loss: ce, kd, kd-mse or kd-mse-swap. Default: kd." };
    private readonly Option<int?> _steps = new("--distill-steps") { Description = "Optimizer steps. Default: by preset." };
    private readonly Option<int?> _batch = new("--distill-batch") { Description = "Sequences per step. Default: by preset." };
    private readonly Option<double?> _rate = new("--distill-lr") { Description = "Peak learning rate of the scales. Default: by the number of bases." };
    private readonly Option<double?> _signRate = new("--sign-lr") { Description = "Peak learning rate of the signs; 0 keeps them. Default: that of the scales on a GPU, 0 on the CPU." };
    private readonly Option<double?> _feature = new("--feature-weight") { Description = "Weight of the relative squared difference behind each block. Default: 2 on a GPU, 0 on the CPU." };
    private readonly Option<string?> _dtype = SharedOptions.DType();

    public PlanOverrides() => _loss.AcceptOnlyFromAmong([.. DistillationLossNames.All.Keys]);

    public IEnumerable<Option> All => [_sequences, _length, _keep, .. Training];

    private Option[] Training => [_loss, _steps, _batch, _rate, _signRate, _feature, _dtype];

    /// <summary>Names of the given options that need a distillation.</summary>
    public IEnumerable<string> OfTraining(CommandResult result) => Given(result, [_keep, .. Training]);

    /// <summary>Names of all given options.</summary>
    public IEnumerable<string> Of(CommandResult result) => Given(result, All);

    /// <summary>The type to sample and train in.</summary>
    public ScalarType TypeOf(ParseResult parsed, Device device, Precision usual) =>
        parsed.GetValue(_dtype) is { } text ? SharedOptions.ParseDType(text, device) : usual.ToScalarType();

    /// <summary>A plan's sampling with what the options say.</summary>
    /// <exception cref="InvalidInputException">The sequences are longer than the model's context length.</exception>
    public SamplingOptions Apply(ParseResult parsed, SamplingOptions sampling, int positions) => sampling with
    {
        Sequences = parsed.GetValue(_sequences) ?? sampling.Sequences,
        Length = ModelLimits.Context(_length.Name, parsed.GetValue(_length), sampling.Length, positions, ModelLimits.AllowsLongContext(parsed)),
    };

    /// <summary>What is kept of the samples; null for all.</summary>
    public FilterOptions? Filter(ParseResult parsed) => parsed.GetValue(_keep) is { } keep and not 1 ? new FilterOptions { Keep = keep } : null;

    /// <summary>A plan's distillation with what the options say.</summary>
    public DistillationRecipe Apply(ParseResult parsed, DistillationRecipe recipe, Device device) => recipe with
    {
        Loss = parsed.GetValue(_loss) is { } loss ? DistillationLossNames.All[loss] : recipe.Loss,
        Steps = parsed.GetValue(_steps) ?? recipe.Steps,
        Batch = parsed.GetValue(_batch) ?? recipe.Batch,
        LearningRate = parsed.GetValue(_rate) ?? recipe.LearningRate,
        SignRate = parsed.GetValue(_signRate) switch { null => recipe.SignRate, 0 => null, var rate => rate },
        FeatureWeight = parsed.GetValue(_feature) ?? recipe.FeatureWeight,
        EvaluateEvery = parsed.GetValue(_steps) is { } steps ? Math.Min(recipe.EvaluateEvery, Math.Max(1, steps / 2)) : recipe.EvaluateEvery,
        Precision = TypeOf(parsed, device, recipe.Precision).ToPrecision(),
    };

    private static IEnumerable<string> Given(CommandResult result, IEnumerable<Option> options) =>
        options.Where(option => result.GetResult(option) is { Implicit: false }).Select(option => option.Name);
}
