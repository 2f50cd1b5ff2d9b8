using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>Drives a registry through HTTP, as its users do.</summary>
internal sealed class RegistryCalls(string url) : IDisposable
{
    // For looks that are repeated anyhow: between retries it would not see that the registry is back.
    private readonly IRegistryApi _once = RegistryApi.Connect(new Uri(url), RetryOptions.None);

    public IRegistryApi Api { get; } = RegistryApi.Connect(new Uri(url));

    /// <summary>Uploads a model without quantizing it; the version's number.</summary>
    public async Task<int> UploadAsync(string name, string model) => (await PublishAsync(name, model, quantize: false)).Version;

    /// <summary>Uploads a model; what the registry answers.</summary>
    public async Task<UploadedVersion> PublishAsync(string name, string model, bool quantize = true) =>
        await Api.CreateVersionAsync(name, new VersionRequest(await Uploading.RunAsync(Api, model, true, (_, _, _) => { }, CancellationToken.None), Quantize: quantize));

    /// <summary>Quantizes by a recipe whatever is uploaded.</summary>
    public Task SetPolicyAsync(string name, PipelineRecipe recipe) =>
        Api.SetPolicyAsync(name, new PolicyChange("*", [new NamedRecipe(name, JsonNode.Parse(recipe.ToJson())!)]));

    /// <summary>Starts a pipeline; its id.</summary>
    public async Task<Guid> StartAsync(string name, int version, PipelineRecipe recipe) =>
        (await Api.StartPipelineAsync(new PipelineRequest(name, version, JsonNode.Parse(recipe.ToJson())))).Id;

    /// <summary>Waits for a pipeline's end, over restarts of the registry.</summary>
    public async Task<PipelineView> EndAsync(Guid pipeline, TimeSpan patience, Func<string>? logs = null)
    {
        var watch = Stopwatch.StartNew();
        PipelineView? state = null;
        while (true)
        {
            try
            {
                state = await _once.GetPipelineAsync(pipeline);
                if (state.State.HasEnded())
                    return state;
            }
            catch (Exception error) when (error is InvalidInputException or HttpRequestException or IOException)
            {
                // The registry is being restarted.
            }
            if (watch.Elapsed > patience)
                watch.Elapsed.ShouldBeLessThan(patience, $"{state}\n{logs?.Invoke()}");
            await Task.Delay(100);
        }
    }

    /// <summary>Tries again while the registry is away.</summary>
    public async Task<T> PatientlyAsync<T>(Func<Task<T>> call)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (Exception error) when (attempt < 60 && error is (InvalidInputException or HttpRequestException or IOException))
            {
                await Task.Delay(1000);
            }
        }
    }

    public void Dispose()
    {
        Api.Dispose();
        _once.Dispose();
    }
}
