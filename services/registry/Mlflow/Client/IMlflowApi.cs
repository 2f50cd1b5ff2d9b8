using Refit;

namespace Qbb.Registry.Mlflow.Client;

/// <summary>
/// MLflow's REST interface as servers of 2.x and 3.x have it. Errors are <see cref="MlflowException"/>. Lists come in pages: a token that is
/// empty or missing ends them. Disposing closes the connections.
/// </summary>
internal interface IMlflowApi : IDisposable
{
    HttpClient Client { get; }

    [Post("/api/2.0/mlflow/experiments/create")]
    Task<ExperimentKey> CreateExperimentAsync([Body] ExperimentCreation experiment, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/experiments/get")]
    Task<ExperimentAnswer> GetExperimentAsync([AliasAs("experiment_id")] string experimentId, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/experiments/get-by-name")]
    Task<ExperimentAnswer> GetExperimentByNameAsync([AliasAs("experiment_name")] string experimentName, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/experiments/search")]
    Task<ExperimentPage> SearchExperimentsAsync([Body] ExperimentSearch search, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/experiments/update")]
    Task RenameExperimentAsync([Body] ExperimentRenaming change, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/experiments/delete")]
    Task DeleteExperimentAsync([Body] ExperimentKey experiment, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/experiments/restore")]
    Task RestoreExperimentAsync([Body] ExperimentKey experiment, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/experiments/set-experiment-tag")]
    Task SetExperimentTagAsync([Body] ExperimentTag tag, CancellationToken cancellation = default);

    [Post("/api/2.0/mlflow/runs/create")]
    Task<RunAnswer> CreateRunAsync([Body] RunCreation run, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/runs/get")]
    Task<RunAnswer> GetRunAsync([AliasAs("run_id")] string runId, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/update")]
    Task<RunInfoAnswer> UpdateRunAsync([Body] RunUpdate update, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/search")]
    Task<RunPage> SearchRunsAsync([Body] RunSearch search, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/delete")]
    Task DeleteRunAsync([Body] RunKey run, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/restore")]
    Task RestoreRunAsync([Body] RunKey run, CancellationToken cancellation = default);

    /// <summary>At most <see cref="MlflowLimits"/>; <see cref="MlflowBatches.LogAsync"/> splits what is more.</summary>
    [Post("/api/2.0/mlflow/runs/log-batch")]
    Task LogBatchAsync([Body] RunBatch batch, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/log-metric")]
    Task LogMetricAsync([Body] LoggedMetric metric, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/log-parameter")]
    Task LogParameterAsync([Body] LoggedText parameter, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/set-tag")]
    Task SetTagAsync([Body] LoggedText tag, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/delete-tag")]
    Task DeleteTagAsync([Body] RunTagKey tag, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/runs/log-inputs")]
    Task LogInputsAsync([Body] RunInputs inputs, CancellationToken cancellation = default);

    /// <summary>Of 3.x.</summary>
    [Post("/api/2.0/mlflow/runs/outputs")]
    Task LogOutputsAsync([Body] RunOutputs outputs, CancellationToken cancellation = default);

    /// <param name="runId">The run.</param>
    /// <param name="metricKey">The metric.</param>
    /// <param name="maxResults">Always say it: some 3.x servers answer a request without it with an empty page and a token for the same page.</param>
    /// <param name="pageToken">Of the page before.</param>
    /// <param name="cancellation">Stops.</param>
    [Get("/api/2.0/mlflow/metrics/get-history")]
    Task<MetricPage> GetMetricHistoryAsync(
        [AliasAs("run_id")] string runId, [AliasAs("metric_key")] string metricKey, [AliasAs("max_results")] int maxResults, [AliasAs("page_token")] string? pageToken = null, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/artifacts/list")]
    Task<ArtifactPage> ListRunArtifactsAsync([AliasAs("run_id")] string runId, string? path = null, [AliasAs("page_token")] string? pageToken = null, CancellationToken cancellation = default);

    [Post("/api/2.0/mlflow/registered-models/create")]
    Task<RegisteredModelAnswer> CreateRegisteredModelAsync([Body] RegisteredModelCreation model, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/registered-models/get")]
    Task<RegisteredModelAnswer> GetRegisteredModelAsync(string name, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/registered-models/search")]
    Task<RegisteredModelPage> SearchRegisteredModelsAsync([Query] RegistrySearch search, CancellationToken cancellation = default);
    [Patch("/api/2.0/mlflow/registered-models/update")]
    Task<RegisteredModelAnswer> UpdateRegisteredModelAsync([Body] RegisteredModelUpdate update, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/registered-models/rename")]
    Task<RegisteredModelAnswer> RenameRegisteredModelAsync([Body] RegisteredModelRenaming change, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow/registered-models/delete")]
    Task DeleteRegisteredModelAsync([Body] RegisteredModelName model, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/registered-models/set-tag")]
    Task SetRegisteredModelTagAsync([Body] RegisteredModelTag tag, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/registered-models/alias")]
    Task SetAliasAsync([Body] AliasSetting alias, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/registered-models/alias")]
    Task<ModelVersionAnswer> GetVersionByAliasAsync(string name, string alias, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow/registered-models/alias")]
    Task DeleteAliasAsync([Body] AliasName alias, CancellationToken cancellation = default);

    [Post("/api/2.0/mlflow/model-versions/create")]
    Task<ModelVersionAnswer> CreateVersionAsync([Body] ModelVersionCreation version, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/model-versions/get")]
    Task<ModelVersionAnswer> GetVersionAsync(string name, string version, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/model-versions/search")]
    Task<ModelVersionPage> SearchVersionsAsync([Query] RegistrySearch search, CancellationToken cancellation = default);
    [Patch("/api/2.0/mlflow/model-versions/update")]
    Task<ModelVersionAnswer> UpdateVersionAsync([Body] ModelVersionUpdate update, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow/model-versions/delete")]
    Task DeleteVersionAsync([Body] ModelVersionName version, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/model-versions/get-download-uri")]
    Task<DownloadUri> GetDownloadUriAsync(string name, string version, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/model-versions/set-tag")]
    Task SetVersionTagAsync([Body] ModelVersionTag tag, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow/model-versions/delete-tag")]
    Task DeleteVersionTagAsync([Body] ModelVersionTagKey tag, CancellationToken cancellation = default);

    /// <summary>Of 3.x, as are all routes of logged models.</summary>
    [Post("/api/2.0/mlflow/logged-models")]
    Task<LoggedModelAnswer> CreateLoggedModelAsync([Body] LoggedModelCreation model, CancellationToken cancellation = default);
    [Get("/api/2.0/mlflow/logged-models/{modelId}")]
    Task<LoggedModelAnswer> GetLoggedModelAsync(string modelId, CancellationToken cancellation = default);
    [Patch("/api/2.0/mlflow/logged-models/{modelId}")]
    Task<LoggedModelAnswer> FinalizeLoggedModelAsync(string modelId, [Body] LoggedModelStatus status, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow/logged-models/search")]
    Task<LoggedModelPage> SearchLoggedModelsAsync([Body] LoggedModelSearch search, CancellationToken cancellation = default);
    [Patch("/api/2.0/mlflow/logged-models/{modelId}/tags")]
    Task SetLoggedModelTagsAsync(string modelId, [Body] LoggedModelTags tags, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow/logged-models/{modelId}")]
    Task DeleteLoggedModelAsync(string modelId, CancellationToken cancellation = default);

    [Get("/api/2.0/mlflow-artifacts/artifacts")]
    Task<ArtifactPage> ListArtifactsAsync(string? path = null, CancellationToken cancellation = default);

    /// <summary>A file as it arrives.</summary>
    [Get("/api/2.0/mlflow-artifacts/artifacts/{**path}")]
    Task<Stream> GetArtifactAsync(string path, CancellationToken cancellation = default);
    [Put("/api/2.0/mlflow-artifacts/artifacts/{**path}")]
    Task PutArtifactAsync(string path, [Body] HttpContent content, CancellationToken cancellation = default);
    [Delete("/api/2.0/mlflow-artifacts/artifacts/{**path}")]
    Task DeleteArtifactAsync(string path, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow-artifacts/mpu/create/{**folder}")]
    Task<MultipartUpload> CreateUploadAsync(string folder, [Body] MultipartCreation upload, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow-artifacts/mpu/complete/{**folder}")]
    Task CompleteUploadAsync(string folder, [Body] MultipartCompletion upload, CancellationToken cancellation = default);
    [Post("/api/2.0/mlflow-artifacts/mpu/abort/{**folder}")]
    Task AbortUploadAsync(string folder, [Body] MultipartAbortion upload, CancellationToken cancellation = default);
}
