using System.Globalization;
using System.Text.RegularExpressions;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Bench.Targets;

/// <summary>
/// Which type each tensor of a LLaMA model gets in llama.cpp's mixtures, as its llama-quant.cpp chooses: more bits for some layers, and a type of shorter blocks
/// where rows are no whole blocks.
/// </summary>
/// <param name="name">Such as Q3_K_M.</param>
/// <param name="config">The model.</param>
internal sealed partial class GgmlMix(string name, DecoderConfig config)
{
    /// <summary>From the smallest.</summary>
    public static IReadOnlyList<string> All { get; } = ["Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q4_1"];

    private int Blocks => config.BlockCount;

    /// <summary>The type of a tensor.</summary>
    /// <param name="tensor">Its name in the file.</param>
    /// <param name="columns">Of a row.</param>
    public string TypeOf(string tensor, int columns)
    {
        var type = Wanted(tensor);
        if (columns % GgmlPacking.BlockLength(type) == 0)
            return type;
        return type switch { "Q2_K" or "Q3_K" => "IQ4_NL", "Q4_K" => "Q5_0", "Q5_K" => "Q5_1", "Q6_K" => "Q8_0", _ => "F16" };
    }

    private string Wanted(string tensor)
    {
        var usual = name is "Q4_1" ? "Q4_1" : name[..4];
        if (tensor == "output.weight" || (tensor == "token_embd.weight" && config.TiedEmbeddings))
            return "Q6_K";
        if (Layer().Match(tensor) is not { Success: true } layer)
            return usual;
        var index = int.Parse(layer.Groups[1].Value, CultureInfo.InvariantCulture);
        return (layer.Groups[2].Value, name) switch
        {
            ("attn_v", "Q2_K") => config.HeadCount / config.KeyValueHeadCount >= 4 ? "Q4_K" : "Q3_K",
            ("attn_v", "Q3_K_M") => index < 2 ? "Q5_K" : "Q4_K",
            ("attn_v", "Q3_K_L") => "Q5_K",
            ("attn_v", "Q4_K_M") => TakesMore(index) ? "Q6_K" : usual,
            ("attn_v", "Q4_K_S") => index < 4 ? "Q5_K" : usual,
            ("ffn_down", "Q2_K") => "Q3_K",
            ("ffn_down", "Q3_K_M") => index < Blocks / 16 ? "Q5_K" : "Q4_K",
            ("ffn_down", "Q3_K_L") => "Q5_K",
            ("ffn_down", "Q4_K_M") => TakesMore(index) ? "Q6_K" : usual,
            ("ffn_down", "Q4_K_S") => index < Blocks / 8 ? "Q5_K" : usual,
            ("attn_output", "Q2_K") => "Q3_K",
            ("attn_output", "Q3_K_M") => "Q4_K",
            ("attn_output", "Q3_K_L") => "Q5_K",
            _ => usual,
        };
    }

    private bool TakesMore(int index) => index < Blocks / 8 || index >= 7 * Blocks / 8 || (index - Blocks / 8) % 3 == 2;

    [GeneratedRegex(@"^blk\.(\d+)\.(\w+)\.weight$", RegexOptions.CultureInvariant)]
    private static partial Regex Layer();
}
