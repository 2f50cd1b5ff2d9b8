using System.CommandLine;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Cli.Distilling;

/// <summary>The options of a distillation's recipe.</summary>
internal sealed class DistillationChoices
{
    private static readonly DistillationRecipe s_default = new();

    private readonly Option<string> _loss = new("--loss")
    {
        Description = "ce: the data's next tokens; kd: the teacher's probabilities; kd-mse: its logits; kd-mse-swap: the same while its blocks are replaced by the student's.",
        DefaultValueFactory = _ => DistillationLossNames.Of(s_default.Loss),
    };
    private readonly Option<int> _steps = new("--steps") { Description = "Optimizer steps.", DefaultValueFactory = _ => s_default.Steps };
    private readonly Option<int> _batch = new("--batch")
    {
        Description = "Sequences of one pass.",
        DefaultValueFactory = _ => s_default.Batch,
    };
    private readonly Option<int> _accumulate = new("--accumulate")
    {
        Description = "Passes of one step.",
        DefaultValueFactory = _ => s_default.Accumulate,
    };
    private readonly Option<double> _rate = new("--lr")
    {
        Description = "Peak learning rate, as a share of a group's mean scale per step.",
        DefaultValueFactory = _ => s_default.LearningRate,
    };
    private readonly Option<double?> _signRate = new("--sign-lr")
    {
        Description = "Trains the signs too, at this peak rate of their latent weights. Default: the signs stay.",
    };
    private readonly Option<int?> _warmup = new("--warmup")
    {
        Description = "Steps over which the rate rises. Default: a tenth of the steps, at most 20.",
    };
    private readonly Option<double> _clip = new("--clip")
    {
        Description = "Largest norm of the gradients.",
        DefaultValueFactory = _ => s_default.Clip,
    };
    private readonly Option<double?> _temperature = new("--temperature") { Description = "Temperature of kd's probabilities. Default: 1." };
    private readonly Option<double> _feature = new("--feature-weight")
    {
        Description = "Weight of the relative squared difference behind each block.",
        DefaultValueFactory = _ => s_default.FeatureWeight,
    };
    private readonly Option<double?> _swapEnd = new("--swap-end")
    {
        Description = "Share of the steps after which kd-mse-swap has all blocks from the student. Default: 0.5.",
    };
    private readonly Option<double> _heldOut = new("--held-out")
    {
        Description = "Share of the sequences that decide which step is kept.",
        DefaultValueFactory = _ => s_default.HeldOut,
    };
    private readonly Option<int> _evalEvery = new("--eval-every")
    {
        Description = "Steps between evaluations on the held-out sequences.",
        DefaultValueFactory = _ => s_default.EvaluateEvery,
    };
    private readonly Option<long> _seed = new("--seed")
    {
        Description = "Seed of split, order and swaps.",
        DefaultValueFactory = _ => s_default.Seed,
    };

    public DistillationChoices() => _loss.AcceptOnlyFromAmong([.. DistillationLossNames.All.Keys]);

    public IEnumerable<Option> All => [_loss, _steps, _batch, _accumulate, _rate, _signRate, _warmup, _clip, _temperature, _feature, _swapEnd, _heldOut, _evalEvery, _seed];

    public DistillationRecipe Read(ParseResult parsed, Precision precision) => new DistillationRecipe
    {
        Loss = DistillationLossNames.All[parsed.GetRequiredValue(_loss)],
        Steps = parsed.GetRequiredValue(_steps),
        Batch = parsed.GetRequiredValue(_batch),
        Accumulate = parsed.GetRequiredValue(_accumulate),
        LearningRate = parsed.GetRequiredValue(_rate),
        SignRate = parsed.GetValue(_signRate),
        Warmup = parsed.GetValue(_warmup),
        Clip = parsed.GetRequiredValue(_clip),
        Temperature = parsed.GetValue(_temperature),
        FeatureWeight = parsed.GetRequiredValue(_feature),
        SwapEnd = parsed.GetValue(_swapEnd),
        HeldOut = parsed.GetRequiredValue(_heldOut),
        EvaluateEvery = parsed.GetRequiredValue(_evalEvery),
        Seed = parsed.GetRequiredValue(_seed),
        Precision = precision,
    }.Resolve();
}
