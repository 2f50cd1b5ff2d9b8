using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Qbb.Registry.Mlflow.Routes;

/// <summary>An attribute by which things are searched.</summary>
/// <param name="Name">In filters.</param>
/// <param name="IsNumber">Compared as a number; else as a text.</param>
/// <param name="Read">Its value: a text, a number, or null.</param>
internal sealed record SearchField<T>(string Name, bool IsNumber, Func<T, object?> Read);

/// <summary>What can be searched for of one kind of thing; all else is refused by name.</summary>
/// <param name="fields">Its attributes.</param>
/// <param name="maps">Values by key: metrics, params, tags; by the word that stands before the dot.</param>
/// <param name="orders">Attributes that results can be in the order of, and maps.</param>
internal sealed class MlflowSearch<T>(IReadOnlyList<SearchField<T>> fields, IReadOnlyDictionary<string, SearchMap<T>> maps, IReadOnlyList<string> orders)
{
    private static readonly string[] s_attributes = ["attributes", "attribute", "attr", "run"];

    /// <exception cref="MlflowRefusal">A condition is about something unknown, or compares what cannot be compared so.</exception>
    public Func<T, bool> Filter(IReadOnlyList<FilterClause> clauses)
    {
        var conditions = clauses.Select(Condition).ToList();
        return item => conditions.TrueForAll(condition => condition(item));
    }

    /// <summary>Sorts by the requested orders, then by the default one. Items without a value come last.</summary>
    public IEnumerable<T> Sort(IEnumerable<T> items, IReadOnlyList<string> asked, IReadOnlyList<string> usual)
    {
        IOrderedEnumerable<T>? sorted = null;
        foreach (var (key, isFalling) in asked.Concat(usual).Select(MlflowFilter.ParseOrder))
        {
            var read = Find(key, isOrder: true).Read;
            sorted = sorted is null ? items.OrderBy(item => read(item) is null) : sorted.ThenBy(item => read(item) is null);
            sorted = isFalling ? sorted.ThenByDescending(read, s_order) : sorted.ThenBy(read, s_order);
        }
        return sorted ?? items;
    }

    private static readonly Comparer<object?> s_order = Comparer<object?>.Create((a, b) => (a, b) switch
    {
        (double x, double y) => x.CompareTo(y),
        _ => string.CompareOrdinal(a as string, b as string),
    });

    private Func<T, bool> Condition(FilterClause clause)
    {
        var (isNumber, read) = Find(clause.Key, isOrder: false);
        switch (clause.Comparison)
        {
            case Comparison.IsNull:
                return item => read(item) is null;
            case Comparison.IsNotNull:
                return item => read(item) is not null;
        }
        if (clause.Values.Any(value => value.Number is null == isNumber))
        {
            throw MlflowRefusal.Invalid(isNumber ? $"Expected numeric value type for {clause.Key}. Found {Shown(clause.Values[0])}"
                : $"Expected a quoted string value for {clause.Key} (e.g. 'my-value'). Found {Shown(clause.Values[0])}");
        }
        return isNumber ? Number(clause, read) : Text(clause, read);
    }

    private static Func<T, bool> Number(FilterClause clause, Func<T, object?> read)
    {
        var value = clause.Values[0].Number!.Value;
        Func<double, bool> holds = clause.Comparison switch
        {
            Comparison.Equal => number => number == value,
            Comparison.NotEqual => number => number != value,
            Comparison.Less => number => number < value,
            Comparison.LessOrEqual => number => number <= value,
            Comparison.Greater => number => number > value,
            Comparison.GreaterOrEqual => number => number >= value,
            _ => throw Unsupported(clause, "'=', '!=', '<', '<=', '>', '>='"),
        };
        return item => read(item) is double number && holds(number);
    }

    private static Func<T, bool> Text(FilterClause clause, Func<T, object?> read)
    {
        var values = clause.Values.Select(value => value.Text!).ToList();
        Func<string, bool> holds = clause.Comparison switch
        {
            Comparison.Equal or Comparison.In => values.Contains,
            Comparison.NotEqual or Comparison.NotIn => text => !values.Contains(text),
            Comparison.Like => Pattern(values[0], RegexOptions.None).IsMatch,
            Comparison.ILike => Pattern(values[0], RegexOptions.IgnoreCase).IsMatch,
            _ => throw Unsupported(clause, "'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'"),
        };
        return item => read(item) is string text && holds(text);
    }

