using System.Collections;

namespace Qbb.Recipes;

/// <summary>N of every linear layer, by module name. Two of the same content are equal.</summary>
public sealed class LayerBases : IReadOnlyCollection<KeyValuePair<string, int>>, IEquatable<LayerBases>
{
    private readonly SortedDictionary<string, int> _counts;

    /// <param name="counts">At least one layer, 1 to 8 bases each.</param>
    /// <exception cref="InvalidInputException">A number is out of range; the message names the layer.</exception>
    public LayerBases(IEnumerable<KeyValuePair<string, int>> counts)
    {
        _counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (var (layer, count) in counts)
        {
            if (count is < 1 or > Recipe.MostBases)
                throw new InvalidInputException($"the recipe gives {layer} {count} bases; it must be 1 to {Recipe.MostBases}");
            if (!_counts.TryAdd(layer, count))
                throw new InvalidInputException($"the recipe gives bases to {layer} twice");
        }
        if (_counts.Count == 0)
            throw new InvalidInputException("the recipe's basesPerLayer names no layer");
    }

    /// <inheritdoc/>
    public int Count => _counts.Count;

    /// <summary>The largest N.</summary>
    public int Most => _counts.Values.Max();

    /// <summary>N of one layer.</summary>
    /// <exception cref="InvalidInputException">The layer is not named.</exception>
    public int this[string layer] => _counts.TryGetValue(layer, out var count)
        ? count
        : throw new InvalidInputException($"the recipe's basesPerLayer does not name {layer}: it belongs to another model");

    /// <inheritdoc/>
    public bool Equals(LayerBases? other) => other is not null && _counts.SequenceEqual(other._counts);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as LayerBases);

    /// <inheritdoc/>
    public override int GetHashCode() => _counts.Aggregate(0, HashCode.Combine);

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, int>> GetEnumerator() => _counts.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
