using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Qbb.Inference.Decoding;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>Puts OpenAI's API for one model into a server.</summary>
public static class ServingExtensions
{
    internal const string Health = "/health";

    /// <summary>How long running streams may take to end by themselves when the server is told to stop.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    /// <param name="services">Of the server.</param>
    /// <param name="model">What requests are read with.</param>
    /// <param name="decoder">While the server runs nobody else may use it.</param>
    /// <param name="key">Without which nothing but /health is answered; null for none.</param>
    /// <param name="degraded">The model with its first <see cref="ServedModel.DegradedBases"/> alone, for requests that start while others wait; on the same terms.</param>
    /// <param name="owner">What to dispose with the model; null where the decoders stay the caller's.</param>
    public static IServiceCollection AddServing(this IServiceCollection services, ServedModel model, IDecoder decoder, string? key, IDecoder? degraded = null, IDisposable? owner = null)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(new ServingAccess(key)).AddSingleton<ServingMeter>().AddSingleton<Routes>();
        services.AddSingleton(provider =>
        {
            var models = ActivatorUtilities.CreateInstance<ServedModels>(provider);
            models.Serve(model, decoder, degraded, owner);
            return models;
        });
        services.Configure<KestrelServerOptions>(options => options.Limits.MaxRequestBodySize = model.Limits.Body);
        return services;
    }

    /// <summary>Maps the routes. Those that are mapped besides are guarded by the key too.</summary>
    public static WebApplication MapServing(this WebApplication app)
    {
        var models = app.Services.GetRequiredService<ServedModels>();
        var routes = app.Services.GetRequiredService<Routes>();
        app.Lifetime.ApplicationStopping.Register(() => models.Drain(Grace));
        app.UseMiddleware<ServingErrors>();
        app.MapPost("/v1/completions", (RequestDelegate)routes.CompletionsAsync);
        app.MapPost("/v1/chat/completions", (RequestDelegate)routes.ChatAsync);
        app.MapGet("/v1/models", (RequestDelegate)routes.ModelsAsync);
        app.MapGet("/v1/models/{**name}", (RequestDelegate)routes.ModelAsync);
        app.MapGet(Health, (RequestDelegate)routes.HealthAsync);
        return app;
    }
}
