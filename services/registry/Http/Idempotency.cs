using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;

namespace Qbb.Registry.Http;

/// <summary>Marks an endpoint that takes the header Idempotency-Key.</summary>
internal sealed class Idempotent
{
    public const string Header = "Idempotency-Key";

    public static readonly Idempotent Mark = new();
}

/// <summary>
/// The key of a request. Its answer is saved in the transaction of what the request does, so there is no moment at which one stands without the
/// other, and of two requests with one key that run at the same time the second to commit undoes its own work and repeats the first one's answer.
/// </summary>
/// <param name="Key">As sent.</param>
/// <param name="Endpoint">Method and address.</param>
/// <param name="Fingerprint">Digest of the body.</param>
internal sealed record IdempotencyKey(string Key, string Endpoint, string Fingerprint)
{
    /// <summary>The key of the current request; null where it has none.</summary>
    public static IdempotencyKey? Of(HttpContext http) => http.Features.Get<IdempotencyKey>();

    /// <summary>Adds the answer to the caller's transaction. Only successes are kept: what was refused may be tried again with the same key.</summary>
    public void Keep(RegistryContext context, DateTimeOffset now, int status, string? location, object answer) => context.IdempotentRequests.Add(new IdempotentRequest
    {
        Key = Key,
        Endpoint = Endpoint,
        Fingerprint = Fingerprint,
        Status = status,
        Location = location,
        ContentType = "application/json; charset=utf-8",
        Body = JsonSerializer.SerializeToUtf8Bytes(answer, answer.GetType(), Wire.Json),
        CreatedAt = now,
    });
}

/// <summary>A request that is sent again with the same Idempotency-Key gets the answer of the first one and does nothing.</summary>
internal sealed class IdempotencyMiddleware(RequestDelegate next)
{
    private const int MostKeyCharacters = 128;
    private const int MostBytes = 16 << 20;

    public async Task InvokeAsync(HttpContext http, RegistryContext context)
    {
        if (http.GetEndpoint()?.Metadata.GetMetadata<Idempotent>() is null || !http.Request.Headers.TryGetValue(Idempotent.Header, out var values))
        {
            await next(http);
            return;
        }
        var key = await ReadAsync(http, values.ToString());
        if (await RepeatAsync(http, context, key))
            return;
        http.Features.Set(key);
        try
        {
            await next(http);
        }
        catch (Exception error) when (error is RefusedException || error is DbUpdateException change && Transience.IsDuplicate(change, "idempotency"))
        {
            // The same request was quicker; what it did may be why this one was refused.
            if (!await RepeatAsync(http, context, key))
                throw;
        }
    }

    private static async Task<IdempotencyKey> ReadAsync(HttpContext http, string key)
    {
        if (key.Length is 0 or > MostKeyCharacters)
            throw RefusedException.Invalid($"{Idempotent.Header} must have 1 to {MostKeyCharacters} characters");
        // The server answers 413 when a body is longer, declared or not.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = MostBytes;
        http.Request.EnableBuffering(bufferThreshold: 1 << 20, bufferLimit: MostBytes + 1);
        var hash = await SHA256.HashDataAsync(http.Request.Body, http.RequestAborted);
        http.Request.Body.Position = 0;
        return new(key, $"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}", Convert.ToHexStringLower(hash));
    }

    /// <summary>Repeats the stored response; false where none is stored yet.</summary>
    private static async Task<bool> RepeatAsync(HttpContext http, RegistryContext context, IdempotencyKey key)
    {
        if (await context.IdempotentRequests.AsNoTracking().FirstOrDefaultAsync(row => row.Key == key.Key, http.RequestAborted) is not { } first)
            return false;
        if (first.Endpoint != key.Endpoint || first.Fingerprint != key.Fingerprint)
            throw RefusedException.Unusable($"this {Idempotent.Header} was used for another request: take a new one for every request", []);
        http.Response.StatusCode = first.Status!.Value;
        http.Response.Headers["Idempotency-Replayed"] = "true";
        if (first.Location is not null)
            http.Response.Headers.Location = first.Location;
        http.Response.ContentType = first.ContentType;
        await http.Response.Body.WriteAsync(first.Body!, http.RequestAborted);
        return true;
    }
}
