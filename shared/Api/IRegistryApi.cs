using Qbb.Contracts;
using Refit;

namespace Qbb.Api;

/// <summary>
/// The registry's REST interface. A reference is a version's number, an alias, or the first digits of its manifest's digest. Errors are
/// <see cref="RegistryRefusedException"/>, <see cref="RegistryAwayException"/> and <see cref="RegistryLostException"/>. Disposing closes the connections.
/// </summary>
public interface IRegistryApi : IDisposable
{
    HttpClient Client { get; }

    [Head("/api/blobs/{digest}")]
    Task FindBlobAsync(Digest digest, CancellationToken cancellation = default);

    /// <summary>A blob, as it arrives.</summary>
    [Get("/api/blobs/{digest}")]
    Task<Stream> GetBlobAsync(Digest digest, CancellationToken cancellation = default);

    /// <summary>Keeps bytes that are in the store for an upload.</summary>
    [Post("/api/blobs/{digest}/keep")]
    Task KeepBlobAsync(Digest digest, CancellationToken cancellation = default);

    /// <param name="digest">Of the content.</param>
    /// <param name="content">Streamed; memory does not depend on its size. A retry reads it again from its beginning.</param>
    /// <param name="cancellation">Stops in the middle.</param>
    [Put("/api/blobs/{digest}")]
    Task PutBlobAsync(Digest digest, [Body] HttpContent content, CancellationToken cancellation = default);

    [Get("/api/models")]
    Task<Page<ModelView>> ListModelsAsync(string? q = null, string? after = null, int? limit = null, CancellationToken cancellation = default);
    [Get("/api/models/{name}")]
    Task<ModelView> GetModelAsync(string name, CancellationToken cancellation = default);
    [Patch("/api/models/{name}")]
    Task<ModelView> ChangeModelAsync(string name, [Body] ModelChange change, CancellationToken cancellation = default);
    [Delete("/api/models/{name}")]
    Task DeleteModelAsync(string name, CancellationToken cancellation = default);
    [Post("/api/models/{name}/restore")]
    Task<ModelView> RestoreModelAsync(string name, CancellationToken cancellation = default);

    [Get("/api/models/{name}/gate")]
    Task<GateView> GetGateAsync(string name, CancellationToken cancellation = default);
    [Put("/api/models/{name}/gate")]
    Task<GateView> SetGateAsync(string name, [Body] Gate gate, CancellationToken cancellation = default);
    [Delete("/api/models/{name}/gate")]
    Task<GateView> RemoveGateAsync(string name, CancellationToken cancellation = default);

    [Get("/api/models/{name}/aliases")]
    Task<Dictionary<string, int>> ListAliasesAsync(string name, CancellationToken cancellation = default);
    [Get("/api/models/{name}/aliases/{alias}")]
    Task<AliasView> GetAliasAsync(string name, string alias, CancellationToken cancellation = default);
    [Put("/api/models/{name}/aliases/{alias}")]
    Task<AliasView> SetAliasAsync(string name, string alias, [Body] AliasChange change, CancellationToken cancellation = default);
    [Delete("/api/models/{name}/aliases/{alias}")]
    Task RemoveAliasAsync(string name, string alias, CancellationToken cancellation = default);

    /// <param name="name">The model.</param>
    /// <param name="request">Its files, which are in the store.</param>
    /// <param name="key">The same key again gets the first answer and does nothing.</param>
    /// <param name="cancellation">Stops.</param>
    [Post("/api/models/{name}/versions")]
    Task<UploadedVersion> CreateVersionAsync(
        string name, [Body] VersionRequest request, [Header("Idempotency-Key")] string? key = null, CancellationToken cancellation = default);
    [Get("/api/models/{name}/versions")]
    Task<Page<VersionView>> ListVersionsAsync(string name, int? after = null, int? limit = null, CancellationToken cancellation = default);
    [Get("/api/models/{name}/versions/{reference}")]
    Task<VersionView> GetVersionAsync(string name, string reference, CancellationToken cancellation = default);
    [Delete("/api/models/{name}/versions/{reference}")]
    Task DeleteVersionAsync(string name, string reference, CancellationToken cancellation = default);
    [Post("/api/models/{name}/versions/{reference}/restore")]
    Task<VersionView> RestoreVersionAsync(string name, string reference, CancellationToken cancellation = default);
    [Get("/api/models/{name}/versions/{reference}/manifest")]
    Task<Stream> GetManifestAsync(string name, string reference, CancellationToken cancellation = default);

    /// <summary>The model card in Markdown, from all that the registry knows.</summary>
    [Get("/api/models/{name}/versions/{reference}/card")]
    Task<string> GetCardAsync(string name, string reference, CancellationToken cancellation = default);

    [Get("/api/models/{name}/versions/{reference}/provenance")]
    Task<ProvenanceStatement> GetProvenanceAsync(string name, string reference, CancellationToken cancellation = default);

