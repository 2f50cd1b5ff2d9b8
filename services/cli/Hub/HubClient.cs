using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Qbb.Cli.Hub;

/// <summary>The hub does not answer: what is cached may do.</summary>
internal sealed class HubAwayException(string problem, Exception? inner) : InvalidInputException(problem, "run the same command again: what has arrived is kept", inner);

/// <summary>A commit of a repository.</summary>
/// <param name="Commit">Its hash.</param>
/// <param name="Files">All files.</param>
internal sealed record HubRevision(string Commit, IReadOnlyList<HubFile> Files);

/// <summary>A file of a commit.</summary>
/// <param name="Name">Path in the repository.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Hash">SHA-256 of a large file's bytes, git's SHA-1 of a small one; the name of the blob in the cache.</param>
internal sealed record HubFile(string Name, long Bytes, string Hash);

/// <summary>The part of the hub's REST API that reading models needs: the files of a revision, and their bytes from any offset.</summary>
internal sealed class HubClient(HubSettings settings, HttpMessageHandler handler, TimeProvider clock) : IDisposable
{
    private const int Tries = 5, BufferBytes = 1 << 17;

    // Of a server that neither sends nor closes.
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(60);

    private readonly HttpClient _http = Connect(settings, handler);

    public void Dispose() => _http.Dispose();

    /// <exception cref="HubAwayException">It does not answer.</exception>
    /// <exception cref="InvalidInputException">There is no such repository or revision, or it is not for this user.</exception>
    public async Task<HubRevision> GetRevisionAsync(HubReference reference, CancellationToken cancel)
    {
        var path = $"api/models/{reference.Repository}/revision/{Uri.EscapeDataString(reference.Revision)}?blobs=true";
        return await RetryAsync(reference, async () =>
        {
            using var answer = await _http.GetAsync(path, cancel).WaitAsync(s_silence, clock, cancel);
            Check(reference, answer);
            await using var body = await answer.Content.ReadAsStreamAsync(cancel);
            try
            {
                using var json = await JsonDocument.ParseAsync(body, default, cancel);
                return Parse(json.RootElement);
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new InvalidInputException($"{settings.Endpoint} does not answer as the Hugging Face hub does ({e.Message})", "check HF_ENDPOINT", e);
            }
        }, () => 0, cancel);
    }

