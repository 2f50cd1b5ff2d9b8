using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Qbb.Cli.Calibrating;
using Qbb.Cli.Distilling;
using Qbb.Models;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Cli.Quantizing;

/// <summary><c>--preset</c> of <c>qbb quantize</c> and the limits of its result.</summary>
internal sealed class PresetChoices
{
    private readonly Option<Preset?> _preset = new("--preset")
    {
        Description = "weights: seconds, no data, usually unusable below 4 bases; fast: least error of the layers' outputs on text sampled from the model; "
            + "balanced (default): then scales distilled, two minutes on a GPU, 10 minutes in all on 2 cores; best: until the divergence on held-out text stops falling.",
    };
    private readonly Option<double?> _maxKl = new("--max-kl") { Description = "Write nothing if the KL divergence from the model on held-out text is larger, in nats per token." };
    private readonly Option<bool> _allowLarger = new("--allow-larger") { Description = "Write a result of more than 8 bits per weight, or larger than the model." };
    private readonly Option<bool> _plan = new("--plan") { Description = "Print stages, time, memory, disk, size and expected quality, and do nothing." };

    public IEnumerable<Option> All => [_preset, _plan, _maxKl, _allowLarger];

    public bool PlansOnly(CommandResult result) => result.GetValue(_plan);

    public bool IsGiven(ParseResult parsed) => parsed.GetValue(_preset) is not null;

    public bool AllowsLarger(ParseResult parsed) => parsed.GetValue(_allowLarger);

    public double? MaxKl(ParseResult parsed) => parsed.GetValue(_maxKl);

    /// <summary>The preset: as given, or what the other choices leave.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="recipe">The decomposition.</param>
    /// <param name="calibration">Its options.</param>
    /// <param name="overrides">Those of data and training.</param>
    /// <exception cref="InvalidInputException">Options contradict the preset.</exception>
    public Preset Read(ParseResult parsed, Recipe recipe, CalibrationChoices calibration, PlanOverrides overrides)
    {
        var given = parsed.GetValue(_preset);
        var hasData = calibration.HasData(parsed);
        // What the other choices cannot go beyond, and why.
        var (most, because) = !recipe.TakesCalibration ? (Preset.Weights, "an init or refinement without calibration")
            : calibration.Given(parsed) == Importance.None && !hasData ? (Preset.Weights, "--importance none")
            : hasData ? (Preset.Fast, "--calibration and --text")
            : recipe.Nested ? (Preset.Fast, "--nested")
            : (Preset.Best, "");
        if (given > most)
            throw new InvalidInputException($"--preset {given.Value.NameOf()} does not go together with {because}: leave one of them out, or use --preset {most.NameOf()}");
        var preset = given ?? (Preset)Math.Min((int)most, (int)Preset.Balanced);
        if (preset < Preset.Balanced && overrides.OfTraining(parsed.CommandResult).FirstOrDefault() is { } training)
            throw new InvalidInputException($"{training} goes with --preset balanced or best: nothing is distilled {(given is null ? $"with {because}" : $"with --preset {preset.NameOf()}")}");
        if ((preset == Preset.Weights || hasData) && overrides.Of(parsed.CommandResult).FirstOrDefault() is { } sampling)
            throw new InvalidInputException($"{sampling} does not apply: no data are sampled {(hasData ? "where --calibration or --text gives them" : "for the weights alone")}");
        if (preset == Preset.Weights && calibration.Given(parsed) is not (null or Importance.None))
            throw new InvalidInputException("--importance goes with data: use --preset fast, balanced or best");
        if (preset == Preset.Weights && hasData && given is not null)
            throw new InvalidInputException("--preset weights uses no data: leave out --calibration and --text, or use --preset fast");
        if (preset == Preset.Weights && recipe.Init.NeedsInputs())
            throw new InvalidInputException($"--init {recipe.Init.ToName()} needs data: use --preset fast, balanced or best, or give --calibration or --text");
        return preset;
    }

    /// <summary>Bytes of the files that a command line asks for, such as 80MB, 1.5GB or 80000000.</summary>
    public static long? ParseSize(ArgumentResult result)
    {
        var text = result.Tokens[0].Value.Trim();
        (string Unit, double Bytes)[] units = [("GIB", 1L << 30), ("MIB", 1L << 20), ("KIB", 1L << 10), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1), ("", 1)];
        var (unit, bytes) = units.First(unit => text.EndsWith(unit.Unit, StringComparison.OrdinalIgnoreCase));
        if (double.TryParse(text[..^unit.Length], NumberStyles.Float, CultureInfo.InvariantCulture, out var count) && count > 0 && count * bytes < 1e18)
            return (long)(count * bytes);
        result.AddError($"--size is '{text}': give a size such as 80MB");
        return null;
    }
}