    /// <summary>A file, as it arrives.</summary>
    /// <param name="name">The model.</param>
    /// <param name="reference">The version.</param>
    /// <param name="file">The file's name.</param>
    /// <param name="range">A part of it, such as bytes=100-.</param>
    /// <param name="cancellation">Stops.</param>
    [Get("/api/models/{name}/versions/{reference}/files/{**file}")]
    Task<Stream> GetFileAsync(string name, string reference, string file, [Header("Range")] string? range = null, CancellationToken cancellation = default);
    [Get("/api/models/{name}/versions/{reference}/lineage")]
    Task<LineageAnswer> GetLineageAsync(string name, string reference, CancellationToken cancellation = default);

    [Get("/api/models/{name}/versions/{reference}/tags")]
    Task<Dictionary<string, string>> ListTagsAsync(string name, string reference, CancellationToken cancellation = default);
    [Put("/api/models/{name}/versions/{reference}/tags/{key}")]
    Task SetTagAsync(string name, string reference, string key, [Body] TagValue value, CancellationToken cancellation = default);
    [Delete("/api/models/{name}/versions/{reference}/tags/{key}")]
    Task RemoveTagAsync(string name, string reference, string key, CancellationToken cancellation = default);

    [Get("/api/models/{name}/versions/{reference}/metrics")]
    Task<Dictionary<string, double>> ListMetricsAsync(string name, string reference, CancellationToken cancellation = default);
    [Put("/api/models/{name}/versions/{reference}/metrics")]
    Task SetMetricsAsync(string name, string reference, [Body] Dictionary<string, double> metrics, CancellationToken cancellation = default);

    [Get("/api/search")]
    Task<Page<VersionView>> SearchAsync([Query] SearchQuery query, CancellationToken cancellation = default);

    [Get("/api/policies")]
    Task<Page<PolicyView>> ListPoliciesAsync(CancellationToken cancellation = default);
    [Get("/api/policies/{name}")]
    Task<PolicyView> GetPolicyAsync(string name, CancellationToken cancellation = default);
    [Put("/api/policies/{name}")]
    Task<PolicyView> SetPolicyAsync(string name, [Body] PolicyChange change, CancellationToken cancellation = default);
    [Delete("/api/policies/{name}")]
    Task RemovePolicyAsync(string name, CancellationToken cancellation = default);

    [Post("/api/pipelines")]
    Task<PipelineCreated> StartPipelineAsync(
        [Body] PipelineRequest request, [Header("Idempotency-Key")] string? key = null, CancellationToken cancellation = default);
    [Get("/api/pipelines")]
    Task<Page<PipelineView>> ListPipelinesAsync(
        string? model = null, PipelineState? state = null, Guid? after = null, int? limit = null, CancellationToken cancellation = default);
    /// <summary>What every running pipeline has outstanding.</summary>
    [Get("/api/pipelines/work")]
    Task<IReadOnlyList<StageWork>> ListWorkAsync(CancellationToken cancellation = default);
    [Get("/api/pipelines/{id}")]
    Task<PipelineView> GetPipelineAsync(Guid id, CancellationToken cancellation = default);

    /// <summary>The pipeline whenever it changes, until it has ended.</summary>
    [Get("/api/pipelines/{id}/events")]
    IAsyncEnumerable<PipelineView> WatchPipelineAsync(Guid id, CancellationToken cancellation = default);
    [Post("/api/pipelines/{id}/cancel")]
    Task<PipelineView> CancelPipelineAsync(Guid id, CancellationToken cancellation = default);

    /// <summary>Removes a pipeline that has ended; its version stays.</summary>
    [Delete("/api/pipelines/{id}")]
    Task RemovePipelineAsync(Guid id, CancellationToken cancellation = default);
    [Post("/api/pipelines/{id}/retry")]
    Task<PipelineView> RetryPipelineAsync(Guid id, CancellationToken cancellation = default);

    [Get("/api/collect")]
    Task<CollectionView> GetCollectionAsync(CancellationToken cancellation = default);

    /// <summary>The registry itself fetches the files.</summary>
    [Post("/api/mlflow/imports")]
    Task<UploadedVersion> ImportAsync([Body] MlflowImportRequest request, CancellationToken cancellation = default);

    [Get("/api/webhooks")]
    Task<Page<WebhookView>> ListWebhooksAsync(CancellationToken cancellation = default);
    [Put("/api/webhooks/{name}")]
    Task<WebhookView> SetWebhookAsync(string name, [Body] WebhookChange change, CancellationToken cancellation = default);
    [Delete("/api/webhooks/{name}")]
    Task RemoveWebhookAsync(string name, CancellationToken cancellation = default);
    [Post("/api/webhooks/{name}/rotate")]
    Task<WebhookView> RotateWebhookAsync(string name, CancellationToken cancellation = default);
    [Post("/api/webhooks/{name}/ping")]
    Task PingWebhookAsync(string name, CancellationToken cancellation = default);
    [Get("/api/webhooks/{name}/deliveries")]
    Task<Page<WebhookDeliveryView>> ListDeliveriesAsync(string name, long? after = null, int? limit = null, CancellationToken cancellation = default);
    [Post("/api/webhooks/{name}/deliveries/{delivery}/redeliver")]
    Task RedeliverAsync(string name, long delivery, CancellationToken cancellation = default);

    [Post("/api/collect")]
    Task<CollectionReport> CollectAsync(
        bool? dryRun = null, double? deletedDays = null, double? resultDays = null, double? graceMinutes = null, double? retryDays = null,
        CancellationToken cancellation = default);
}
