using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Mixed;

/// <summary>Quantizes every layer with the number of bases that the recipe has for it.</summary>
public sealed class MixedMethod : ILayerMethod, IDisposable
{
    private readonly Dictionary<string, int> _counts;
    private readonly Dictionary<int, ILayerMethod> _methods;

    /// <param name="recipe">With bases per layer.</param>
    /// <param name="methodFor">What carries out a recipe of one N.</param>
    public MixedMethod(Recipe recipe, Func<Recipe, ILayerMethod> methodFor)
    {
        var uniform = recipe with { BasesPerLayer = null, Bits = null };
        _counts = recipe.BasesPerLayer!.ToDictionary(layer => layer.Key + ".weight", layer => layer.Value, StringComparer.Ordinal);
        _methods = _counts.Values.Distinct().ToDictionary(count => count, count => methodFor(uniform with { Bases = count }));
    }

    /// <inheritdoc/>
    public string Name => "mixed " + _methods[_methods.Keys.Max()].Name;

    /// <inheritdoc/>
    public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default) =>
        _methods[_counts[weights.Name]].Quantize(weights, cancellation);

    public void Dispose()
    {
        foreach (var method in _methods.Values)
            (method as IDisposable)?.Dispose();
    }
}