    /// <summary>Fetches what is missing of a file and checks its hash; what has arrived stays where the network fails.</summary>
    /// <param name="reference">Of the model.</param>
    /// <param name="commit">The commit's hash.</param>
    /// <param name="file">Which file.</param>
    /// <param name="path">Where; may hold the beginning.</param>
    /// <param name="arrived">Hears how many bytes are there.</param>
    /// <param name="cancel">Stops.</param>
    /// <exception cref="HubAwayException">It does not answer.</exception>
    /// <exception cref="InvalidInputException">The bytes are not those of the hash, or not for this user.</exception>
    public async Task FetchAsync(HubReference reference, string commit, HubFile file, string path, Action<long> arrived, CancellationToken cancel)
    {
        await using var target = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1);
        if (target.Length > file.Bytes)
            target.SetLength(0);
        var address = $"{reference.Repository}/resolve/{commit}/{string.Join('/', file.Name.Split('/').Select(Uri.EscapeDataString))}";
        await RetryAsync<object?>(reference, async () =>
        {
            if (target.Length < file.Bytes)
                await AppendAsync(reference, address, target, file.Bytes, arrived, cancel);
            return null;
        }, () => target.Length, cancel);
        if (await HashAsync(target, file.Hash, cancel) == file.Hash)
            return;
        target.SetLength(0);
        throw new InvalidInputException($"{reference}: the bytes of {file.Name} are not those of its hash {file.Hash}", "run the same command again: the file is fetched anew");
    }

    private async Task AppendAsync(HubReference reference, string address, FileStream target, long bytes, Action<long> arrived, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (target.Length > 0)
            request.Headers.Range = new RangeHeaderValue(target.Length, null);
        using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).WaitAsync(s_silence, clock, cancel);
        Check(reference, answer);
        // A server without ranges sends all of it.
        if (answer.StatusCode != HttpStatusCode.PartialContent)
            target.SetLength(0);
        target.Position = target.Length;
        await using var body = await answer.Content.ReadAsStreamAsync(cancel);
        var buffer = new byte[BufferBytes];
        int read;
        while ((read = await body.ReadAsync(buffer, cancel).AsTask().WaitAsync(s_silence, clock, cancel)) > 0)
        {
            if (target.Length + read > bytes)
                throw new InvalidInputException($"{reference}: {address} is longer than the {bytes} bytes of its entry", "check HF_ENDPOINT: another server may answer in the hub's place");
            await target.WriteAsync(buffer.AsMemory(0, read), cancel);
            arrived(target.Length);
        }
        if (target.Length < bytes)
            throw new HttpIOException(HttpRequestError.ResponseEnded, $"the connection ended after {target.Length} of {bytes} bytes");
    }

    /// <summary>Tries again after faults of the network and of the server; a try that brought bytes counts as the first.</summary>
    private async Task<T> RetryAsync<T>(HubReference reference, Func<Task<T>> work, Func<long> progress, CancellationToken cancel)
    {
        var before = progress();
        for (var tried = 1; ; tried++)
        {
            Exception fault;
            TimeSpan? asked = null;
            try
            {
                return await work();
            }
            catch (BusyException busy)
            {
                (fault, asked) = (busy, busy.RetryAfter);
            }
            catch (Exception e) when (e is HttpRequestException or HttpIOException or TimeoutException or IOException { InnerException: SocketException })
            {
                fault = e;
            }
            if (progress() > before)
                (before, tried) = (progress(), 1);
            if (tried == Tries || (before == 0 && fault is HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError }))
                throw new HubAwayException($"{reference}: {settings.Endpoint} does not answer ({fault.Message})", fault);
            await Task.Delay(asked ?? TimeSpan.FromSeconds(Math.ScaleB(0.5, tried)), clock, cancel);
        }
    }

    private void Check(HubReference reference, HttpResponseMessage answer)
    {
        if (answer.IsSuccessStatusCode)
            return;
        var status = (int)answer.StatusCode;
        if (status is 429 or >= 500)
            throw new BusyException($"HTTP {status}", answer.Headers.RetryAfter?.Delta is { } delay && delay < TimeSpan.FromMinutes(5) ? delay : null);
        answer.Headers.TryGetValues("X-Error-Code", out var codes);
        var page = $"{settings.Endpoint}{reference.Repository}";
        throw (codes?.FirstOrDefault(), status) switch
        {
            ("RevisionNotFound", _) => new InvalidInputException($"{reference.Repository} has no revision {reference.Revision}", $"see {page}/tree/main"),
            ("GatedRepo", _) or (_, 403) => new InvalidInputException($"{reference.Repository} is gated", $"accept its terms at {page}, then set HF_TOKEN to a token of that account"),
            (_, 401 or 404) => new InvalidInputException($"{settings.Endpoint} has no model {reference.Repository}, or it is private", "check the name, or set HF_TOKEN to a token that may read it"),
            _ => new InvalidInputException($"{reference}: {settings.Endpoint} refuses the request (HTTP {status})", "check HF_ENDPOINT"),
        };
    }

    private static HttpClient Connect(HubSettings settings, HttpMessageHandler handler)
    {
        // A large file takes as long as it takes. Redirects lead elsewhere without the token.
        var http = new HttpClient(handler) { BaseAddress = settings.Endpoint, Timeout = Timeout.InfiniteTimeSpan };
        http.DefaultRequestHeaders.UserAgent.ParseAdd("qbb");
        if (settings.Token is { } token)
            http.DefaultRequestHeaders.Authorization = new("Bearer", token);
        return http;
    }

    private static HubRevision Parse(JsonElement json)
    {
        static string Hex(string? text, params int[] lengths) => text is not null && lengths.Contains(text.Length) && text.All(char.IsAsciiHexDigitLower)
            ? text : throw new FormatException($"'{text}' is not a hash");
        return new(Hex(json.GetProperty("sha").GetString(), 40),
        [
            .. json.GetProperty("siblings").EnumerateArray().Select(file => file.TryGetProperty("lfs", out var large) && large.ValueKind == JsonValueKind.Object
                ? new HubFile(file.GetProperty("rfilename").GetString()!, large.GetProperty("size").GetInt64(), Hex(large.GetProperty("sha256").GetString(), 64))
                : new HubFile(file.GetProperty("rfilename").GetString()!, file.GetProperty("size").GetInt64(), Hex(file.GetProperty("blobId").GetString(), 40))),
        ]);
    }

    private static async Task<string> HashAsync(FileStream file, string expected, CancellationToken cancel)
    {
        file.Position = 0;
        var isGit = expected.Length == 40;
        using var hash = IncrementalHash.CreateHash(isGit ? HashAlgorithmName.SHA1 : HashAlgorithmName.SHA256);
        if (isGit)
            hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {file.Length}\0")));
        var buffer = new byte[BufferBytes];
        int read;
        while ((read = await file.ReadAsync(buffer, cancel)) > 0)
            hash.AppendData(buffer, 0, read);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private sealed class BusyException(string message, TimeSpan? retryAfter) : Exception(message)
    {
        public TimeSpan? RetryAfter { get; } = retryAfter;
    }
}
