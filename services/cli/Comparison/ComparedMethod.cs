using System.Globalization;
using Qbb.Recipes;

namespace Qbb.Cli.Comparison;

/// <summary>One way to quantize in a comparison.</summary>
/// <param name="Name">As options and tables have it.</param>
/// <param name="Text">What it does.</param>
/// <param name="Recipe">Its choices but bases and group.</param>
/// <param name="Distills">Null where nothing is distilled; else whether signs may be trained beside the scales.</param>
internal sealed record ComparedMethod(string Name, string Text, Recipe Recipe, bool? Distills = null)
{
    private static readonly Recipe s_rounded = new() { Init = Init.Rtn, Refinement = Refinement.None };
    private static readonly Recipe s_gptq = s_rounded with { Init = Init.Gptq, Importance = Importance.Full };
    private static readonly Recipe s_outputs = new() { Importance = Importance.Full };

    public static readonly IReadOnlyList<ComparedMethod> All =
    [
        new("rtn", "round to nearest", s_rounded),
        new("rtn-clip", "round to nearest, ranges clipped for least error", s_rounded with { Init = Init.RtnClip }),
        new("gptq", "GPTQ with act-order and static groups", s_gptq),
        new("awq", "AWQ: scales of the inputs and clipping for least error of the outputs", s_gptq with { Init = Init.Awq }),
        new("gptq-distilled", "the same, then its scales distilled", s_gptq, Distills: false),
        new("qbb-weights", "binary bases from the weights alone", new Recipe()),
        new("qbb", "binary bases for least error of the layers' outputs", s_outputs),
        new("qbb-distilled", "the same, then distilled", s_outputs, Distills: true),
    ];

    /// <summary>Whether it needs sequences sampled from the model.</summary>
    public bool NeedsData => Recipe.Importance != Importance.None;

    public static ComparedMethod Of(string name) => All.Single(method => method.Name == name);
}

/// <summary>One cell of a comparison's matrix.</summary>
/// <param name="Method">How.</param>
/// <param name="Bases">N, or bits of a grid.</param>
/// <param name="Group">Inputs that share a scale; null for those of a row.</param>
internal sealed record ComparisonCell(ComparedMethod Method, int Bases, int? Group)
{
    /// <summary>The folder of its model.</summary>
    public string Folder => string.Create(CultureInfo.InvariantCulture, $"{Method.Name}-{Bases}-{(Group is { } group ? $"g{group}" : "row")}");

    /// <summary>The line of the table.</summary>
    public string Title => string.Create(CultureInfo.InvariantCulture, $"{Method.Name}, {Bases} bits, {(Group is { } group ? $"g = {group}" : "a scale per row")}");

    public Recipe Recipe => Method.Recipe with { Bases = Bases, Group = Group };

    /// <summary>Bits of a weight where a file of the method's own format stores it: codes, and per group a scale of 16 bits and a zero point of the codes' size. Null where the model's own size is meant.</summary>
    public double? OwnBits(IEnumerable<(long Out, long In)> layers)
    {
        if (!Recipe.IsRounding || Method.Distills is not null)
            return null;
        var (bits, weights) = (0.0, 0L);
        foreach (var (outputs, inputs) in layers)
        {
            var groups = Group is { } group ? (inputs + group - 1) / group : 1;
            bits += outputs * (Bases * (double)inputs + (16 + Bases) * groups);
            weights += outputs * inputs;
        }
        return bits / weights;
    }
}
