using Amazon.S3;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Artifacts.S3;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Hosting.Artifacts;

/// <summary>The artifact store that the configuration names.</summary>
public static class ArtifactExtensions
{
    public static IHostApplicationBuilder AddArtifacts(this IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<ArtifactOptions>(ArtifactOptions.Section);
        if (builder.Configuration.GetSection(ArtifactOptions.Section).Read<ArtifactOptions>().Store == ArtifactPlace.S3)
            AddBucket(builder.Services);
        else
            AddFolder(builder.Services);
        return builder;
    }

    /// <summary>The store alone, for what is put there before a service starts.</summary>
    /// <exception cref="OptionsValidationException">A setting cannot be used.</exception>
    /// <exception cref="ArtifactStoreException">The folder cannot be made.</exception>
    public static IArtifactStore OpenStore(IConfiguration configuration)
    {
        var options = configuration.GetSection(ArtifactOptions.Section).Read<ArtifactOptions>();
        return options.Store == ArtifactPlace.S3
            ? new S3ArtifactStore(new ArtifactBucket(options.S3.CreateClient(), options.S3.Bucket, options.S3.KeyPrefix))
            : new LocalArtifactStore(options.Folder);
    }

    private static void AddFolder(IServiceCollection services)
    {
        services.AddSingleton(provider => new LocalArtifactStore(Options(provider).Folder));
        services.AddSingleton<IArtifactStore>(provider => provider.GetRequiredService<LocalArtifactStore>());
        services.AddSingleton<ILocalBlobs>(provider => provider.GetRequiredService<LocalArtifactStore>());
        services.AddSingleton<IUnitResults>(provider =>
            new LocalUnitResults(provider.GetRequiredService<IArtifactStore>(), provider.GetRequiredService<LocalArtifactStore>().Root));
    }

    private static void AddBucket(IServiceCollection services)
    {
        services.AddSingleton(provider => Options(provider).S3.CreateClient());
        services.AddSingleton(provider =>
            new ArtifactBucket(provider.GetRequiredService<IAmazonS3>(), Options(provider).S3.Bucket, Options(provider).S3.KeyPrefix));
        services.AddSingleton<IDependency, S3Dependency>();
        services.AddSingleton<IArtifactStore, S3ArtifactStore>();
        services.AddSingleton<IUnitResults, S3UnitResults>();
        services.AddSingleton<ILocalBlobs>(provider =>
            new CachedBlobs(provider.GetRequiredService<IArtifactStore>(), Options(provider).CacheFolder, Options(provider).CacheBytes));
    }

    private static ArtifactOptions Options(IServiceProvider provider) => provider.GetRequiredService<IOptions<ArtifactOptions>>().Value;
}
