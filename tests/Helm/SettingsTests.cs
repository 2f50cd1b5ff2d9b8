using System.Net;
using System.Reflection;
using System.Text.Json;
using k8s.Models;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Qbb.Dispatcher;
using Qbb.Evaluator;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Quantizer;
using Qbb.Registry;
using Qbb.Registry.Data;
using Qbb.Synthdata;
using Qbb.Tests;
using Qbb.Workers;

namespace Qbb.Helm.Tests;

/// <summary>Services accept the settings that the chart's pods give them: an unknown or unusable one would keep them from starting.</summary>
public sealed class SettingsTests : IDisposable
{
    private static readonly string[] s_ofTheRuntime = ["HOME", "XDG_CACHE_HOME", "DOTNET_EnableDiagnostics", "Urls"];

    private static readonly HashSet<string> s_sections =
    [
        .. new[] { typeof(BusOptions), typeof(DatabaseOptions), typeof(WorkerOptions), typeof(DispatcherOptions) }.SelectMany(type => type.Assembly.GetTypes())
            .Select(type => type.GetField("Section", BindingFlags.Public | BindingFlags.Static)?.GetValue(null)).OfType<string>(),
        "Logging",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Matrix.All), MemberType = typeof(Matrix))]
    public async Task Services_accept_their_settings(string values)
    {
        s_sections.ShouldContain("Registry");
        var pods = Chart.Render(4, Matrix.Values[values]).Pods().Where(pod => !pod.Owner.StartsWith("StatefulSet", StringComparison.Ordinal) && !pod.Owner.StartsWith("Pod", StringComparison.Ordinal)).ToList();
        // Four services and the migration; where there are Jobs the dispatcher, and one more of a worker with a GPU.
        pods.Count.ShouldBe(values switch { "bare" => 4, "jobs" => 7, _ => 5 });
        foreach (var container in pods.SelectMany(pod => pod.Spec.Containers.Concat(pod.Spec.InitContainers ?? [])))
            await AcceptAsync(container);
    }

    [Fact]
    public async Task An_unknown_setting_is_found()
    {
        var container = Chart.Render(4, "registry: { settings: { Pipelines:Outstandign: 3 } }").Get<V1Deployment>("qbb-registry").Spec.Template.Spec.Containers[0];
        (await Should.ThrowAsync<OptionsValidationException>(() => AcceptAsync(container))).Message.ShouldContain("Outstandign");
    }

    [Fact]
    public void The_policy_from_the_start_is_that_of_one_process()
    {
        var recipe = Chart.Render(4).Get<V1Deployment>("qbb-registry").Spec.Template.Spec.Containers[0].Env.Single(variable => variable.Name == "Registry__DefaultPolicy__Recipes__qbb-3").Value;
        var usual = JsonDocument.Parse(File.ReadAllText(Path.Combine(Reference.Root, "services", "cli", "Registry", "default-recipe.json"))).RootElement;
        JsonElement.DeepEquals(JsonDocument.Parse(recipe).RootElement, usual).ShouldBeTrue(recipe);
    }

    private async Task AcceptAsync(V1Container container)
    {
        var arguments = new List<string> { "--Logging:LogLevel:Default=None" };
        foreach (var variable in container.Env)
        {
            var name = variable.Name.Replace("__", ":", StringComparison.Ordinal);
            if (s_ofTheRuntime.Contains(name))
                continue;
            s_sections.ShouldContain(name.Split(':')[0], variable.Name);
            // This machine need not have a GPU.
            if (name == "Worker:Device")
                variable.Value.ShouldBeOneOf("cpu", "cuda");
            else
                arguments.Add($"--{name}={Local(variable.Value ?? (variable.ValueFrom.ResourceFieldRef is null ? "key" : "4"), container)}");
        }
        Action<WebApplicationBuilder> add = container.Name switch
        {
            "registry" => builder => builder.AddRegistry(),
            "migrate" => builder => builder.AddMigration(),
            "synthdata" => builder => builder.AddSynthdata(),
            "quantizer" => builder => builder.AddQuantizer(),
            "evaluator" => builder => builder.AddEvaluator(),
            "dispatcher" => builder => builder.AddDispatcher(),
            _ => throw new InvalidOperationException($"unknown container {container.Name}"),
        };
        if (container.Name != "migrate")
            arguments.AddRange(container.Args ?? []);
        await using var app = ServiceHost.Build([.. arguments], container.Name, $"http://{IPAddress.Loopback}:0", add, hasBus: container.Name is not ("migrate" or "dispatcher"));
        app.Services.GetRequiredService<IStartupValidator>().Validate();
    }

    // Files of the pod as files of the test; each must be in a volume that the container mounts.
    private string Local(string value, V1Container container)
    {
        if (!value.StartsWith('/') || value.Length == 1 || value == "/models")
            return value;
        container.VolumeMounts.ShouldContain(mount => (value + "/").StartsWith(mount.MountPath + "/", StringComparison.Ordinal), value);
        var file = _folder.File(value.TrimStart('/').Replace('/', '-'));
        if (value.StartsWith("/run/secrets/", StringComparison.Ordinal))
            File.WriteAllText(file, "secret\n");
        if (value.StartsWith("/etc/", StringComparison.Ordinal))
            Directory.CreateDirectory(file);
        return file;
    }
}
