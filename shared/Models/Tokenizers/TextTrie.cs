namespace Qbb.Models.Tokenizers;

/// <summary>Texts with a number each, found by walking from the root unit by unit.</summary>
internal sealed class TextTrie
{
    public const int Root = 0;

    private readonly Dictionary<(int Node, char Unit), int> children = [];
    private readonly List<int> values = [-1];

    /// <summary>Gives a text its number, which is not negative; an earlier one is replaced. The empty text cannot be found.</summary>
    public void Set(string text, int value)
    {
        var node = Root;
        foreach (var unit in text)
        {
            if (!children.TryGetValue((node, unit), out var child))
            {
                children.Add((node, unit), child = values.Count);
                values.Add(-1);
            }
            node = child;
        }
        values[node] = value;
    }

    /// <summary>The node that a unit leads to, or -1.</summary>
    public int Next(int node, char unit) => children.TryGetValue((node, unit), out var child) ? child : -1;

    /// <summary>The number of the text that ends at a node, or -1.</summary>
    public int ValueAt(int node) => values[node];
}
