using System.Net;

namespace Qbb.Registry.Mlflow.Client;

/// <summary>What takes several requests: batches within MLflow's limits, and all pages of a list.</summary>
internal static class MlflowBatches
{
    /// <summary>Logs any number of entries in as few requests as the limits allow, in their order. Long values are cut, as MLflow itself does.</summary>
    public static async Task LogAsync(
        this IMlflowApi api, string run, IReadOnlyList<MetricPoint> metrics, IReadOnlyList<KeyValue> parameters, IReadOnlyList<KeyValue> tags,
        CancellationToken cancellation)
    {
        foreach (var batch in Split(run, metrics, parameters, tags))
            await api.LogBatchAsync(batch, cancellation);
    }

    internal static IEnumerable<RunBatch> Split(
        string run, IReadOnlyList<MetricPoint> metrics, IReadOnlyList<KeyValue> parameters, IReadOnlyList<KeyValue> tags)
    {
        for (var (m, p, t) = (0, 0, 0); m < metrics.Count || p < parameters.Count || t < tags.Count;)
        {
            var tagCount = Math.Min(MlflowLimits.Tags, tags.Count - t);
            var parameterCount = Math.Min(MlflowLimits.Parameters, parameters.Count - p);
            var metricCount = Math.Min(Math.Min(MlflowLimits.Metrics, MlflowLimits.Entries - tagCount - parameterCount), metrics.Count - m);
            yield return new RunBatch(
                run,
                [.. metrics.Skip(m).Take(metricCount).Select(point => point with { Key = MlflowLimits.Cut(point.Key, MlflowLimits.Key) })],
                [.. parameters.Skip(p).Take(parameterCount).Select(pair => Cut(pair, MlflowLimits.ParameterValue))],
                [.. tags.Skip(t).Take(tagCount).Select(pair => Cut(pair, MlflowLimits.TagValue))]);
            (m, p, t) = (m + metricCount, p + parameterCount, t + tagCount);
        }
    }

    private static KeyValue Cut(KeyValue pair, int most) => new(MlflowLimits.Cut(pair.Key, MlflowLimits.Key), MlflowLimits.Cut(pair.Value, most));

    /// <summary>All points of a metric.</summary>
    public static Task<List<MetricPoint>> HistoryAsync(this IMlflowApi api, string run, string metric, CancellationToken cancellation) => AllAsync(async token =>
    {
        var page = await api.GetMetricHistoryAsync(run, metric, MlflowLimits.History, token, cancellation);
        return (page.Metrics, page.NextPageToken);
    });

    /// <summary>All versions that a filter finds.</summary>
    public static Task<List<MlflowVersion>> VersionsAsync(this IMlflowApi api, string filter, CancellationToken cancellation) => AllAsync(async token =>
    {
        var page = await api.SearchVersionsAsync(new RegistrySearch(200, filter, PageToken: token), cancellation);
        return (page.ModelVersions, page.NextPageToken);
    });

    /// <summary>All items of all pages. A token that came before ends the list: some servers answer one that leads nowhere.</summary>
    public static async Task<List<T>> AllAsync<T>(Func<string?, Task<(IReadOnlyList<T>? Items, string? Next)>> read)
    {
        var all = new List<T>();
        var seen = new HashSet<string>();
        for (string? token = null; ;)
        {
            var (items, next) = await read(token);
            all.AddRange(items ?? []);
            if (string.IsNullOrEmpty(next) || !seen.Add(next))
                return all;
            token = next;
        }
    }
}

/// <summary>Files in the artifact store that an MLflow server serves itself (mlflow-artifacts:/…).</summary>
internal sealed class MlflowFiles(IMlflowApi api, HttpClient parts, MlflowPartSizes? sizes = null)
{
    private const string Scheme = "mlflow-artifacts";
    // Older servers have no such route at all.
    private static readonly string[] s_noMultipart = [MlflowCodes.NotImplemented, MlflowCodes.EndpointNotFound];
    private readonly MlflowPartSizes _sizes = sizes ?? new MlflowPartSizes();

    /// <summary>The path on the server of an artifact address; null where the server does not serve it itself, as s3:// addresses.</summary>
    public static string? PathOf(string address) => Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme == Scheme
        ? Uri.UnescapeDataString(uri.AbsolutePath).Trim('/') : null;

