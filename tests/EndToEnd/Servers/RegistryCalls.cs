using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>Drives a registry through HTTP, as its users do.</summary>
internal sealed class RegistryCalls(string url) : IDisposable
{
    private readonly RegistryClient _client = new(new Uri(url + "/"));

    public RegistryClient Client => _client;

    /// <summary>Uploads a model without quantizing it; the version's number.</summary>
    public async Task<int> UploadAsync(string name, string model) =>
        (await PublishAsync(name, model, quantize: false))["version"]!.GetValue<int>();

    /// <summary>Uploads a model; what the registry answers.</summary>
    public async Task<JsonObject> PublishAsync(string name, string model, bool quantize = true)
    {
        var files = await Uploading.RunAsync(_client, model, (_, _, _) => { }, CancellationToken.None);
        return await _client.PostAsync($"api/models/{name}/versions", new JsonObject { ["files"] = files, ["quantize"] = quantize }, CancellationToken.None);
    }

    /// <summary>Quantizes by a recipe whatever is uploaded.</summary>
    public async Task SetPolicyAsync(string name, PipelineRecipe recipe)
    {
        using var http = new HttpClient();
        var policy = new JsonObject
        {
            ["models"] = "*",
            ["recipes"] = new JsonArray(new JsonObject { ["name"] = name, ["recipe"] = JsonNode.Parse(recipe.ToJson()) }),
        };
        (await http.PutAsJsonAsync($"{url}/api/policies/{name}", policy)).EnsureSuccessStatusCode();
    }

    /// <summary>Starts a pipeline; its id.</summary>
    public async Task<string> StartAsync(string name, int version, PipelineRecipe recipe) =>
        (await _client.PostAsync("api/pipelines", new JsonObject
        {
            ["model"] = name,
            ["version"] = version,
            ["recipe"] = JsonNode.Parse(recipe.ToJson()),
        }, CancellationToken.None))["id"]!.ToString();

    /// <summary>Waits for a pipeline's end, over restarts of the registry.</summary>
    public async Task<JsonObject> EndAsync(string pipeline, TimeSpan patience, Func<string>? logs = null)
    {
        var watch = Stopwatch.StartNew();
        JsonObject? state = null;
        while (true)
        {
            try
            {
                state = await _client.GetAsync($"api/pipelines/{pipeline}", CancellationToken.None);
                if (Watching.HasEnded(state))
                    return state;
            }
            catch (InvalidInputException)
            {
                // The registry is being restarted.
            }
            if (watch.Elapsed > patience)
                watch.Elapsed.ShouldBeLessThan(patience, $"{state}\n{logs?.Invoke()}");
            await Task.Delay(200);
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

    public Task<JsonObject> VersionAsync(string name, string reference) => _client.GetAsync($"api/models/{name}/versions/{reference}", CancellationToken.None);

    public void Dispose() => _client.Dispose();
}
