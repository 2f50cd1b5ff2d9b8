using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Mime;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Contracts;

namespace Qbb.Artifacts.Oci;

/// <summary>An OCI registry refused a request, or does not answer. The message is for people.</summary>
/// <param name="message">What is wrong.</param>
/// <param name="status">Null where nobody answered.</param>
/// <param name="inner">The cause.</param>
public sealed class OciException(string message, HttpStatusCode? status, Exception? inner = null) : InvalidInputException(message, inner)
{
    public HttpStatusCode? Status => status;

    /// <summary>Whether the same request may succeed later.</summary>
    public bool IsPassing => status is null or >= HttpStatusCode.InternalServerError or HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout;
}

/// <param name="User">Of the registry.</param>
/// <param name="Password">Or a token.</param>
public sealed record OciCredentials(string User, string Password);

/// <summary>
/// One repository of an OCI registry, by the distribution API. What a broken connection interrupts is tried again; blobs that are there are not sent again,
/// and a download continues where it ended.
/// </summary>
public sealed partial class OciClient : IDisposable
{
    private const int Tries = 4;
    private const int BufferBytes = 1 << 20;
    private const int MostManifest = 4 << 20;
    private static readonly TimeSpan s_connect = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_wait = TimeSpan.FromSeconds(1);
    private readonly HttpClient _http;
    private readonly string _address;
    private readonly string _name;
    private readonly OciCredentials? _credentials;
    private readonly TimeProvider _clock;
    private AuthenticationHeaderValue? _authorization;

    /// <param name="reference">The repository; its tag is of no interest.</param>
    /// <param name="credentials">Null: as anybody.</param>
    /// <param name="plainHttp">Without TLS; registries of this machine are spoken to without it anyway.</param>
    /// <param name="clock">Measures waits between tries.</param>
    /// <param name="handler">What sends the requests; null for the network.</param>
    public OciClient(OciReference reference, OciCredentials? credentials, bool plainHttp = false, TimeProvider? clock = null, HttpMessageHandler? handler = null)
    {
        (_name, _credentials, _clock) = (reference.Name, credentials, clock ?? TimeProvider.System);
        var host = new Uri($"http://{reference.Host}");
        _address = $"{(plainHttp || host.IsLoopback ? "http" : "https")}://{reference.Host}";
        _http = new HttpClient(handler ?? new SocketsHttpHandler { ConnectTimeout = s_connect }) { Timeout = Timeout.InfiniteTimeSpan };
    }

    public Task<bool> HasBlobAsync(Digest digest, CancellationToken cancellation) => RepeatAsync(() => LookAsync(digest, cancellation), cancellation);

    // Tried once: who repeats more than the look would else repeat the look's repetitions.
    private async Task<bool> LookAsync(Digest digest, CancellationToken cancellation)
    {
        using var answer = await SendAsync(() => new HttpRequestMessage(HttpMethod.Head, Blob(digest)), cancellation, HttpStatusCode.NotFound);
        return answer.IsSuccessStatusCode;
    }

    /// <summary>Sends a blob, unless it is there.</summary>
    /// <param name="digest">Of its bytes.</param>
    /// <param name="size">In bytes.</param>
    /// <param name="open">Opens it from its beginning; once for every try.</param>
    /// <param name="cancellation">Stops in the middle.</param>
    /// <returns>False where it was there already.</returns>
    public Task<bool> PutBlobAsync(Digest digest, long size, Func<Task<Stream>> open, CancellationToken cancellation) => RepeatAsync(async () =>
    {
        if (await LookAsync(digest, cancellation))
            return false;
        Uri upload;
        using (var begun = await SendAsync(() => new HttpRequestMessage(HttpMethod.Post, $"{_address}/v2/{_name}/blobs/uploads/"), cancellation))
            upload = new Uri(begun.RequestMessage!.RequestUri!, begun.Headers.Location ?? throw new OciException($"{_address} does not say where to upload to", begun.StatusCode));
        var target = new UriBuilder(upload);
        target.Query = $"{target.Query.TrimStart('?')}{(target.Query.Length > 1 ? "&" : "")}digest=sha256:{digest}";
        await using var content = await open();
        using var request = new HttpRequestMessage(HttpMethod.Put, target.Uri)
        {
            Content = new StreamContent(content, BufferBytes) { Headers = { ContentLength = size, ContentType = new(MediaTypeNames.Application.Octet) } },
        };
        // A storage of another host has its own way to trust the address.
        request.Headers.Authorization = target.Uri.Authority == new Uri(_address).Authority ? _authorization : null;
        using var answer = await AskAsync(request, cancellation);
        await ThrowIfRefusedAsync(answer, cancellation);
        return true;
    }, cancellation);

