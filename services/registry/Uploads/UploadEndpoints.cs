using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Uploads;

/// <summary>New versions.</summary>
internal static class UploadEndpoints
{
    private static readonly string[] s_tables = ["models", "versions", "pipelines"];

    public static void MapUploads(this IEndpointRouteBuilder routes) =>
        routes.MapPost("/api/models/{name}/versions", Post).WithTags("versions").WithMetadata(Idempotent.Mark)
            .WithSummary("Creates a version from uploaded files and starts the pipelines of the policies. The same files again return the existing version.")
            .ProducesProblem(400).ProducesProblem(409);

    private static async Task<Results<Created<UploadedVersion>, Ok<UploadedVersion>>> Post(
        string name, VersionRequest request, IServiceScopeFactory scopes, HttpContext http, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            await using var scope = scopes.CreateAsyncScope();
            try
            {
                var (version, isNew) = await scope.ServiceProvider.GetRequiredService<Uploader>().UploadAsync(name, request, IdempotencyKey.Of(http), cancellation);
                return isNew
                    ? TypedResults.Created(Uploader.AddressOf(version), version)
                    : TypedResults.Ok(version);
            }
            catch (DbUpdateException error) when (attempt < RegistryContext.Tries && RegistryContext.IsConflict(error, s_tables))
            {
                // Somebody made the same model, version or pipeline at the same moment: the next look finds it.
            }
        }
    }
}
