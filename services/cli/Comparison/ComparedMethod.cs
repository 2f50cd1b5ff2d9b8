using System.Globalization;
using Qbb.Evaluator.Accounting;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Recipes;

namespace Qbb.Cli.Comparison;

/// <summary>One way to quantize in a comparison.</summary>
/// <param name="Name">As options and tables have it.</param>
/// <param name="Text">What it does.</param>
/// <param name="Recipe">Its choices but bases and group.</param>
/// <param name="Distills">Null where nothing is distilled; else whether signs may be trained beside the scales.</param>
/// <param name="IsLattice">Codes of QuIP#, of 2, 3 or 4 bits and without groups, stored as plain weights; of the recipe only the data matter.</param>
internal sealed record ComparedMethod(string Name, string Text, Recipe Recipe, bool? Distills = null, bool IsLattice = false)
{
    private static readonly Recipe s_rounded = new() { Init = Init.Rtn, Refinement = Refinement.None };
    private static readonly Recipe s_gptq = s_rounded with { Init = Init.Gptq, Importance = Importance.Full };
    private static readonly Recipe s_outputs = new() { Importance = Importance.Full };
    private static readonly Recipe s_unrefined = new() { Refinement = Refinement.None };

    public static readonly IReadOnlyList<ComparedMethod> All =
    [
        new("rtn", "round to nearest", s_rounded),
        new("rtn-clip", "round to nearest, ranges clipped for least error", s_rounded with { Init = Init.RtnClip }),
        new("gptq", "GPTQ with act-order and static groups", s_gptq),
        new("awq", "AWQ: scales of the inputs and clipping for least error of the outputs", s_gptq with { Init = Init.Awq }),
        new("omniquant", "OmniQuant: ranges trained for least error of the layers' outputs", s_gptq with { Init = Init.Omniquant }),
        new("quip", "QuIP# without fine-tuning", s_outputs with { Embedding = EmbeddingForm.Bits16 }, IsLattice: true),
        new("gptq-distilled", "the same, then its scales distilled", s_gptq, Distills: false),
        new("qbb-weights", "binary bases from the weights alone", new Recipe()),
        new("qbb", "binary bases for least error of the layers' outputs", s_outputs),
        new("qbb-distilled", "the same, then distilled", s_outputs, Distills: true),
        new("qbb-init", "binary bases of the cascaded init, not refined", s_unrefined),
        new("qbb-init-distilled", "the same, then distilled", s_unrefined, Distills: true),
        new("qbb-from-rtn", "binary bases for least error of the layers' outputs, starting from round to nearest", s_outputs with { Init = Init.Rtn }),
        new("qbb-from-gptq", "the same from GPTQ", s_outputs with { Init = Init.Gptq }),
        new("qbb-from-omniquant", "the same from OmniQuant", s_outputs with { Init = Init.Omniquant }),
    ];

    /// <summary>Whether it needs data: sequences sampled from the model, or a text.</summary>
    public bool NeedsData => Recipe.Importance != Importance.None || Distills is not null;

    /// <summary>Whether it needs sequences sampled from the model; with a text to calibrate on, only what is distilled.</summary>
    public bool NeedsSamples(bool hasText) => hasText ? Distills is not null : NeedsData;

    public static ComparedMethod Of(string name) => All.Single(method => method.Name == name);
}

/// <summary>One cell of a comparison's matrix.</summary>
/// <param name="Method">How.</param>
/// <param name="Bases">N, or bits of a grid.</param>
/// <param name="Group">Inputs that share a scale; null for those of a row.</param>
internal sealed record ComparisonCell(ComparedMethod Method, int Bases, int? Group)
{
    /// <summary>The cells of a matrix; methods without groups once for each number of bits.</summary>
    public static List<ComparisonCell> Matrix(IEnumerable<string> methods, IEnumerable<int> bases, IEnumerable<int?> groups) =>
    [
        .. bases.Distinct().SelectMany(count => groups.Distinct().SelectMany(group => methods.Distinct().Select(ComparedMethod.Of)
            .Select(method => new ComparisonCell(method, count, method.IsLattice ? null : group)))).Distinct(),
    ];

    /// <summary>The folder of its model.</summary>
    public string Folder => string.Create(CultureInfo.InvariantCulture, $"{Method.Name}-{Bases}{(Method.IsLattice ? "" : Group is { } group ? $"-g{group}" : "-row")}");

    /// <summary>The line of the table.</summary>
    public string Title => string.Create(CultureInfo.InvariantCulture, $"{Method.Name}, {Bases} bits{(Method.IsLattice ? "" : Group is { } group ? $", g = {group}" : ", a scale per row")}");

    public Recipe Recipe => Method.Recipe with { Bases = Bases, Group = Group };

    /// <summary>
    /// What a layer takes where a file of the method's own format stores it: codes, and per group a scale of 16 bits and a zero point of the codes'
    /// size; of QuIP# codes, signs and a scale. Null where the model's own form is meant.
    /// </summary>
    /// <param name="folder">The result.</param>
    public Func<LinearSpec, StoredLinear>? OwnForm(string folder)
    {
        if (Method.IsLattice)
        {
            var bits = PlainQuantizer.BitsOf(folder);
            return layer => new(bits * layer.WeightCount, LatticeOperations(layer));
        }
        if (!Recipe.IsRounding || Method.Distills is not null)
            return null;
        return layer =>
        {
            var groups = Group is { } group ? (layer.InFeatures + group - 1L) / group : 1;
            return new(layer.OutFeatures * ((double)Bases * layer.InFeatures + (16 + Bases) * groups), OperationCounts.Integers(layer.OutFeatures, layer.InFeatures, groups, zeroPoints: true));
        };
    }

    // The transforms of inputs and outputs, a scale per output, and of a second codebook its scale and sum.
    private OperationCounts LatticeOperations(LinearSpec layer)
    {
        var (inputs, outputs) = (Incoherence.Operations(layer.InFeatures), Incoherence.Operations(layer.OutFeatures));
        var second = Bases > 2 ? layer.WeightCount : 0;
        return OperationCounts.Dense(layer.OutFeatures, layer.InFeatures)
            + new OperationCounts(inputs.Multiplications + outputs.Multiplications + layer.OutFeatures + second, inputs.Additions + outputs.Additions + second);
    }
}