    /// <summary>All files below a folder, with paths relative to it.</summary>
    public async Task<IReadOnlyList<(string Path, long Size)>> ListAsync(string folder, CancellationToken cancellation)
    {
        var files = new List<(string, long)>();
        var folders = new Queue<string>([""]);
        while (folders.TryDequeue(out var below))
        {
            foreach (var entry in (await api.ListArtifactsAsync(Join(folder, below), cancellation)).Files ?? [])
            {
                // Names come from another machine.
                if (entry.Path.Split('/').Any(part => part is "" or "." or ".."))
                    throw new MlflowException($"MLflow lists the file \"{entry.Path}\", whose name is not allowed", null, null);
                if (entry.IsDir)
                    folders.Enqueue(Join(below, entry.Path));
                else
                    files.Add((Join(below, entry.Path), entry.FileSize ?? 0));
            }
        }
        return files;
    }

    public Task<Stream> OpenAsync(string folder, string file, CancellationToken cancellation) => api.GetArtifactAsync(Join(folder, file), cancellation);

    /// <summary>Uploads a file: in parts where it is large and the server can, else in one request.</summary>
    /// <param name="folder">On the server.</param>
    /// <param name="name">In the folder.</param>
    /// <param name="size">Bytes.</param>
    /// <param name="open">The bytes from an offset on, so many.</param>
    /// <param name="cancellation">Stops, and gives the upload up.</param>
    public async Task PutAsync(string folder, string name, long size, Func<long, long, Task<Stream>> open, CancellationToken cancellation)
    {
        if (size < _sizes.Least || !await TryInPartsAsync(folder, name, size, open, cancellation))
            await api.PutArtifactAsync(Join(folder, name), await ContentAsync(open, 0, size), cancellation);
    }

    private async Task<bool> TryInPartsAsync(string folder, string name, long size, Func<long, long, Task<Stream>> open, CancellationToken cancellation)
    {
        var path = Join(folder, name);
        var count = (int)((size + _sizes.Part - 1) / _sizes.Part);
        MultipartUpload upload;
        try
        {
            upload = await api.CreateUploadAsync(folder, new MultipartCreation(path, count), cancellation);
        }
        catch (MlflowException error) when (s_noMultipart.Contains(error.Code) || error.Status is HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed)
        {
            return false;
        }
        try
        {
            var done = new List<UploadedPart>();
            foreach (var part in upload.Credentials.OrderBy(part => part.PartNumber))
            {
                var offset = (part.PartNumber - 1) * _sizes.Part;
                done.Add(await PutPartAsync(part, await ContentAsync(open, offset, Math.Min(_sizes.Part, size - offset)), cancellation));
            }
            await api.CompleteUploadAsync(folder, new MultipartCompletion(path, upload.UploadId, done), cancellation);
            return true;
        }
        catch
        {
            await AbortAsync(folder, path, upload.UploadId);
            throw;
        }
    }

    // Signed addresses of another server: our credentials are not for it.
    private async Task<UploadedPart> PutPartAsync(PartCredential part, HttpContent content, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, part.Url) { Content = content };
        foreach (var (name, value) in part.Headers ?? new Dictionary<string, string>())
        {
            if (!request.Headers.TryAddWithoutValidation(name, value))
                content.Headers.TryAddWithoutValidation(name, value);
        }
        try
        {
            using var answer = await parts.SendAsync(request, cancellation);
            return answer.IsSuccessStatusCode
                ? new UploadedPart(part.PartNumber, answer.Headers.ETag?.Tag ?? "", part.Url)
                : throw new MlflowException($"the artifact store at {request.RequestUri!.Authority} answered {(int)answer.StatusCode} to part {part.PartNumber}", null, answer.StatusCode);
        }
        catch (HttpRequestException error)
        {
            throw new MlflowException($"the artifact store at {request.RequestUri!.Authority} does not answer ({error.Message})", null, null, inner: error);
        }
    }

    private async Task AbortAsync(string folder, string path, string upload)
    {
        try
        {
            await api.AbortUploadAsync(folder, new MultipartAbortion(path, upload));
        }
        catch (MlflowException)
        {
            // Stores remove what was given up by themselves, and the first error is the one to tell.
        }
    }

    private static async Task<StreamContent> ContentAsync(Func<long, long, Task<Stream>> open, long offset, long length)
    {
        var content = new StreamContent(await open(offset, length));
        content.Headers.ContentLength = length;
        return content;
    }

    private static string Join(string folder, string name) => folder.Length == 0 ? name : name.Length == 0 ? folder : $"{folder}/{name}";
}

/// <summary>When and how uploads are cut into parts.</summary>
/// <param name="Least">Bytes from which a file is uploaded in parts.</param>
/// <param name="Part">Bytes of a part.</param>
internal sealed record MlflowPartSizes(long Least = 500L << 20, long Part = 100L << 20);
