using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Contracts;

/// <summary>
/// Commands as a provenance statement keeps them: what the unit's result depends on, and not who requested it. A command that is read back has the
/// <see cref="IUnitCommand.Unit"/> that it was written with.
/// </summary>
public static class UnitCommands
{
    private const string TypeMember = "command";
    private static readonly string[] s_askers = ["pipelineId", "unit", "epoch"];

    private static readonly Dictionary<string, Type> s_types = new[]
    {
        typeof(SampleSequences), typeof(AssembleData), typeof(DecomposeLayers), typeof(AssembleModel), typeof(ScoreSequences), typeof(FilterSequences),
        typeof(DistillRound), typeof(EvaluateWindows),
    }.ToDictionary(type => type.Name);

    public static JsonObject Write(IUnitCommand command)
    {
        var json = JsonSerializer.SerializeToNode(command, command.GetType(), JsonSerializerOptions.Web)!.AsObject();
        foreach (var member in s_askers)
            json.Remove(member);
        json.Insert(0, TypeMember, command.GetType().Name);
        return json;
    }

    /// <exception cref="FormatException">It is not a command of this version.</exception>
    public static IUnitCommand Read(JsonObject json)
    {
        try
        {
            return s_types.TryGetValue($"{json[TypeMember]}", out var type) ? (IUnitCommand)json.Deserialize(type, JsonSerializerOptions.Web)!
                : throw new FormatException($"unknown command {json[TypeMember]}");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new FormatException($"the command {json[TypeMember]} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Every digest that a command names: models, data, parts of the recipe and results of other units.</summary>
    public static IEnumerable<Digest> InputsOf(IUnitCommand command) => DigestsIn(Write(command)).Distinct();

    private static IEnumerable<Digest> DigestsIn(JsonNode? node) => node switch
    {
        JsonObject members => members.SelectMany(member => DigestsIn(member.Value)),
        JsonArray items => items.SelectMany(DigestsIn),
        JsonValue value when value.TryGetValue<string>(out var text) && Digest.TryParse(text, out var digest) => [digest],
        _ => [],
    };
}
