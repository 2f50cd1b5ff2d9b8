using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Qbb.Api;

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
/// <param name="Ahead">Units of other pipelines that its worker may do first; null of one that does not wait for its first unit of a stage.</param>
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
public sealed record StageWork(Guid Pipeline, string Stage, string Queue, int Units);

/// <summary>A quantization that is requested.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version's number; null for the newest upload.</param>
/// <param name="Recipe">The recipe.</param>
/// <param name="Name">What people call the recipe.</param>
public sealed record PipelineRequest(string? Model = null, int? Version = null, JsonNode? Recipe = null, string? Name = null);

public sealed record PipelineCreated(Guid Id);

/// <summary>A recipe and what people call it.</summary>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record NamedRecipe(string Name, JsonNode Recipe);

/// <summary>What a policy is to say.</summary>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record PolicyChange(
    string? Models = null, IReadOnlyList<NamedRecipe>? Recipes = null, Gate? Gate = null, MlflowSource? Mlflow = null);

/// <summary>Versions of an MLflow server that a policy takes and quantizes, each once.</summary>
/// <param name="Name">The registered model there; here the model has the same name.</param>
/// <param name="Tag">A tag that the versions have: key, or key:value.</param>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
public sealed record MlflowSource(string Name, string Tag);

/// <summary>Which recipes run on uploads of which models.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Models">Names of models; * stands for any characters, ? for one.</param>
/// <param name="Recipes">What runs on every upload.</param>
/// <param name="Gate">What decides on the champion of those models.</param>
/// <param name="Mlflow">What it takes from an MLflow server.</param>
public sealed record PolicyView(string Name, string Models, IReadOnlyList<NamedRecipe> Recipes, Gate? Gate, MlflowSource? Mlflow = null);
