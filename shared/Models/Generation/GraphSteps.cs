using Qbb.Models.Decoder;
using Qbb.Models.Decoder.Graph;

namespace Qbb.Models.Generation;

/// <summary>The token steps of a generation by <see cref="GraphDecoder"/>, where it is wanted, serves the model and pays.</summary>
internal sealed class GraphSteps(Transformer model, KvCache cache, bool wanted) : IDisposable
{
    /// <summary>Recording a graph takes as long as some tens of steps without.</summary>
    private const int FewestTokens = 32;

    private GraphDecoder? _decoder;
    private bool? _supported;

    /// <summary>Whether the next step can be one of a graph, of which so many would follow.</summary>
    public bool Serve(int left)
    {
        if (!wanted || cache.Length == 0 || _decoder is null && left < FewestTokens)
            return false;
        return _supported ??= GraphDecoder.Supports(model, cache.Batch);
    }

    /// <summary>The likeliest token of every row after the given ones.</summary>
    /// <exception cref="InvalidInputException">The logits are not numbers.</exception>
    public long[] Likeliest(long[] inputs)
    {
        Run(inputs);
        var tokens = _decoder!.Chosen(cache.Length, 1);
        return Array.IndexOf(tokens, -1) < 0 ? [.. tokens.Select(token => (long)token)] : throw BatchSampler.NotNumbers();
    }

    /// <summary>Logits [rows, vocabulary] after the given tokens.</summary>
    public Tensor Logits(long[] inputs)
    {
        Run(inputs);
        return _decoder!.Logits;
    }

    /// <summary>The cache has other rows from now on.</summary>
    public void Reset()
    {
        _decoder?.Dispose();
        (_decoder, _supported) = (null, null);
    }

    public void Dispose() => Reset();

    private void Run(long[] inputs)
    {
        _decoder ??= new GraphDecoder(model, cache);
        _decoder.Step(inputs);
    }
}
