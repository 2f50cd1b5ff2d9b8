using Qbb.Registry.Models;

namespace Qbb.Registry.Pipelines;

/// <summary>A pipeline.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Version">The version that is quantized.</param>
/// <param name="Recipe">Digest of the recipe.</param>
/// <param name="RecipeName">What people call it.</param>
/// <param name="State">queued, running, succeeded, failed or cancelled.</param>
/// <param name="Follows">The pipeline of the same model and recipe whose result it takes.</param>
/// <param name="Stage">The stage at hand.</param>
/// <param name="Stages">All stages in their order.</param>
/// <param name="Done">Units of the work at hand that are done.</param>
/// <param name="Total">All of them; 0 while that is not known.</param>
/// <param name="Progress">Share of the whole that is done, 0 to 1, by kinds of work.</param>
/// <param name="EtaSeconds">How long it may still take; null while nothing is known of one of the stages.</param>
/// <param name="Error">Why it failed, or what is being tried again.</param>
/// <param name="CreatedAt">When it was asked for.</param>
/// <param name="StartedAt">When its first command was sent.</param>
/// <param name="EndedAt">When it ended.</param>
/// <param name="Result">The version that was made.</param>
/// <param name="Metrics">Its figures.</param>
public sealed record PipelineView(
    Guid Id, string Model, int Version, string Recipe, string? RecipeName, string State, Guid? Follows, string Stage,
    IReadOnlyList<StageView> Stages, int Done, int Total, double Progress, double? EtaSeconds, string? Error, DateTimeOffset CreatedAt,
    DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, VersionName? Result, IReadOnlyDictionary<string, double>? Metrics);
