using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Qbb.Api;

/// <summary>How far a pipeline is. One that is queued has not started, or waits for the result of an identical one.</summary>
public enum PipelineState
{
    /// <summary>Not started, or waiting for the result of another pipeline of the same model and recipe.</summary>
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// <summary>What people see of the kinds of work.</summary>
public enum Stage
{
    Decompose,
    Sample,
    Filter,
    Distil,
    Evaluate,
    Publish,
}

/// <summary>How far a stage is.</summary>
public enum StageState
{
    Waiting,
    Running,
    Done,
    Failed,
    Cancelled,
}

public static class PipelineStates
{
    /// <summary>Whether a pipeline has ended, well or badly.</summary>
    public static bool HasEnded(this PipelineState state) => state is PipelineState.Succeeded or PipelineState.Failed or PipelineState.Cancelled;
}

/// <summary>How far a stage is.</summary>
/// <param name="Name">The stage.</param>
/// <param name="State">Its state.</param>
/// <param name="Done">Units that are done; of a distillation its steps.</param>
/// <param name="Total">Units that are known so far; 0 if none is.</param>
/// <example>{"name":"decompose","state":"done","done":14,"total":14}</example>
public sealed record StageView(Stage Name, StageState State, int Done, int Total);

/// <summary>A pipeline.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version that is quantized.</param>
/// <param name="Recipe">Digest of the recipe.</param>
/// <param name="RecipeName">What people call it.</param>
/// <param name="State">Its state.</param>
/// <param name="Follows">The pipeline of the same model and recipe whose result it takes.</param>
/// <param name="Stage">The current stage.</param>
/// <param name="Stages">All stages in their order.</param>
/// <param name="Done">Units of the current kind of work that are done.</param>
/// <param name="Total">All of them; 0 while that is not known.</param>
/// <param name="Progress">Share of the whole that is done, 0 to 1, by the time that its stages are expected to take.</param>
/// <param name="EtaSeconds">How long it may still take; null until something was measured.</param>
/// <param name="Error">Why it failed, or what is being tried again.</param>
/// <param name="CreatedAt">When it was requested.</param>
/// <param name="StartedAt">When its first command was sent.</param>
/// <param name="EndedAt">When it ended.</param>
/// <param name="Result">The version that it created.</param>
/// <param name="Metrics">The metrics of that version.</param>
/// <param name="Note">What to know of the result, such as that its distillation was of no use.</param>
/// <param name="Ahead">Units of other pipelines that come before its own; null of one that does not wait for its first unit of a stage.</param>
/// <example>
/// {"id":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","model":"tiny","version":1,
/// "recipe":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4ac7b3b0f3e6b1e7c1d7a1","recipeName":"three-bases","state":"running","follows":null,
/// "stage":"distil","stages":[{"name":"decompose","state":"done","done":14,"total":14},{"name":"distil","state":"running","done":40,
/// "total":60},{"name":"evaluate","state":"waiting","done":0,"total":0},{"name":"publish","state":"waiting","done":0,"total":1}],"done":40,
/// "total":60,"progress":0.72,"etaSeconds":95.5,"error":null,"createdAt":"2026-11-29T12:00:00+00:00","startedAt":"2026-11-29T12:00:01+00:00",
/// "endedAt":null,"result":null,"metrics":null,"note":null,"ahead":null}
/// </example>
public sealed record PipelineView(
    Guid Id, string Model, int Version, string Recipe, string? RecipeName, PipelineState State, Guid? Follows, Stage Stage,
    IReadOnlyList<StageView> Stages, int Done, int Total, double Progress, double? EtaSeconds, string? Error, DateTimeOffset CreatedAt,
    DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, VersionName? Result, IReadOnlyDictionary<string, double>? Metrics,
    string? Note = null, int? Ahead = null);

/// <summary>What a running pipeline has outstanding.</summary>
/// <param name="Pipeline">Its id.</param>
/// <param name="Stage">Its current kind of work.</param>
/// <param name="Queue">Whose workers do that; empty for what the registry does itself.</param>
/// <param name="Units">Units that are queued, run or wait for their next attempt.</param>
/// <param name="Seconds">What the whole stage is expected to take: by the recipe's plan, or by what such work took before; null where neither is known.</param>
/// <param name="GpuBytes">
/// The least of a GPU's memory that the stage can do with by the recipe's plan, or a later stage of the same queue, whose units the same workers may
/// take; 0 where none of them uses a GPU, null where that is not known.
/// </param>
/// <example>
/// {"pipeline":"01a2190b-4bed-754b-a4a6-5b09073c2fe1","stage":"decompose","queue":"quantizer","units":4,"seconds":184.5,"gpuBytes":2400000000}
/// </example>
public sealed record StageWork(Guid Pipeline, string Stage, string Queue, int Units, double? Seconds = null, long? GpuBytes = null);

/// <summary>A quantization that is requested.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version's number; null for the newest upload.</param>
/// <param name="Recipe">The recipe.</param>
/// <param name="Name">What people call the recipe.</param>
/// <example>{"model":"tiny","version":1,"recipe":{"decomposition":{"bases":3,"group":128}},"name":"three-bases"}</example>
public sealed record PipelineRequest(string? Model = null, int? Version = null, JsonNode? Recipe = null, string? Name = null);

/// <summary>A pipeline that was started, or that waits for an identical one.</summary>
/// <param name="Id">Its id.</param>
/// <example>{"id":"01a2190b-4bed-754b-a4a6-5b09073c2fe1"}</example>
public sealed record PipelineCreated(Guid Id);

/// <summary>A recipe and what people call it.</summary>
/// <param name="Name">What people call it.</param>
/// <param name="Recipe">The recipe, as in its file.</param>
/// <example>{"name":"three-bases","recipe":{"decomposition":{"bases":3,"group":128}}}</example>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record NamedRecipe(string Name, JsonNode Recipe);

/// <summary>What a policy is to say.</summary>
/// <param name="Models">Names of models; * matches any characters, ? one.</param>
/// <param name="Recipes">What runs on every upload.</param>
/// <param name="Gate">What decides on the champion of those models; null for the registry's.</param>
/// <param name="Mlflow">Versions of an MLflow server to take; null for none.</param>
/// <param name="Oci">Where new champions are pushed to, oci://HOST/NAME:TAG with {model} and {version} in name and tag; null for nowhere.</param>
/// <param name="Hub">A model of the Hugging Face hub whose new commits are taken, each once: hf:OWNER/NAME, with @REVISION for another branch than main; null for none.</param>
/// <example>
/// {"models":"llama-*","recipes":[{"name":"three-bases","recipe":{"decomposition":{"bases":3,"group":128}}}],"gate":{"maxPerplexityRatio":1.1,
/// "maxKl":0.2,"maxBitsPerWeight":4},"mlflow":null,"oci":"oci://registry.example.com/models/{model}:{version}","hub":"hf:meta-llama/llama-3.2-1B"}
/// </example>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record PolicyChange(
    string? Models = null, IReadOnlyList<NamedRecipe>? Recipes = null, Gate? Gate = null, MlflowSource? Mlflow = null, string? Oci = null, string? Hub = null);

