using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Qbb.Dispatcher.Tests;

/// <summary>
/// The part of the Kubernetes API that the dispatcher uses, as its documentation has it: lists by labels in pages, 409 for a name that is taken, 404 for
/// one that is not, 410 for a continuation that is too old, 429 with Retry-After, and 422 for unknown fields.
/// </summary>
public sealed class FakeKubernetes : IAsyncDisposable
{
    private const string Jobs = "/apis/batch/v1/namespaces/{space}/jobs";
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<(int Status, int? RetryAfter)> _refusals = [];

    private FakeKubernetes(WebApplication app) => _app = app;

    public string Url => _app.Urls.Single();

    /// <summary>By name.</summary>
    public ConcurrentDictionary<string, V1Job> All { get; } = [];

    /// <summary>Method and path of every request.</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    /// <summary>How many Jobs a page has.</summary>
    public int PageSize { get; set; } = int.MaxValue;

    /// <summary>Continuations that are refused as too old.</summary>
    public int Expired { get; set; }

    public static async Task<FakeKubernetes> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var fake = new FakeKubernetes(builder.Build());
        fake.Map();
        await fake._app.StartAsync();
        return fake;
    }

    /// <summary>Answers the next request with an error.</summary>
    public void Refuse(int status, int? retryAfter = null) => _refusals.Enqueue((status, retryAfter));

    /// <summary>Marks a Job as ended, as the Job controller does.</summary>
    public void End(string name, string condition) =>
        All[name].Status = new V1JobStatus { Conditions = [new V1JobCondition { Type = condition, Status = "True" }] };

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private void Map()
    {
        _app.Use(async (http, next) =>
        {
            Requests.Enqueue($"{http.Request.Method} {http.Request.Path}");
            if (!_refusals.TryDequeue(out var refusal))
            {
                await next();
                return;
            }
            if (refusal.RetryAfter is { } seconds)
                http.Response.Headers.RetryAfter = $"{seconds}";
            await Status(refusal.Status, "refused by the test").ExecuteAsync(http);
        });
        _app.MapGet(Jobs, (string labelSelector, int limit, string? @continue) =>
        {
            if (@continue is not null && Expired-- > 0)
                return Status(410, "The provided continue parameter is too old");
            var label = labelSelector.Split('=');
            var from = int.Parse(@continue ?? "0");
            var found = All.Values.Where(job => job.GetLabel(label[0]) == label[1]).OrderBy(job => job.Metadata.Name).ToList();
            var page = found.Skip(from).Take(Math.Min(limit, PageSize)).ToList();
            var end = from + page.Count;
            return Json(new V1JobList { Items = page, Metadata = new V1ListMeta { ContinueProperty = end < found.Count ? $"{end}" : null } });
        });
        _app.MapPost(Jobs, async (HttpRequest request) =>
        {
            V1Job job;
            try
            {
                // JSON is YAML; in this reader an unknown field is an error.
                job = KubernetesYaml.Deserialize<V1Job>(await new StreamReader(request.Body).ReadToEndAsync(), strict: true);
            }
            catch (Exception error)
            {
                return Status(422, error.GetBaseException().Message);
            }
            job.Metadata.Uid = Guid.NewGuid().ToString();
            return All.TryAdd(job.Metadata.Name, job) ? Json(job, 201) : Status(409, $"jobs.batch \"{job.Metadata.Name}\" already exists");
        });
        _app.MapPatch(Jobs + "/{name}", async (string name, HttpRequest request) =>
        {
            if (!All.TryGetValue(name, out var job))
                return Status(404, $"jobs.batch \"{name}\" not found");
            var patch = (await JsonNode.ParseAsync(request.Body))!;
            job.Spec.Parallelism = patch["spec"]!["parallelism"]!.GetValue<int>();
            return Json(job);
        });
        _app.MapDelete(Jobs + "/{name}", (string name, string? propagationPolicy) =>
        {
            // Without a policy the Job's pods would stay.
            if (propagationPolicy is not ("Background" or "Foreground"))
                return Status(422, "pods would be orphaned");
            return All.TryRemove(name, out _) ? Status(200, "deleted") : Status(404, $"jobs.batch \"{name}\" not found");
        });
        _app.MapGet("/apis/apps/v1/namespaces/{space}/deployments/{name}", (string name) =>
            Json(new V1Deployment { Metadata = new V1ObjectMeta { Name = name, Uid = "uid-of-" + name } }));
    }

    private static IResult Json<T>(T value, int status = 200) => Results.Text(KubernetesJson.Serialize(value), "application/json", statusCode: status);

    private static IResult Status(int code, string message) =>
        Results.Json(new { apiVersion = "v1", kind = "Status", status = code < 400 ? "Success" : "Failure", message, code, reason = $"{(HttpStatusCode)code}" }, statusCode: code);
}
