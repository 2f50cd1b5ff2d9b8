using System.ComponentModel.DataAnnotations;
using k8s;
using Microsoft.Extensions.Options;
using Qbb.Api;
using Qbb.Hosting.Options;

namespace Qbb.Dispatcher;

/// <summary>Section <c>Dispatcher</c> of the configuration.</summary>
public sealed class DispatcherOptions : IValidatableObject
{
    public const string Section = "Dispatcher";

    /// <summary>The registry's address.</summary>
    public string Registry { get; set; } = "";

    /// <summary>
    /// A folder with a Job manifest for each queue, QUEUE.yaml, and QUEUE.cpu.yaml for units that use no GPU; its parallelism is the most pods of one
    /// pipeline's stage.
    /// </summary>
    public string Templates { get; set; } = "";

    /// <summary>Where the Jobs are.</summary>
    public string Namespace { get; set; } = "";

    /// <summary>The Deployment that owns the Jobs: they go with it. Null for none.</summary>
    public string? Owner { get; set; }

    /// <summary>The address of the Kubernetes API without authentication, as of kubectl proxy; null for that of the cluster that this pod is in.</summary>
    public string? ApiServer { get; set; }

    [Range(0.05, 600)]
    public double PollSeconds { get; set; } = 5;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!IsAddress(Registry))
            yield return new($"Dispatcher:Registry is {(Registry.Length == 0 ? "not set" : Registry)}; give the registry's address, such as http://qbb-registry");
        if (!Directory.Exists(Templates))
            yield return new($"Dispatcher:Templates is {(Templates.Length == 0 ? "not set" : Templates)}; give the folder with a Job manifest for each queue");
        if (string.IsNullOrWhiteSpace(Namespace))
            yield return new("Dispatcher:Namespace is not set; give the namespace of the Jobs");
        if (ApiServer is not null && !IsAddress(ApiServer))
            yield return new($"Dispatcher:ApiServer is {ApiServer}; give an address such as http://127.0.0.1:8001, or none inside a cluster");

        static bool IsAddress(string text) => Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https";
    }
}

/// <summary>The service that runs pipelines as Kubernetes Jobs.</summary>
public static class DispatcherExtensions
{
    public static IHostApplicationBuilder AddDispatcher(this IHostApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddValidatedOptions<DispatcherOptions>(DispatcherOptions.Section);
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton(provider => RegistryApi.Connect(new Uri(Options(provider).Registry), RetryOptions.None));
        services.AddSingleton<IKubernetes>(provider => new Kubernetes(Options(provider).ApiServer is { } address
            ? new KubernetesClientConfiguration { Host = address }
            : KubernetesClientConfiguration.InClusterConfig()));
        services.AddSingleton(provider => JobTemplates.Read(Options(provider).Templates));
        services.AddSingleton<JobApi>();
        services.AddHostedService<DispatchLoop>();
        return builder;
    }

    private static DispatcherOptions Options(IServiceProvider provider) => provider.GetRequiredService<IOptions<DispatcherOptions>>().Value;
}
