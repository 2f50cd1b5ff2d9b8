using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Standalone.Benchmarks;

/// <summary>The shape of a model without its weights.</summary>
/// <param name="Name">As it was asked for.</param>
/// <param name="Config">The decoder.</param>
internal sealed record ModelShape(string Name, DecoderConfig Config)
{
    /// <summary>One of <see cref="BenchShape"/>, else that of a model.</summary>
    /// <exception cref="InvalidInputException">There is no such model.</exception>
    public static ModelShape Of(string text)
    {
        if (BenchShape.Names.Contains(text))
            return new(text, BenchShape.Of(text));
        using var source = ModelSource.Open(text);
        return new(text, DecoderConfig.FromJson(source.ConfigJson));
    }

    /// <summary>The model's tensors; random ones, drawn as they are asked for, where there is only a shape.</summary>
    public ITensorSource Open() => BenchShape.Names.Contains(Name) ? new RandomCheckpoint(Config, 1, drawOnDevice: true) : ModelSource.Open(Name).Tensors;

    /// <summary>The linear layers of some blocks.</summary>
    public IReadOnlyList<LinearSpec> Linears(int blocks) =>
        [.. DecoderLayout.Of(Config with { BlockCount = Math.Min(blocks, Config.BlockCount) }).Linears];
}
