using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Contracts;

/// <summary>
/// The whole set of choices of one quantization, in parts. A part is what a stage's commands name by its digest, and only the service
/// that does the stage knows what is in it.
/// </summary>
/// <param name="Decomposition">How layers become sums of binary matrices; a recipe.json without its distillation.</param>
/// <param name="Sampling">What is sampled from the teacher; null where neither calibration nor distillation wants data.</param>
/// <param name="Filter">What of it is kept to distil on; null without distillation.</param>
/// <param name="Distillation">How the scales are trained; null where they are not.</param>
/// <param name="Evaluation">What the result is scored on: "text", a digest, or "sampling", to score it on sequences of the teacher's.</param>
public sealed record PipelineRecipe(
    JsonObject Decomposition, JsonObject? Sampling, JsonObject? Filter, JsonObject? Distillation, JsonObject Evaluation)
{
    private const string TypeMember = "type", PresetMember = "preset";

    // What a preset chooses.
    private static readonly string[] s_planned = ["sampling", "filter", "distillation", TypeMember];
    private static readonly string[] s_parts = ["decomposition", "sampling", "filter", "distillation", "evaluation"];

    /// <summary>The type that data are sampled, scored and run through the model in, as the recipe names it; null for the distillation's.</summary>
    public Precision? Type { get; init; }

    /// <summary>
    /// What chooses data and training when a pipeline starts, by its model and the workers' machine; null where the recipe chooses. No pipeline
    /// runs by a recipe that has one.
    /// </summary>
    public string? Preset { get; init; }

    /// <summary>The type where the recipe names one, in either place.</summary>
    public Precision? NamedType => Type ?? (Distillation is { } part && TypeIn(part, out var type) ? type : null);

    /// <summary>Whether the decomposition looks at what layers see in calibration.</summary>
    public bool IsCalibrated => Text(Decomposition, "importance") is not (null or "none");

    /// <summary>The text that the result is scored on; null for sequences of the teacher's.</summary>
    public Digest? EvaluationText => Text(Evaluation, "text") is { } digest ? Digest.Parse(digest) : null;

    /// <summary>The identity of the whole: of its canonical JSON.</summary>
    public Digest Digest => Digest.Of(ToJson());

    /// <summary>The digest by which commands name a part: of its canonical JSON, which is to be in the artifact store.</summary>
    public static Digest DigestOf(JsonObject part) => Digest.Of(CanonicalJson.Write(part));

    /// <summary>Canonical JSON of all parts there are.</summary>
    public string ToJson()
    {
        var all = new JsonObject();
        foreach (var (name, part) in Parts())
            all[name] = part.DeepClone();
        if (Preset is not null)
            all[PresetMember] = Preset;
        if (Type is { } type)
            all[TypeMember] = PrecisionNames.Of(type);
        return CanonicalJson.Write(all);
    }

    /// <summary>The same with a type for everything whose type it does not name; where that is f32 it goes without saying.</summary>
    public PipelineRecipe WithType(Precision usual)
    {
        // The preset chooses it.
        if (Preset is not null)
            return this;
        var type = NamedType ?? usual;
        if (type == Precision.F32 || Distillation?.ContainsKey(TypeMember) == true)
            return this with { Type = type == Precision.F32 ? Type : type };
        var distillation = (JsonObject?)Distillation?.DeepClone();
        if (distillation is not null)
            distillation[TypeMember] = PrecisionNames.Of(type);
        return this with { Type = type, Distillation = distillation };
    }

    /// <summary>The parts there are, by name.</summary>
    public IEnumerable<(string Name, JsonObject Part)> Parts()
    {
        JsonObject?[] parts = [Decomposition, Sampling, Filter, Distillation, Evaluation];
        return s_parts.Zip(parts).Where(part => part.Second is not null).Select(part => (part.First, part.Second!));
    }

    /// <summary>Reads a recipe and fills in the parts that follow from the others.</summary>
    /// <exception cref="FormatException">It is no recipe; the message lists everything that is wrong with the parts. What is in them is
    /// looked at by the services that know it.</exception>
    public static PipelineRecipe Parse(string json)
    {
        JsonObject all;
        try
        {
            all = JsonNode.Parse(json) as JsonObject ?? throw new FormatException("the recipe is not a JSON object");
            var problems = Problems(all).ToList();
            if (problems.Count > 0)
                throw new FormatException("the recipe cannot be used: " + string.Join("; ", problems));
        }
        catch (Exception error) when (error is JsonException or ArgumentException or InvalidOperationException)
        {
            throw new FormatException($"the recipe is not a JSON object: {error.Message}", error);
        }
        if (Text(all, PresetMember) is { } preset)
            return new PipelineRecipe(Part("decomposition") ?? [], null, null, null, Part("evaluation") ?? []) { Preset = preset };
        var recipe = new PipelineRecipe((JsonObject)all["decomposition"]!, Part("sampling"), Part("filter"), Part("distillation"), Part("evaluation") ?? []) { Type = TypeIn(all, out var type) ? type : null };
        var wantsData = recipe.IsCalibrated || recipe.Distillation is not null;
        return recipe with
        {
            Sampling = wantsData ? recipe.Sampling ?? [] : null,
            Filter = recipe.Distillation is null ? null : recipe.Filter ?? [],
        };

        JsonObject? Part(string name) => all[name] as JsonObject;
    }

    /// <summary>What is wrong with the parts there are and how they go together; what is in them is not looked at.</summary>
    public static IEnumerable<string> Problems(JsonObject all)
    {
        foreach (var (name, value) in all)
        {
            if (name == TypeMember)
            {
                if (!TypeIn(all, out _))
                    yield return $"type must be one of {string.Join(", ", PrecisionNames.All.Keys)}";
            }
            else if (name == PresetMember)
            {
                if (Text(all, PresetMember) is null)
                    yield return "preset must be the name of a preset";
            }
            else if (!s_parts.Contains(name))
                yield return $"unknown member {name} (known are {PresetMember}, {string.Join(", ", s_parts)}, {TypeMember})";
            else if (value is not JsonObject)
                yield return $"{name} must be an object";
        }
        var isPlanned = all.ContainsKey(PresetMember);
        foreach (var name in isPlanned ? s_planned.Where(all.ContainsKey) : [])
            yield return $"preset chooses {name}: leave one of them out";
        if (all["decomposition"] is not JsonObject decomposition)
        {
            if (!isPlanned)
                yield return "a decomposition or a preset is missing";
            decomposition = [];
        }
        var distils = all["distillation"] is JsonObject;
        if (decomposition.ContainsKey("distillation"))
            yield return "distillation belongs beside decomposition, not in it";
        if (all["filter"] is JsonObject && !distils && !isPlanned)
            yield return "filter is given but nothing is distilled";
        if (all["sampling"] is JsonObject && !distils && !isPlanned && all.ContainsKey("decomposition") && Text(decomposition, "importance") is (null or "none"))
            yield return "sampling is given but neither calibration (decomposition.importance) nor distillation needs data";
        if (all["evaluation"] is JsonObject evaluation && evaluation.ContainsKey("text"))
        {
            if (!Digest.TryParse(Text(evaluation, "text"), out _))
                yield return "evaluation.text is not a digest of an artifact";
            if (evaluation.ContainsKey("sampling"))
                yield return "evaluation has both text and sampling";
        }
    }

    private static bool TypeIn(JsonObject part, out Precision type)
    {
        type = default;
        return Text(part, TypeMember) is { } name && PrecisionNames.All.TryGetValue(name, out type);
    }

    private static string? Text(JsonObject part, string name) => part[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
