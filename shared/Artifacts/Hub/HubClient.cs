using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Qbb.Contracts;

namespace Qbb.Artifacts.Hub;

/// <summary>The hub does not answer: what is cached may do.</summary>
public sealed class HubAwayException(string problem, Exception? inner) : InvalidInputException(problem, "run the same command again: what has arrived is kept", inner);

/// <summary>A commit of a repository.</summary>
/// <param name="Commit">Its hash.</param>
/// <param name="Files">All files.</param>
public sealed record HubRevision(string Commit, IReadOnlyList<HubFile> Files);

/// <summary>A file of a commit.</summary>
/// <param name="Name">Path in the repository.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Hash">SHA-256 of a large file's bytes, git's SHA-1 of a small one; the name of the blob in the cache.</param>
public sealed record HubFile(string Name, long Bytes, string Hash)
{
    /// <summary>The digest of a large file's bytes; null of a small one.</summary>
    public Digest? Digest => Contracts.Digest.TryParse(Hash, out var digest) ? digest : null;
}

/// <summary>The part of the hub's REST API that reading models needs: the files of a revision, and their bytes from any offset.</summary>
public sealed class HubClient(HubSettings settings, HttpMessageHandler handler, TimeProvider clock) : IDisposable
{
    private const int Tries = 5, BufferBytes = 1 << 17;

    // Of a server that neither sends nor closes.
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(60);

    private readonly HubSettings _settings = settings;
    private readonly TimeProvider _clock = clock;
    private readonly HttpClient _http = Connect(settings, handler);

    public void Dispose() => _http.Dispose();

