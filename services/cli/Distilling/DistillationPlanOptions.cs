using System.CommandLine;
using System.CommandLine.Parsing;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Cli.Distilling;

/// <summary>
/// <c>--distill</c> of <c>qbb quantize</c> and the options that go with it; <c>qbb sample</c>, <c>filter</c> and <c>distill</c> have more.
/// </summary>
internal sealed class DistillationPlanOptions
{
    private const int UsualSequences = 1024;
    private const double UsualShare = 0.5;

    private readonly Option<bool> _distill = new("--distill")
    {
        Description = "Continue without data: sample from the model, keep the sequences on which the result is farthest from it, and train the scales on them.",
    };
    private readonly Option<int?> _sequences = new("--sequences")
    {
        Description = $"With --distill: sequences to sample. Default: {UsualSequences}.",
    };
    private readonly Option<int?> _length = new("--length")
    {
        Description = "With --distill: tokens of a sequence. Default: 512, or the model's longest context if that is shorter.",
    };
    private readonly Option<double?> _keep = new("--keep")
    {
        Description = "With --distill: share of the sequences to keep. Default: 0.5.",
    };
    private readonly Option<string?> _loss = new("--loss") { Description = "With --distill: ce, kd, kd-mse or kd-mse-swap. Default: kd." };
    private readonly Option<int?> _steps = new("--distill-steps") { Description = "With --distill: optimizer steps. Default: 400." };
    private readonly Option<int?> _batch = new("--distill-batch") { Description = "With --distill: sequences of a step. Default: 16." };
    private readonly Option<double?> _rate = new("--distill-lr") { Description = "With --distill: peak learning rate. Default: 0.002." };
    private readonly Option<double?> _signRate = new("--sign-lr") { Description = "With --distill: train the signs too, at this peak rate. Default: they stay." };
    private readonly Option<double?> _feature = new("--feature-weight") { Description = "With --distill: weight of the relative squared difference behind each block. Default: 0." };
    private readonly Option<string?> _dtype = SharedOptions.DType();

    public DistillationPlanOptions() => _loss.AcceptOnlyFromAmong([.. DistillationLossNames.All.Keys]);

    public IEnumerable<Option> All => [_distill, .. Dependent];

    private Option[] Dependent => [_sequences, _length, _keep, _loss, _steps, _batch, _rate, _signRate, _feature, _dtype];

    public void CheckTogether(CommandResult result)
    {
        if (result.GetValue(_distill))
            return;
        foreach (var option in Dependent.Where(option => result.GetResult(option) is { Implicit: false }))
            result.AddError($"{option.Name} goes with --distill");
    }

    /// <summary>The plan; null without --distill.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="device">Where to work.</param>
    /// <param name="given">The distillation of a recipe file, which options change; null for the defaults.</param>
    public DistillationPlan? Read(ParseResult parsed, Device device, DistillationRecipe? given)
    {
        if (!parsed.GetValue(_distill))
            return null;
        var start = given ?? new DistillationRecipe { Precision = SharedOptions.ParseDType(parsed.GetValue(_dtype), device).ToPrecision() };
        var precision = parsed.GetValue(_dtype) is { } text ? SharedOptions.ParseDType(text, device).ToPrecision() : start.Precision;
        var recipe = start with
        {
            Loss = parsed.GetValue(_loss) is { } loss ? DistillationLossNames.All[loss] : start.Loss,
            Steps = parsed.GetValue(_steps) ?? start.Steps,
            Batch = parsed.GetValue(_batch) ?? start.Batch,
            LearningRate = parsed.GetValue(_rate) ?? start.LearningRate,
            SignRate = parsed.GetValue(_signRate) ?? start.SignRate,
            FeatureWeight = parsed.GetValue(_feature) ?? start.FeatureWeight,
            Precision = precision,
        };
        return new DistillationPlan(
            parsed.GetValue(_sequences) ?? UsualSequences, parsed.GetValue(_length), parsed.GetValue(_keep) ?? UsualShare, recipe.Resolve(), device,
            precision.ToScalarType(), ModelLimits.AllowsLongContext(parsed));
    }
}
