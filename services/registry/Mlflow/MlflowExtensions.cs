using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Qbb.Hosting.Options;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Mlflow.Client;
using Qbb.Registry.Pages;

namespace Qbb.Registry.Mlflow;

/// <summary>The exchange with an MLflow server. Where none is configured nothing is noted, and nothing runs.</summary>
internal static class MlflowExtensions
{
    public static IHostApplicationBuilder AddMlflow(this IHostApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddValidatedOptions<MlflowOptions>(MlflowOptions.Section);
        var options = builder.Configuration.GetSection(MlflowOptions.Section).Read<MlflowOptions>();
        options.PublicUrl ??= SiteAddress.Listening(builder.Configuration["Urls"]);
        services.AddSingleton(options);
        if (!options.IsOn)
            return builder;
        services.AddSingleton(provider => MlflowConnection.Connect(options, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new MlflowFiles(
            provider.GetRequiredService<IMlflowApi>(), new HttpClient(MlflowConnection.Network(options)) { Timeout = Timeout.InfiniteTimeSpan }));
        services.AddSingleton<ISaveChangesInterceptor, MlflowJournal>().AddSingleton<MlflowExperiment>().AddSingleton<MlflowStatus>();
        services.AddScoped<MlflowImporter>().AddHostedService<MlflowWatcher>();
        services.AddScoped<MlflowLinks>().AddScoped<MlflowRuns>().AddScoped<MlflowVersions>().AddScoped<MlflowSync>();
        services.AddHostedService<MlflowDispatcher>();
        return builder;
    }

    public static void MapMlflow(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/mlflow/imports", ImportAsync).WithMetadata(Idempotent.Mark).WithTags("mlflow").ProducesProblem(400).ProducesProblem(404).ProducesProblem(409).ProducesProblem(502)
            .WithSummary("Takes a registered model's version from MLflow; policies quantize it as any upload. The same files again return the existing version.");
        var pages = routes.MapPages("/mlflow");
        pages.MapGet("", MlflowPage.Show);
        pages.MapPost("/retry", async ([FromForm] long change, RegistryContext context, CancellationToken cancellation) =>
        {
            await context.MlflowChanges.Where(row => row.Id == change).ExecuteUpdateAsync(set => set.SetProperty(row => row.Error, (string?)null), cancellation);
            return new SeeOther("/mlflow");
        });
        pages.MapPost("/discard", async ([FromForm] long change, RegistryContext context, CancellationToken cancellation) =>
        {
            await context.MlflowChanges.Where(row => row.Id == change && row.Error != null).ExecuteDeleteAsync(cancellation);
            return new SeeOther("/mlflow");
        });
    }

    private static async Task<Ok<UploadedVersion>> ImportAsync(MlflowImportRequest request, IServiceScopeFactory scopes, MlflowOptions options, HttpContext http, CancellationToken cancellation)
    {
        if (!options.IsOn)
            throw RefusedException.Conflict("the registry has no MLflow server: set Mlflow:TrackingUri, as with qbb up --set Mlflow:TrackingUri=ADDRESS");
        for (var attempt = 1; ; attempt++)
        {
            await using var scope = scopes.CreateAsyncScope();
            try
            {
                return TypedResults.Ok(await scope.ServiceProvider.GetRequiredService<MlflowImporter>()
                    .ImportAsync(request.Name, request.Version, request.Model ?? request.Name, request.Quantize, IdempotencyKey.Of(http), cancellation));
            }
            catch (DbUpdateException error) when (attempt < RegistryContext.Tries && MlflowImporter.IsConflict(error))
            {
                // The next look finds what somebody else made.
            }
            catch (MlflowException error)
            {
                throw error.IsMissing ? RefusedException.NotFound(error.Message)
                    : error.IsRefusal ? RefusedException.Invalid(error.Message)
                    : new RefusedException(StatusCodes.Status502BadGateway, error.Message);
            }
        }
    }
}