    /// <summary>Brings a blob to a file. What a file of an earlier try has is kept, and the rest is requested.</summary>
    /// <param name="digest">Of its bytes.</param>
    /// <param name="size">In bytes.</param>
    /// <param name="path">The file; there may be the beginning of it.</param>
    /// <param name="report">Told of bytes done.</param>
    /// <param name="cancellation">Stops in the middle; what has arrived stays.</param>
    /// <exception cref="OciException">It cannot be had, or its bytes have another digest: then nothing stays.</exception>
    public async Task GetBlobAsync(Digest digest, long size, string path, Action<long> report, CancellationToken cancellation)
    {
        await RepeatAsync(async () =>
        {
            await using var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None, 0);
            if (file.Length > size)
                file.SetLength(0);
            var from = file.Length;
            report(from);
            if (from == size)
                return true;
            using var answer = await SendAsync(() =>
            {
                var request = new HttpRequestMessage(HttpMethod.Get, Blob(digest));
                if (from > 0)
                    request.Headers.Range = new RangeHeaderValue(from, null);
                return request;
            }, cancellation);
            // Who does not know ranges sends everything.
            file.Position = answer.StatusCode == HttpStatusCode.PartialContent && answer.Content.Headers.ContentRange?.From == from ? from : 0;
            await using var content = await answer.Content.ReadAsStreamAsync(cancellation);
            var buffer = new byte[BufferBytes];
            for (int count; (count = await content.ReadAsync(buffer, cancellation)) > 0;)
            {
                if (file.Position + count > size)
                    throw Damaged(digest, path, file);
                await file.WriteAsync(buffer.AsMemory(0, count), cancellation);
                report(file.Position);
            }
            if (file.Position < size)
                throw new OciException($"{_address} ended the connection after {file.Position} of {size} bytes", null);
            return true;
        }, cancellation);
        await using var whole = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
        if (Digest.FromHash(await SHA256.HashDataAsync(whole, cancellation)) != digest)
            throw Damaged(digest, path, whole);
    }

    /// <summary>A manifest and its digest.</summary>
    /// <param name="tag">A tag, or sha256:DIGEST.</param>
    /// <param name="cancellation">Stops.</param>
    public Task<(byte[] Manifest, Digest Digest)> GetManifestAsync(string tag, CancellationToken cancellation) => RepeatAsync(async () =>
    {
        using var answer = await SendAsync(() =>
        {
            var request = new HttpRequestMessage(HttpMethod.Get, Manifest(tag));
            request.Headers.Accept.Add(new(ModelPack.Manifest));
            return request;
        }, cancellation);
        var bytes = await ReadAsync(answer, cancellation);
        var digest = Digest.Of(bytes);
        return tag.Contains(':') && tag != $"sha256:{digest}" ? throw new OciException($"{_address} sends another manifest than {tag}", answer.StatusCode) : (bytes, digest);
    }, cancellation);

    /// <summary>Puts a manifest, whose blobs are there, under a tag.</summary>
    public Task PutManifestAsync(string tag, ReadOnlyMemory<byte> manifest, CancellationToken cancellation) => RepeatAsync(async () =>
    {
        using var answer = await SendAsync(() => new HttpRequestMessage(HttpMethod.Put, Manifest(tag))
        {
            Content = new ReadOnlyMemoryContent(manifest) { Headers = { ContentType = new(ModelPack.Manifest) } },
        }, cancellation);
        return true;
    }, cancellation);

    public void Dispose() => _http.Dispose();

    private string Blob(Digest digest) => $"{_address}/v2/{_name}/blobs/sha256:{digest}";

    private string Manifest(string tag) => $"{_address}/v2/{_name}/manifests/{tag}";

    private OciException Damaged(Digest digest, string path, FileStream file)
    {
        file.Dispose();
        File.Delete(path);
        return new OciException($"{_address} sends other bytes than those of sha256:{digest}", HttpStatusCode.OK);
    }

    private async Task<T> RepeatAsync<T>(Func<Task<T>> request, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await request();
            }
            catch (OciException error) when (error.IsPassing && attempt < Tries)
            {
                await Task.Delay(s_wait * Math.Pow(2, attempt - 1), _clock, cancellation);
            }
            // The connection broke while bytes were on their way.
            catch (Exception error) when (error is IOException or HttpRequestException && error is not FileNotFoundException)
            {
                if (attempt == Tries)
                    throw new OciException($"{_address} breaks connections", null, error);
                await Task.Delay(s_wait * Math.Pow(2, attempt - 1), _clock, cancellation);
            }
        }
    }

    /// <summary>Sends a request that can be made again: where the registry wants to know who asks, it gets to know it.</summary>
    private async Task<HttpResponseMessage> SendAsync(Func<HttpRequestMessage> make, CancellationToken cancellation, HttpStatusCode? expected = null)
    {
        for (var isFirst = true; ; isFirst = false)
        {
            using var request = make();
            request.Headers.Authorization = _authorization;
            var answer = await AskAsync(request, cancellation);
            if (answer.StatusCode == HttpStatusCode.Unauthorized && isFirst && await AuthorizeAsync(answer, cancellation))
            {
                answer.Dispose();
                continue;
            }
            if (answer.StatusCode == expected)
                return answer;
            try
            {
                await ThrowIfRefusedAsync(answer, cancellation);
                return answer;
            }
            catch
            {
                answer.Dispose();
                throw;
            }
        }
    }

    private async Task<HttpResponseMessage> AskAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        }
        catch (HttpRequestException error) when (error.HttpRequestError is HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError)
        {
            var hint = error.HttpRequestError == HttpRequestError.SecureConnectionError ? "; if it has no TLS, say --plain-http" : "";
            throw new OciException($"no OCI registry answers at {_address}{hint}", null, error);
        }
    }

    /// <summary>Finds out how the registry wants to be told who asks, and gets a token where it wants one.</summary>
    private async Task<bool> AuthorizeAsync(HttpResponseMessage refusal, CancellationToken cancellation)
    {
        var basic = _credentials is null ? null
            : new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{_credentials.User}:{_credentials.Password}")));
        foreach (var challenge in refusal.Headers.WwwAuthenticate)
        {
            if (challenge.Scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase) && basic is not null)
            {
                _authorization = basic;
                return true;
            }
            if (!challenge.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase))
                continue;
            var members = Members().Matches(challenge.Parameter ?? "").ToDictionary(member => member.Groups[1].Value, member => member.Groups[2].Value);
            if (!Uri.TryCreate(members.GetValueOrDefault("realm"), UriKind.Absolute, out var realm))
                continue;
            if (realm.Scheme != Uri.UriSchemeHttps && _address.StartsWith("https:", StringComparison.Ordinal))
                throw new OciException($"{_address} asks for its password to be sent to {realm.Host} without TLS", refusal.StatusCode);
            var query = string.Join('&', members.Where(member => member.Key is "service" or "scope").Select(member => $"{member.Key}={Uri.EscapeDataString(member.Value)}"));
            using var request = new HttpRequestMessage(HttpMethod.Get, $"{realm}{(realm.Query.Length > 0 ? '&' : '?')}{query}");
            request.Headers.Authorization = basic;
            using var answer = await AskAsync(request, cancellation);
            await ThrowIfRefusedAsync(answer, cancellation);
            var json = JsonNode.Parse(await ReadAsync(answer, cancellation));
            if (((string?)json?["token"] ?? (string?)json?["access_token"]) is not { } token)
                return false;
            _authorization = new AuthenticationHeaderValue("Bearer", token);
            return true;
        }
        return false;
    }

    private async Task ThrowIfRefusedAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        if (answer.IsSuccessStatusCode)
            return;
        var said = "";
        try
        {
            said = string.Join("; ", (JsonNode.Parse(await ReadAsync(answer, cancellation))?["errors"] as JsonArray ?? []).Select(error => $"{error?["code"]} {error?["message"]}"));
        }
        catch (Exception error) when (error is System.Text.Json.JsonException or InvalidOperationException or OciException)
        {
            // Some other server, or a proxy in between: the status says enough.
        }
        var remedy = answer.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden ? $"; {(_credentials is null ? "it wants credentials" : $"{_credentials.User} may not")}" : "";
        throw new OciException(string.Create(CultureInfo.InvariantCulture,
            $"{_address} answers {(int)answer.StatusCode} to {answer.RequestMessage?.Method} {answer.RequestMessage?.RequestUri?.AbsolutePath}{(said.Length > 0 ? $" ({said})" : "")}{remedy}"), answer.StatusCode);
    }

    private async Task<byte[]> ReadAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        await using var stream = await answer.Content.ReadAsStreamAsync(cancellation);
        var bytes = new byte[MostManifest + 1];
        var count = await stream.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, cancellation);
        return count <= MostManifest ? bytes[..count] : throw new OciException($"{_address} sends more than {MostManifest >> 20} MiB as a manifest", answer.StatusCode);
    }

    [GeneratedRegex("([a-z_]+)=\"([^\"]*)\"")]
    private static partial Regex Members();
}
