using System.Security.Cryptography;
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
/// A request that is sent again with the same Idempotency-Key gets the answer of the first one and does nothing. Only successes are kept:
/// what was refused may be tried again with the same key.
/// </summary>
internal sealed class IdempotencyMiddleware(RequestDelegate next, TimeProvider clock)
{
    private const int MostKeyCharacters = 128;
    private const int MostBytes = 16 << 20;

    // Whoever began longer ago than this and never finished is dead.
    private static readonly TimeSpan s_abandoned = TimeSpan.FromMinutes(2);

    public async Task InvokeAsync(HttpContext http, RegistryContext context)
    {
        if (http.GetEndpoint()?.Metadata.GetMetadata<Idempotent>() is null || !http.Request.Headers.TryGetValue(Idempotent.Header, out var values))
        {
            await next(http);
            return;
        }
        var request = await ReadAsync(http, values.ToString());
        if (!await TryBeginAsync(context, request, http.RequestAborted))
        {
            await RepeatAsync(http, context, request);
            return;
        }
        await RunAsync(http, context, request);
    }

    private async Task<IdempotentRequest> ReadAsync(HttpContext http, string key)
    {
        if (key.Length is 0 or > MostKeyCharacters)
            throw RefusedException.Invalid($"{Idempotent.Header} must have 1 to {MostKeyCharacters} characters");
        http.Request.EnableBuffering(bufferThreshold: 1 << 20, bufferLimit: MostBytes);
        var hash = await SHA256.HashDataAsync(http.Request.Body, http.RequestAborted);
        http.Request.Body.Position = 0;
        return new IdempotentRequest
        {
            Key = key,
            Endpoint = $"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}",
            Fingerprint = Convert.ToHexStringLower(hash),
            CreatedAt = clock.GetUtcNow(),
        };
    }

    private async Task<bool> TryBeginAsync(RegistryContext context, IdempotentRequest request, CancellationToken cancellation)
    {
        var dead = clock.GetUtcNow() - s_abandoned;
        await context.IdempotentRequests.Where(row => row.Key == request.Key && row.Status == null && row.CreatedAt < dead)
            .ExecuteDeleteAsync(cancellation);
        if (await context.IdempotentRequests.AnyAsync(row => row.Key == request.Key, cancellation))
            return false;
        context.IdempotentRequests.Add(request);
        try
        {
            await context.SaveChangesAsync(cancellation);
            return true;
        }
        catch (DbUpdateException error) when (context.IsDuplicate(error))
        {
            return false;
        }
        finally
        {
            context.ChangeTracker.Clear();
        }
    }

    private static async Task RepeatAsync(HttpContext http, RegistryContext context, IdempotentRequest request)
    {
        var first = await context.IdempotentRequests.AsNoTracking().FirstOrDefaultAsync(row => row.Key == request.Key, http.RequestAborted);
        if (first is not null && (first.Endpoint != request.Endpoint || first.Fingerprint != request.Fingerprint))
        {
            throw new RefusedException(
                StatusCodes.Status422UnprocessableEntity, $"this {Idempotent.Header} was used for another request: take a new one for every request");
        }
        if (first?.Status is not { } status)
            throw RefusedException.Conflict("the same request is under way: wait for it");
        http.Response.StatusCode = status;
        http.Response.Headers["Idempotency-Replayed"] = "true";
        if (first.Location is not null)
            http.Response.Headers.Location = first.Location;
        if (first.Body is { Length: > 0 } body)
        {
            http.Response.ContentType = first.ContentType;
            await http.Response.Body.WriteAsync(body, http.RequestAborted);
        }
    }

    private async Task RunAsync(HttpContext http, RegistryContext context, IdempotentRequest request)
    {
        var original = http.Response.Body;
        using var buffer = new MemoryStream();
        http.Response.Body = buffer;
        var kept = false;
        try
        {
            await next(http);
            if (http.Response.StatusCode < StatusCodes.Status300MultipleChoices)
            {
                await KeepAsync(context, request, http.Response, buffer.ToArray());
                kept = true;
            }
        }
        finally
        {
            http.Response.Body = original;
            // Whether or not the client still listens.
            if (!kept)
                await context.IdempotentRequests.Where(row => row.Key == request.Key).ExecuteDeleteAsync(CancellationToken.None);
        }
        buffer.Position = 0;
        await buffer.CopyToAsync(original, http.RequestAborted);
    }

    private static Task KeepAsync(RegistryContext context, IdempotentRequest request, HttpResponse response, byte[] body)
    {
        var (status, location, type) = (response.StatusCode, response.Headers.Location.FirstOrDefault(), response.ContentType);
        return context.IdempotentRequests.Where(row => row.Key == request.Key).ExecuteUpdateAsync(row => row
            .SetProperty(kept => kept.Status, status)
            .SetProperty(kept => kept.Location, location)
            .SetProperty(kept => kept.ContentType, type)
            .SetProperty(kept => kept.Body, body), CancellationToken.None);
    }
}