/// <summary>Versions of an MLflow server that a policy takes and quantizes, each once.</summary>
/// <param name="Name">The registered model there; here the model has the same name.</param>
/// <param name="Tag">A tag that the versions have: key, or key:value.</param>
/// <example>{"name":"llama","tag":"quantize:yes"}</example>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record MlflowSource(string Name, string Tag);

/// <summary>Which recipes run on uploads of which models.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Models">Names of models; * stands for any characters, ? for one.</param>
/// <param name="Recipes">What runs on every upload.</param>
/// <param name="Gate">What decides on the champion of those models.</param>
/// <param name="Mlflow">What it takes from an MLflow server.</param>
/// <param name="Oci">Where new champions are pushed to.</param>
/// <param name="Hub">The model of the hub that it takes.</param>
/// <example>
/// {"name":"small","models":"llama-*","recipes":[{"name":"three-bases","recipe":{"decomposition":{"bases":3,"group":128}}}],
/// "gate":{"maxPerplexityRatio":1.1,"maxKl":0.2,"maxBitsPerWeight":4},"mlflow":null,
/// "oci":"oci://registry.example.com/models/{model}:{version}","hub":"hf:meta-llama/llama-3.2-1B"}
/// </example>
public sealed record PolicyView(string Name, string Models, IReadOnlyList<NamedRecipe> Recipes, Gate? Gate, MlflowSource? Mlflow = null, string? Oci = null, string? Hub = null);
