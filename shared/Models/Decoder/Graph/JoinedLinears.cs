namespace Qbb.Models.Decoder.Graph;

/// <summary>The layers of a block that read the same input, as one each; made at the first use and kept, since the parts then live in their memory.</summary>
internal sealed class JoinedLinears(DecoderConfig config, Dictionary<LinearRole, ILinear> linears) : IDisposable
{
    private readonly List<IDisposable> _owned = [];
    private (IGraphLinear? QueryKeyValue, IGraphLinear? GateUp)? _joined;

    /// <summary>Queries, keys and values one below the other; null where the layers do not go together.</summary>
    public IGraphLinear? QueryKeyValue => Joined.QueryKeyValue;

    /// <summary>Gate and up one below the other; null where the layers do not go together.</summary>
    public IGraphLinear? GateUp => Joined.GateUp;

    /// <summary>Forgets what was joined: a layer was replaced.</summary>
    public void Reset()
    {
        Dispose();
        _joined = null;
    }

    public void Dispose()
    {
        foreach (var layer in _owned)
            layer.Dispose();
        _owned.Clear();
    }

    private (IGraphLinear? QueryKeyValue, IGraphLinear? GateUp) Joined => _joined ??= (
        config.Packing == QkvPacking.Separate ? Join(LinearRole.Query, LinearRole.Key, LinearRole.Value) : linears[LinearRole.QueryKeyValue] as IGraphLinear,
        config.FusedGateUp ? linears[LinearRole.GateUp] as IGraphLinear : Join(LinearRole.Gate, LinearRole.Up));

    private IGraphLinear? Join(params LinearRole[] roles)
    {
        IGraphLinear[] parts = [.. roles.Select(role => linears[role]).OfType<IGraphLinear>()];
        if (parts.Length != roles.Length || parts[0].Join(parts[1..]) is not { } joined)
            return null;
        _owned.Add(joined);
        return joined;
    }
}