    /// <exception cref="HubAwayException">It does not answer.</exception>
    /// <exception cref="InvalidInputException">There is no such repository or revision, or it is not for this user.</exception>
    public async Task<HubRevision> GetRevisionAsync(HubReference reference, CancellationToken cancel)
    {
        var path = $"api/models/{reference.Repository}/revision/{Uri.EscapeDataString(reference.Revision)}?blobs=true";
        return await RetryAsync(reference, async () =>
        {
            using var answer = await _http.GetAsync(path, cancel).WaitAsync(s_silence, _clock, cancel);
            Check(reference, answer);
            await using var body = await answer.Content.ReadAsStreamAsync(cancel);
            try
            {
                using var json = await JsonDocument.ParseAsync(body, default, cancel);
                return Parse(json.RootElement);
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new InvalidInputException($"{_settings.Endpoint} does not answer as the Hugging Face hub does ({e.Message})", "check HF_ENDPOINT", e);
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
        var address = AddressOf(reference, commit, file);
        await RetryAsync<object?>(reference, async () =>
        {
            if (target.Length < file.Bytes)
                await AppendAsync(reference, address, target, file.Bytes, arrived, cancel);
            return null;
        }, () => target.Length, cancel);
        if (await HashAsync(target, file.Hash, cancel) == file.Hash)
            return;
        target.SetLength(0);
        throw Damaged(reference, file);
    }

    private static InvalidInputException Damaged(HubReference reference, HubFile file) =>
        new($"{reference}: the bytes of {file.Name} are not those of its hash {file.Hash}", "run the same command again: the file is fetched anew");

    private static string AddressOf(HubReference reference, string commit, HubFile file) =>
        $"{reference.Repository}/resolve/{commit}/{string.Join('/', file.Name.Split('/').Select(Uri.EscapeDataString))}";

    /// <summary>
    /// A file's bytes in order, for who keeps them elsewhere: after a fault of the network the next read asks for the rest. A small file, which has
    /// git's hash, is read and checked before; the SHA-256 of a large one is the reader's to check.
    /// </summary>
    /// <exception cref="HubAwayException">It does not answer; reads throw it too.</exception>
    /// <exception cref="InvalidInputException">The bytes are not those of the hash, or not for this user.</exception>
    public async Task<Stream> OpenAsync(HubReference reference, string commit, HubFile file, CancellationToken cancel)
    {
        var stream = new HubStream(this, reference, AddressOf(reference, commit, file), file.Bytes);
        if (file.Digest is not null)
            return stream;
        await using (stream)
        {
            var whole = new MemoryStream(checked((int)file.Bytes));
            await stream.CopyToAsync(whole, cancel);
            if (await HashAsync(whole, file.Hash, cancel) != file.Hash)
                throw Damaged(reference, file);
            whole.Position = 0;
            return whole;
        }
    }

    private async Task AppendAsync(HubReference reference, string address, FileStream target, long bytes, Action<long> arrived, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (target.Length > 0)
            request.Headers.Range = new RangeHeaderValue(target.Length, null);
        using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).WaitAsync(s_silence, _clock, cancel);
        Check(reference, answer);
        // A server without ranges sends all of it.
        if (answer.StatusCode != HttpStatusCode.PartialContent)
            target.SetLength(0);
        target.Position = target.Length;
        await using var body = await answer.Content.ReadAsStreamAsync(cancel);
        var buffer = new byte[BufferBytes];
        int read;
        while ((read = await body.ReadAsync(buffer, cancel).AsTask().WaitAsync(s_silence, _clock, cancel)) > 0)
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
                throw new HubAwayException($"{reference}: {_settings.Endpoint} does not answer ({fault.Message})", fault);
            await Task.Delay(asked ?? TimeSpan.FromSeconds(Math.ScaleB(0.5, tried)), _clock, cancel);
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
        var page = $"{_settings.Endpoint}{reference.Repository}";
        throw (codes?.FirstOrDefault(), status) switch
        {
            ("RevisionNotFound", _) => new InvalidInputException($"{reference.Repository} has no revision {reference.Revision}", $"see {page}/tree/main"),
            ("GatedRepo", _) or (_, 403) => new InvalidInputException($"{reference.Repository} is gated", $"accept its terms at {page}, then set HF_TOKEN to a token of that account"),
            (_, 401 or 404) => new InvalidInputException($"{_settings.Endpoint} has no model {reference.Repository}, or it is private", "check the name, or set HF_TOKEN to a token that may read it"),
            _ => new InvalidInputException($"{reference}: {_settings.Endpoint} refuses the request (HTTP {status})", "check HF_ENDPOINT"),
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

    private static async Task<string> HashAsync(Stream file, string expected, CancellationToken cancel)
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

    private sealed class HubStream(HubClient client, HubReference reference, string address, long bytes) : Stream
    {
        private HttpResponseMessage? _answer;
        private Stream? _body;
        private long _position;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => bytes;

        public override long Position { get => _position; set => throw new NotSupportedException(); }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            _position == bytes || buffer.Length == 0 ? ValueTask.FromResult(0) : new(client.RetryAsync(reference, () => NextAsync(buffer, cancellationToken), () => _position, cancellationToken));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        protected override void Dispose(bool disposing)
        {
            Close();
            base.Dispose(disposing);
        }

        public override void Close()
        {
            _body?.Dispose();
            _answer?.Dispose();
            (_body, _answer) = (null, null);
        }

        private async Task<int> NextAsync(Memory<byte> buffer, CancellationToken cancel)
        {
            try
            {
                _body ??= await OpenAsync(cancel);
                var read = await _body.ReadAsync(buffer[..(int)Math.Min(buffer.Length, bytes - _position)], cancel).AsTask().WaitAsync(s_silence, client._clock, cancel);
                if (read == 0)
                    throw new HttpIOException(HttpRequestError.ResponseEnded, $"the connection ended after {_position} of {bytes} bytes");
                _position += read;
                return read;
            }
            catch
            {
                Close();
                throw;
            }
        }

        private async Task<Stream> OpenAsync(CancellationToken cancel)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            if (_position > 0)
                request.Headers.Range = new RangeHeaderValue(_position, null);
            _answer = await client._http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel).WaitAsync(s_silence, client._clock, cancel);
            client.Check(reference, _answer);
            if (_position > 0 && _answer.StatusCode != HttpStatusCode.PartialContent)
                throw new InvalidInputException($"{reference}: {client._settings.Endpoint} cannot resume {address}", "fetch the model with qbb push on a machine that reaches the hub");
            return await _answer.Content.ReadAsStreamAsync(cancel);
        }
    }

    private sealed class BusyException(string message, TimeSpan? retryAfter) : Exception(message)
    {
        public TimeSpan? RetryAfter { get; } = retryAfter;
    }
}
