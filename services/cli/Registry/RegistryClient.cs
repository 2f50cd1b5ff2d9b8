using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Models;

namespace Qbb.Cli.Registry;

/// <summary>Talks to a registry; its errors become messages for people.</summary>
internal sealed class RegistryClient : IDisposable
{
    private readonly HttpClient _http;
    public RegistryClient(Uri address)
    {
        Address = address;
        // No limit of time: a large file takes long. What hangs is cancelled by hand.
        _http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(10) }) { BaseAddress = address, Timeout = Timeout.InfiniteTimeSpan };
    }

    public Uri Address { get; }

    public async Task<bool> HasBlobAsync(Digest digest, CancellationToken cancellation)
    {
        using var answer = await SendAsync(new HttpRequestMessage(HttpMethod.Head, $"api/blobs/{digest}"), cancellation);
        return answer.StatusCode != HttpStatusCode.NotFound && await CheckedAsync(answer, cancellation);
    }

    public async Task PutBlobAsync(Digest digest, Stream content, CancellationToken cancellation)
    {
        using var answer = await SendAsync(new HttpRequestMessage(HttpMethod.Put, $"api/blobs/{digest}") { Content = new StreamContent(content, 1 << 20) }, cancellation);
        await CheckedAsync(answer, cancellation);
    }

    public async Task<JsonObject> GetAsync(string path, CancellationToken cancellation)
    {
        using var answer = await SendAsync(new HttpRequestMessage(HttpMethod.Get, path), cancellation);
        await CheckedAsync(answer, cancellation);
        return await ReadAsync(answer, cancellation);
    }

    /// <summary>A model; where there is none, the message says where to look.</summary>
    public async Task<JsonObject> ModelAsync(string name, CancellationToken cancellation)
    {
        try
        {
            return await GetAsync($"api/models/{Uri.EscapeDataString(name)}", cancellation);
        }
        catch (InvalidInputException error) when (error is not RegistryAwayException)
        {
            throw new InvalidInputException($"{error.Message} at {Address}; what is there is listed there, and qbb push uploads another", error);
        }
    }

    public async Task<JsonObject> PostAsync(string path, JsonNode body, CancellationToken cancellation)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body) };
        request.Headers.Add("Idempotency-Key", Guid.NewGuid().ToString());
        using var answer = await SendAsync(request, cancellation);
        await CheckedAsync(answer, cancellation);
        return await ReadAsync(answer, cancellation);
    }

    /// <summary>A file, streamed; dispose the answer.</summary>
    public async Task<HttpResponseMessage> DownloadAsync(string path, CancellationToken cancellation)
    {
        var answer = await SendAsync(new HttpRequestMessage(HttpMethod.Get, path), cancellation);
        await CheckedAsync(answer, cancellation);
        return answer;
    }

    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
        }
        catch (HttpRequestException error)
        {
            throw new RegistryAwayException($"no registry answers at {Address} ({error.Message}): start one with qbb up, or give its address with --url", error);
        }
    }

    private async Task<JsonObject> ReadAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        try
        {
            if (await JsonNode.ParseAsync(await answer.Content.ReadAsStreamAsync(cancellation), cancellationToken: cancellation) is JsonObject read)
                return read;
        }
        catch (JsonException)
        {
            // Some other site.
        }
        throw new RegistryAwayException($"what answers at {Address} is no registry: give the address of one with --url");
    }

    private static async Task<bool> CheckedAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        if (answer.IsSuccessStatusCode)
            return true;
        var text = await answer.Content.ReadAsStringAsync(cancellation);
        throw new InvalidInputException(Reason(text) ?? $"the registry answered {(int)answer.StatusCode} to {answer.RequestMessage?.RequestUri}");
    }

    /// <summary>The words of ProblemDetails; null where the answer is something else.</summary>
    private static string? Reason(string text)
    {
        try
        {
            if (JsonNode.Parse(text) is not JsonObject problem)
                return null;
            var errors = problem["errors"] is JsonArray several ? string.Join("; ", several.Select(error => error?.ToString())) : "";
            return string.Join(": ", new[] { problem["detail"]?.ToString(), errors }.Where(part => !string.IsNullOrEmpty(part)));
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
