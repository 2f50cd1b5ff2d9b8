using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;
using JsonOptions = Microsoft.AspNetCore.Http.Json.JsonOptions;

namespace Qbb.Registry.Http;

/// <summary>
/// ETags of JSON answers: a digest of the answer itself. Who read it can have it again only if it changed (If-None-Match), and change it only
/// if nobody else did meanwhile (If-Match).
/// </summary>
internal sealed class ETags(IHttpContextAccessor accessor, IOptions<JsonOptions> json)
{
    private HttpContext Http => accessor.HttpContext ?? throw new InvalidOperationException("there is no request");

    /// <summary>The answer with its ETag, or 304 where the sender has it.</summary>
    public Results<Ok<T>, StatusCodeHttpResult> Ok<T>(T answer)
    {
        var tag = Of(answer);
        Http.Response.GetTypedHeaders().ETag = tag;
        return Http.Request.GetTypedHeaders().IfNoneMatch.Any(known => known.Compare(tag, useStrongComparison: false) || known == EntityTagHeaderValue.Any)
            ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : TypedResults.Ok(answer);
    }

    /// <summary>Refuses a change of something that the sender has seen otherwise.</summary>
    /// <param name="current">What there is now; null for nothing.</param>
    /// <exception cref="RefusedException">412: it is no longer what If-Match says.</exception>
    public void Require<T>(T? current)
        where T : class
    {
        var wanted = Http.Request.GetTypedHeaders().IfMatch;
        if (wanted.Count == 0)
            return;
        var matches = current is not null
            && wanted.Any(known => known == EntityTagHeaderValue.Any || known.Compare(Of(current), useStrongComparison: true));
        if (!matches)
            throw new RefusedException(StatusCodes.Status412PreconditionFailed, "it was changed meanwhile: read it again, then repeat the change");
    }

    private EntityTagHeaderValue Of<T>(T answer)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(answer, json.Value.SerializerOptions);
        return new EntityTagHeaderValue($"\"{Convert.ToHexStringLower(SHA256.HashData(bytes))[..32]}\"");
    }
}
