using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Methods.Mixed;

namespace Qbb.Cli.Quantizing;

/// <summary><c>--bits</c> of <c>qbb quantize</c> and the options that go with it.</summary>
internal sealed class MixedChoices
{
    private readonly Option<double?> _bits = new("--bits")
    {
        Description = "Choose N layer by layer: bits per weight on average over the quantized weights, scales included. Needs data.",
    };
    private readonly Option<string?> _range = new("--bases-range")
    {
        Description = "With --bits: the numbers of bases to choose from. Default: 1-4.",
    };
    private readonly Option<int?> _sequences = new("--sensitivity-sequences")
    {
        Description = "With --bits: sequences to measure on what each layer does to the model. Default: 4.",
    };
    private readonly Option<string?> _file = new("--sensitivity")
    {
        Description = "With --bits: a file for what was measured; where it is there and fits, nothing is measured again.",
    };

    public IEnumerable<Option> All => [_bits, .. Dependent];

    private Option[] Dependent => [_range, _sequences, _file];

    public void CheckTogether(CommandResult result)
    {
        if (result.GetValue(_bits) is not null)
            return;
        foreach (var option in Dependent.Where(option => result.GetResult(option) is { Implicit: false }))
            result.AddError($"{option.Name} goes with --bits");
    }

    /// <summary>What was asked for; null without --bits.</summary>
    public MixedPlan? Read(ParseResult parsed)
    {
        if (parsed.GetValue(_bits) is not { } bits)
            return null;
        var options = new SensitivityOptions();
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
        return new MixedPlan(bits, options, parsed.GetValue(_file));
    }
}