    // % is any text and _ any letter; the engine without backtracking, since the pattern comes from outside.
    private static Regex Pattern(string like, RegexOptions options)
    {
        var pattern = new StringBuilder(@"\A");
        foreach (var letter in like)
            pattern.Append(letter switch { '%' => "[\\s\\S]*", '_' => "[\\s\\S]", _ => Regex.Escape($"{letter}") });
        return new Regex(pattern.Append(@"\z").ToString(), options | RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
    }

    private (bool IsNumber, Func<T, object?> Read) Find(FilterKey key, bool isOrder)
    {
        if (key.Entity is null || s_attributes.Contains(key.Entity))
        {
            if (fields.FirstOrDefault(field => field.Name == key.Key) is { } found && (!isOrder || orders.Contains(found.Name)))
                return (found.IsNumber, found.Read);
            var known = isOrder ? orders : fields.Select(field => field.Name);
            throw MlflowRefusal.Invalid($"Invalid {(isOrder ? "order_by" : "attribute")} key '{key}' specified. Valid keys are {string.Join(", ", known.Select(name => $"'{name}'"))}");
        }
        if (!maps.TryGetValue(key.Entity, out var map))
            throw MlflowRefusal.Invalid($"Invalid entity type '{key.Entity}'. Valid entity types are {string.Join(", ", maps.Keys.Append("attributes").Select(name => $"'{name}'"))}");
        return (map.IsNumber, item => map.Read(item, key.Key));
    }

    private static MlflowRefusal Unsupported(FilterClause clause, string known) =>
        MlflowRefusal.Invalid($"Invalid comparator '{Words(clause.Comparison)}' for {clause.Key}: it must be one of {known}");

    private static string Words(Comparison comparison) => comparison switch
    {
        Comparison.Less => "<",
        Comparison.LessOrEqual => "<=",
        Comparison.Greater => ">",
        Comparison.GreaterOrEqual => ">=",
        Comparison.NotIn => "NOT IN",
        _ => $"{comparison}".ToUpperInvariant(),
    };

    private static string Shown(FilterValue value) => value.Text is { } text ? $"'{text}'" : value.Number!.Value.ToString(CultureInfo.InvariantCulture);
}

/// <param name="IsNumber">Metrics are numbers, all else is text.</param>
/// <param name="Read">The value of a key: a double, a text, or null.</param>
internal sealed record SearchMap<T>(bool IsNumber, Func<T, string, object?> Read);

/// <summary>Pages by tokens of an offset, as MLflow's own.</summary>
internal static class MlflowPaging
{
    /// <param name="most">As asked; null for the usual number.</param>
    /// <param name="usual">Of a page.</param>
    /// <param name="limit">The largest page.</param>
    /// <exception cref="MlflowRefusal">Out of range.</exception>
    public static int SizeOf(int? most, int usual, int limit) => most is not { } given ? usual
        : given < 1 ? throw MlflowRefusal.Invalid($"Invalid value {given} for parameter 'max_results' supplied: it must be at least 1")
        : given > limit ? throw MlflowRefusal.Invalid($"Invalid value {given} for parameter 'max_results' supplied: it must be at most {limit}")
        : given;

    /// <exception cref="MlflowRefusal">Not one of our tokens.</exception>
    public static int OffsetOf(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return 0;
        try
        {
            return JsonNode.Parse(Convert.FromBase64String(token))?["offset"] is JsonValue value && value.TryGetValue<int>(out var offset) && offset >= 0
                ? offset : throw MlflowRefusal.Invalid("Invalid page token, parsed contents are not an offset");
        }
        catch (Exception error) when (error is FormatException or JsonException or InvalidOperationException)
        {
            throw MlflowRefusal.Invalid("Invalid page token, could not base64-decode");
        }
    }

    /// <summary>A page, and the token of the next; null after the last.</summary>
    public static (List<T> Items, string? Next) Page<T>(IEnumerable<T> items, int size, int offset)
    {
        var page = items.Skip(offset).Take(size + 1).ToList();
        if (page.Count <= size)
            return (page, null);
        page.RemoveAt(size);
        return (page, Convert.ToBase64String(Encoding.UTF8.GetBytes($$"""{"offset": {{offset + size}}}""")));
    }
}
