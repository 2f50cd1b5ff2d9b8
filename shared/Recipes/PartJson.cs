using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Qbb.Recipes;

/// <summary>Parts of a recipe whose members are those of a record: camelCase, names in kebab-case, nothing unknown.</summary>
internal static class PartJson
{
    private static readonly JsonSerializerOptions s_options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false) },
        RespectNullableAnnotations = true,
    };

    /// <summary>Reads what can be read; the rest is told.</summary>
    /// <param name="part">The part.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <param name="problems">Gets a line for everything that is wrong.</param>
    public static T Read<T>(JsonObject part, string name, List<string> problems)
        where T : new()
    {
        var known = new JsonObject();
        var members = Members<T>();
        foreach (var (member, value) in part)
        {
            if (!members.Contains(member))
                problems.Add($"unknown member {name}.{member}");
            else if (ProblemOf<T>(member, value) is { } problem)
                problems.Add($"{name}.{member} is {value?.ToJsonString() ?? "null"}, which cannot be: {problem}");
            else
                known[member] = value?.DeepClone();
        }
        return known.Deserialize<T>(s_options)!;
    }

    /// <summary>All members of a part that are not null.</summary>
    public static JsonObject Write<T>(T part)
    {
        var all = (JsonObject)JsonSerializer.SerializeToNode(part, s_options)!;
        foreach (var (member, _) in all.Where(member => member.Value is null).ToList())
            all.Remove(member);
        return all;
    }

    /// <summary>Reads a part that has to be right.</summary>
    /// <exception cref="InvalidInputException">It is not; the message lists everything that is wrong.</exception>
    public static T Require<T>(JsonObject part, string name, Func<T, IEnumerable<string>> problemsOf)
        where T : new()
    {
        var problems = new List<string>();
        var read = Read<T>(part, name, problems);
        problems.AddRange(problemsOf(read));
        return problems.Count == 0 ? read : throw new InvalidInputException($"the recipe's {name} cannot be used: {string.Join("; ", problems)}");
    }

    /// <exception cref="InvalidInputException">The text is no JSON object.</exception>
    public static JsonObject Parse(string json, string name)
    {
        try
        {
            return JsonNode.Parse(json) as JsonObject ?? throw new InvalidInputException($"the recipe's {name} is not a JSON object");
        }
        catch (JsonException error)
        {
            throw new InvalidInputException($"the recipe's {name} is not a JSON object: {error.Message}", error);
        }
    }

    private static HashSet<string> Members<T>() => [.. typeof(T).GetProperties()
        .Where(property => property.CanWrite && property.GetCustomAttribute<JsonIgnoreAttribute>() is null)
        .Select(property => JsonNamingPolicy.CamelCase.ConvertName(property.Name))];

    private static string? ProblemOf<T>(string member, JsonNode? value)
    {
        try
        {
            new JsonObject { [member] = value?.DeepClone() }.Deserialize<T>(s_options);
            return null;
        }
        catch (JsonException error)
        {
            return error.InnerException?.Message ?? error.Message;
        }
    }
}
