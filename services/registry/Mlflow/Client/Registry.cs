namespace Qbb.Registry.Mlflow.Client;

internal sealed record RegisteredModelName(string Name);

internal sealed record RegisteredModelCreation(string Name, string? Description = null, IReadOnlyList<KeyValue>? Tags = null);

internal sealed record RegisteredModelUpdate(string Name, string Description);

internal sealed record RegisteredModelRenaming(string Name, string NewName);

internal sealed record RegisteredModelTag(string Name, string Key, string Value);

internal sealed record RegisteredModelAnswer(RegisteredModel RegisteredModel);

internal sealed record RegisteredModel(
    string Name, long? CreationTimestamp = null, long? LastUpdatedTimestamp = null, string? Description = null,
    IReadOnlyList<MlflowVersion>? LatestVersions = null, IReadOnlyList<KeyValue>? Tags = null, IReadOnlyList<ModelAlias>? Aliases = null);

internal sealed record ModelAlias(string Alias, string Version);

internal sealed record AliasSetting(string Name, string Alias, string Version);

internal sealed record AliasName(string Name, string Alias);

/// <param name="MaxResults">1 or more: 0 is refused.</param>
/// <param name="Filter">name LIKE 'llama%', tags.team = 'red'.</param>
/// <param name="OrderBy">name ASC.</param>
/// <param name="PageToken">Of the page before.</param>
internal sealed record RegistrySearch(int MaxResults, string? Filter = null, string[]? OrderBy = null, string? PageToken = null);

internal sealed record RegisteredModelPage(IReadOnlyList<RegisteredModel>? RegisteredModels = null, string? NextPageToken = null);

internal sealed record ModelVersionName(string Name, string Version);

internal sealed record ModelVersionCreation(
    string Name, string Source, string? RunId = null, string? Description = null, IReadOnlyList<KeyValue>? Tags = null, string? RunLink = null,
    string? ModelId = null);

internal sealed record ModelVersionUpdate(string Name, string Version, string Description);

internal sealed record ModelVersionTag(string Name, string Version, string Key, string Value);

internal sealed record ModelVersionTagKey(string Name, string Version, string Key);

internal sealed record ModelVersionAnswer(MlflowVersion ModelVersion);

/// <summary>A version of a registered model. Searches leave its aliases out.</summary>
internal sealed record MlflowVersion(
    string Name, string Version, long? CreationTimestamp = null, long? LastUpdatedTimestamp = null, string? CurrentStage = null,
    string? Description = null, string? Source = null, string? RunId = null, string? Status = null, string? RunLink = null,
    IReadOnlyList<KeyValue>? Tags = null, IReadOnlyList<string>? Aliases = null)
{
    /// <summary>Others are being registered, or failed to be.</summary>
    public const string Ready = "READY";

    public string? TagOf(string key) => Tags?.FirstOrDefault(tag => tag.Key == key)?.Value;
}

internal sealed record ModelVersionPage(IReadOnlyList<MlflowVersion>? ModelVersions = null, string? NextPageToken = null);

internal sealed record DownloadUri(string ArtifactUri);

internal sealed record MultipartCreation(string Path, int NumParts);

internal sealed record MultipartUpload(string UploadId, IReadOnlyList<PartCredential> Credentials);

/// <param name="Url">Where the part is put, with these headers and no others.</param>
internal sealed record PartCredential(string Url, int PartNumber, IReadOnlyDictionary<string, string>? Headers = null);

internal sealed record UploadedPart(int PartNumber, string Etag, string? Url = null);

internal sealed record MultipartCompletion(string Path, string UploadId, IReadOnlyList<UploadedPart> Parts);

internal sealed record MultipartAbortion(string Path, string UploadId);
