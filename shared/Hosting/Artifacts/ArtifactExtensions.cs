using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Hosting.Options;

namespace Qbb.Hosting.Artifacts;

/// <summary>The artifact store that the configuration names.</summary>
public static class ArtifactExtensions
{
    public static IHostApplicationBuilder AddArtifacts(this IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<ArtifactOptions>(ArtifactOptions.Section);
        builder.Services.AddSingleton(services => new LocalArtifactStore(services.GetRequiredService<IOptions<ArtifactOptions>>().Value.Folder));
        builder.Services.AddSingleton<IArtifactStore>(services => services.GetRequiredService<LocalArtifactStore>());
        builder.Services.AddSingleton<ILocalBlobs>(services => services.GetRequiredService<LocalArtifactStore>());
        builder.Services.AddSingleton<IUnitResults>(services =>
            new LocalUnitResults(services.GetRequiredService<IArtifactStore>(), services.GetRequiredService<LocalArtifactStore>().Root));
        return builder;
    }
}
