using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;

namespace Qbb.Cli.Quantizing;

/// <summary><c>--size</c> and <c>--bits</c> of <c>qbb quantize</c> and the options that go with it.</summary>
internal sealed class MixedChoices
{
    private readonly Option<double?> _bits = new("--bits")
    {
        Description = "The same, in bits per parameter of the whole file, embedding and scales included.",
    };
    private readonly Option<long?> _size = new("--size")
    {
        Description = "Choose N layer by layer so that the whole file takes at most this size, such as 80MB.",
        HelpName = "SIZE",
        CustomParser = PresetChoices.ParseSize,
    };
    private readonly Option<string?> _range = new("--bases-range")
    {
        Description = "With --size or --bits: the numbers of bases to choose from. Default: those around the size.",
    };
    private readonly Option<int?> _sequences = new("--sensitivity-sequences")
    {
        Description = "With --size or --bits: sequences to measure each layer's effect on. Default: 4, on the CPU 1.",
    };
    private readonly Option<string?> _file = new("--sensitivity")
    {
        Description = "With --size or --bits: cache for the sensitivity measurements, reused if it matches.",
    };

    public IEnumerable<Option> All => [_size, _bits, .. Dependent];

    private Option[] Dependent => [_range, _sequences, _file];

    public void CheckTogether(CommandResult result)
    {
        var (hasBits, hasSize) = (result.GetValue(_bits) is not null, result.GetResult(_size) is not null);
        if (hasBits && hasSize)
            result.AddError("give either --size or --bits");
        if (hasBits || hasSize)
            return;
        foreach (var option in Dependent.Where(option => result.GetResult(option) is { Implicit: false }))
            result.AddError($"{option.Name} goes with --size or --bits");
    }

    /// <summary>How N is chosen layer by layer; null without --size and --bits.</summary>
    /// <exception cref="InvalidInputException">The size cannot be reached.</exception>
    public MixedPlan? Read(ParseResult parsed, Recipe recipe, ModelCounts model, bool isGpu)
    {
        if ((parsed.GetValue(_size) ?? (parsed.GetValue(_bits) is { } perParameter ? (long)(perParameter * model.Weights / 8) : null)) is not { } bytes)
            return null;
        if (recipe.Nested)
            throw new InvalidInputException("--nested does not go together with --size or --bits: a nested model has the same bases in every layer");
        var sizes = Enumerable.Range(1, Recipe.MostBases).Select(bases => WorkPlan.OutputBytes(model, recipe with { Bases = bases })).ToArray();
        if (bytes < sizes[0])
        {
            throw new InvalidInputException(
                $"{Units.Bytes(bytes)} is less than this model can take: with one basis per layer it takes {Units.Bytes(sizes[0])}; "
                + "a larger --group or fewer bits of the embedding (--embedding) take less");
        }
        var fits = sizes.Count(size => size <= bytes);
        // On a CPU a measurement of every layer at every N takes longer than all the rest: only the two around the size are compared.
        var options = isGpu
            ? new SensitivityOptions { FewestBases = Math.Max(1, fits - 1), MostBases = Math.Min(Recipe.MostBases, fits + 2) }
            : new SensitivityOptions { FewestBases = Math.Min(fits, Recipe.MostBases - 1), MostBases = Math.Min(Recipe.MostBases, fits + 1), Sequences = 1 };
        if (parsed.GetValue(_range) is { } range)
        {
            var parts = range.Split('-');
            if (parts.Length != 2 || !int.TryParse(parts[0], CultureInfo.InvariantCulture, out var fewest)
                || !int.TryParse(parts[1], CultureInfo.InvariantCulture, out var most))
                throw new InvalidInputException($"--bases-range is '{range}'", "give two numbers such as 1-4");
            options = options with { FewestBases = fewest, MostBases = most };
        }
        options = options with { Sequences = parsed.GetValue(_sequences) ?? options.Sequences };
        options.Validate();
        return new MixedPlan(8 * (bytes - WorkPlan.OtherBytes(model, recipe)) / (double)model.LinearWeights, options, parsed.GetValue(_file), fits);
    }
}
