namespace Qbb.Registry.Mlflow.Client;

/// <summary>Bounds of requests that MLflow documents; servers since 2.8 cut longer values by themselves, older ones refuse them.</summary>
internal static class MlflowLimits
{
    public const int Metrics = 1000;
    public const int Parameters = 100;
    public const int Tags = 100;

    /// <summary>Metrics, parameters and tags of a batch together.</summary>
    public const int Entries = 1000;

    /// <summary>Characters of a key.</summary>
    public const int Key = 250;

    public const int ParameterValue = 6000;
    public const int TagValue = 5000;

    /// <summary>Characters of a dataset's digest.</summary>
    public const int Digest = 36;

    /// <summary>Metrics of a page of history.</summary>
    public const int History = 25_000;

    public static string Cut(string text, int most) => text.Length <= most ? text
        : text[..(char.IsHighSurrogate(text[most - 1]) ? most - 1 : most)];
}

/// <summary>Error codes of MLflow's protocol that decide what is done next.</summary>
internal static class MlflowCodes
{
    public const string DoesNotExist = "RESOURCE_DOES_NOT_EXIST";
    public const string AlreadyExists = "RESOURCE_ALREADY_EXISTS";
    public const string InvalidParameter = "INVALID_PARAMETER_VALUE";
    public const string NotImplemented = "NOT_IMPLEMENTED";
    public const string EndpointNotFound = "ENDPOINT_NOT_FOUND";
    public const string Internal = "INTERNAL_ERROR";
}

/// <summary>A key with its value: a tag or a parameter.</summary>
internal sealed record KeyValue(string Key, string Value);

/// <param name="Step">int64, in JSON a number or a string.</param>
/// <param name="Timestamp">Milliseconds since 1970.</param>
internal sealed record MetricPoint(string Key, double Value, long Timestamp, long Step = 0);

internal sealed record ExperimentKey(string ExperimentId);

internal sealed record ExperimentCreation(string Name, IReadOnlyList<KeyValue>? Tags = null, string? ArtifactLocation = null);

internal sealed record ExperimentRenaming(string ExperimentId, string NewName);

internal sealed record ExperimentTag(string ExperimentId, string Key, string Value);

internal sealed record ExperimentAnswer(Experiment Experiment);

internal sealed record Experiment(
    string ExperimentId, string Name, string? ArtifactLocation = null, string? LifecycleStage = null, long? LastUpdateTime = null,
    long? CreationTime = null, IReadOnlyList<KeyValue>? Tags = null)
{
    public const string Active = "active";
}

/// <param name="MaxResults">1 or more: 0 is refused.</param>
internal sealed record ExperimentSearch(
    int MaxResults, string? Filter = null, IReadOnlyList<string>? OrderBy = null, string? PageToken = null, string? ViewType = null);

internal sealed record ExperimentPage(IReadOnlyList<Experiment>? Experiments = null, string? NextPageToken = null);

internal sealed record RunKey(string RunId);

internal sealed record RunCreation(
    string ExperimentId, string? RunName = null, long? StartTime = null, IReadOnlyList<KeyValue>? Tags = null, string? UserId = null);

internal sealed record RunUpdate(string RunId, RunStatus? Status = null, long? EndTime = null, string? RunName = null);

internal enum RunStatus
{
    Running,
    Scheduled,
    Finished,
    Failed,
    Killed,
}

internal sealed record RunAnswer(Run Run);

internal sealed record RunInfoAnswer(RunInfo RunInfo);

/// <param name="Outputs">Of 3.x.</param>
internal sealed record Run(RunInfo Info, RunData? Data = null, LoggedOutputs? Outputs = null);

internal sealed record RunInfo(
    string RunId, string ExperimentId, string? RunName = null, string? UserId = null, RunStatus? Status = null, long? StartTime = null,
    long? EndTime = null, string? ArtifactUri = null, string? LifecycleStage = null, string? RunUuid = null);

/// <summary>Of every metric the last value; empty lists are left out.</summary>
internal sealed record RunData(
    IReadOnlyList<MetricPoint>? Metrics = null, IReadOnlyList<KeyValue>? Params = null, IReadOnlyList<KeyValue>? Tags = null);

/// <param name="MaxResults">1 or more: 0 is refused.</param>
internal sealed record RunSearch(
    IReadOnlyList<string> ExperimentIds, int MaxResults, string? Filter = null, IReadOnlyList<string>? OrderBy = null, string? PageToken = null,
    string? RunViewType = null);

internal sealed record RunPage(IReadOnlyList<Run>? Runs = null, string? NextPageToken = null);

internal sealed record RunBatch(
    string RunId, IReadOnlyList<MetricPoint>? Metrics = null, IReadOnlyList<KeyValue>? Params = null, IReadOnlyList<KeyValue>? Tags = null);

internal sealed record LoggedMetric(string RunId, string Key, double Value, long Timestamp, long Step = 0);

internal sealed record LoggedText(string RunId, string Key, string Value);

internal sealed record RunTagKey(string RunId, string Key);

internal sealed record RunInputs(string RunId, IReadOnlyList<DatasetInput> Datasets);

internal sealed record DatasetInput(Dataset Dataset, IReadOnlyList<KeyValue>? Tags = null);

/// <param name="Digest">At most <see cref="MlflowLimits.Digest"/> characters.</param>
internal sealed record Dataset(string Name, string Digest, string SourceType, string Source, string? Schema = null, string? Profile = null);

internal sealed record RunOutputs(string RunId, IReadOnlyList<ModelOutput> Models);

internal sealed record ModelOutput(string ModelId, long Step = 0);

internal sealed record LoggedOutputs(IReadOnlyList<ModelOutput>? ModelOutputs = null);

internal sealed record MetricPage(IReadOnlyList<MetricPoint>? Metrics = null, string? NextPageToken = null);

internal sealed record ArtifactPage(string? RootUri = null, IReadOnlyList<ArtifactFile>? Files = null, string? NextPageToken = null);

internal sealed record ArtifactFile(string Path, bool IsDir = false, long? FileSize = null);

internal sealed record LoggedModelCreation(
    string ExperimentId, string? Name = null, string? ModelType = null, string? SourceRunId = null, IReadOnlyList<KeyValue>? Params = null,
    IReadOnlyList<KeyValue>? Tags = null);

internal sealed record LoggedModelAnswer(LoggedModel Model);

internal sealed record LoggedModel(LoggedModelInfo Info, RunData? Data = null);

internal sealed record LoggedModelInfo(
    string ModelId, string ExperimentId, string? Name = null, string? ArtifactUri = null, string? Status = null, string? ModelType = null,
    string? SourceRunId = null, IReadOnlyList<KeyValue>? Tags = null);

/// <param name="Status"><see cref="Ready"/> or LOGGED_MODEL_UPLOAD_FAILED.</param>
internal sealed record LoggedModelStatus(string ModelId, string Status)
{
    public const string Ready = "LOGGED_MODEL_READY";
}

internal sealed record LoggedModelTags(IReadOnlyList<KeyValue> Tags);

internal sealed record LoggedModelSearch(
    IReadOnlyList<string> ExperimentIds, int MaxResults, string? Filter = null, string? PageToken = null);

internal sealed record LoggedModelPage(IReadOnlyList<LoggedModel>? Models = null, string? NextPageToken = null);
