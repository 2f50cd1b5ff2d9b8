using System.Net;
using System.Net.Http.Json;
using System.Text;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Qbb.Api;
using Qbb.Hosting.Startup;
using Qbb.Tests;

namespace Qbb.Dispatcher.Tests;

/// <summary>The dispatcher against a Kubernetes API of the test's own and a registry that answers what the test says.</summary>
public sealed class DispatcherTests : IAsyncLifetime
{
    private static readonly Guid s_one = Guid.Parse("00000000-0000-0000-0000-000000000001"), s_two = Guid.Parse("00000000-0000-0000-0000-000000000002");

    private readonly TemporaryFolder _folder = new();
    private readonly StaticRegistry _registry = new();
    private FakeKubernetes _kubernetes = null!;

    public async ValueTask InitializeAsync()
    {
        _kubernetes = await FakeKubernetes.StartAsync();
        _folder.Write("quantizer.yaml", Template("quantizer"));
        _folder.Write("evaluator.yaml", Template("evaluator"));
    }

    public async ValueTask DisposeAsync()
    {
        await _kubernetes.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Outstanding_units_become_a_job_of_as_many_pods_up_to_the_limit()
    {
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 2), new StageWork(s_two, "evaluate", "evaluator", 50), new StageWork(s_two, "sample", "synthdata", 3));
        // Nobody runs synthdata as Jobs here: it has standing workers.
        _kubernetes.All.Count.ShouldBe(2);
        var job = _kubernetes.All.Values.Single(job => job.GetLabel(JobPlan.StageLabel) == "decompose");
        (job.Spec.Parallelism, job.GetLabel(JobPlan.PipelineLabel), job.Spec.BackoffLimit, job.Metadata.NamespaceProperty).ShouldBe((2, $"{s_one}", 6, "models"));
        job.Spec.Template.Spec.Containers[0].Args.ShouldBe(["--until-idle", "30s", "--stage", "decompose"]);
        job.Spec.Template.Metadata.Labels.ShouldContainKeyAndValue("app", "quantizer");
        job.Spec.Template.Metadata.Labels.ShouldContainKeyAndValue(JobPlan.StageLabel, "decompose");
        (job.OwnerReferences()[0].Kind, job.OwnerReferences()[0].Uid).ShouldBe(("Deployment", "uid-of-qbb-dispatcher"));
        job.Metadata.Name.Length.ShouldBeLessThanOrEqualTo(63);
        _kubernetes.All.Values.Single(job => job.GetLabel(JobPlan.StageLabel) == "evaluate").Spec.Parallelism.ShouldBe(4);
    }

    [Fact]
    public async Task A_second_dispatcher_makes_no_second_job()
    {
        StageWork[] work = [new(s_one, "decompose", "quantizer", 2), new(s_two, "decompose", "quantizer", 1)];
        await LookAsync(work);
        var before = _kubernetes.All.Keys.ToList();
        await LookAsync(work);
        _kubernetes.Requests.Count(request => request.StartsWith("POST", StringComparison.Ordinal)).ShouldBe(2);
        // Two that look at the same moment: the second finds the name taken, and goes on.
        _kubernetes.All.Clear();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => LookAsync(work)));
        _kubernetes.All.Keys.ShouldBe(before, ignoreOrder: true);
    }

    [Fact]
    public async Task More_units_widen_a_job_and_fewer_leave_it()
    {
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 1));
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 3));
        _kubernetes.All.Values.Single().Spec.Parallelism.ShouldBe(3);
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 1));
        _kubernetes.All.Values.Single().Spec.Parallelism.ShouldBe(3);
        await LookAsync(new StageWork(s_one, "publish", "", 0));
        // Its pods find nothing and end by themselves.
        _kubernetes.All.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_pipeline_that_has_ended_leaves_no_job()
    {
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 2), new StageWork(s_two, "decompose", "quantizer", 2));
        // The Job of somebody else stays.
        _kubernetes.All["other"] = new V1Job { Metadata = new V1ObjectMeta { Name = "other" } };
        // Another process: it finds by labels what the first left.
        await LookAsync(new StageWork(s_two, "decompose", "quantizer", 2));
        _kubernetes.All.Keys.ShouldBe(["other", JobPlan.NameOf(new(s_two, "decompose", "quantizer", 2))], ignoreOrder: true);
        await LookAsync();
        _kubernetes.All.Keys.ShouldBe(["other"]);
    }

    [Fact]
    public async Task An_ended_job_is_replaced_where_it_was_complete_and_waits_where_it_failed()
    {
        var work = new StageWork(s_one, "distil", "quantizer", 1);
        var name = JobPlan.NameOf(work);
        await LookAsync(work);
        var first = _kubernetes.All[name].Metadata.Uid;
        _kubernetes.End(name, "Complete");
        await LookAsync(work);
        _kubernetes.All.ShouldBeEmpty();
        await LookAsync(work);
        _kubernetes.All[name].Metadata.Uid.ShouldNotBe(first);

        _kubernetes.End(name, "Failed");
        await LookAsync(work);
        await LookAsync(work);
        _kubernetes.All[name].Status.Conditions[0].Type.ShouldBe("Failed");
        // Its time to live is over.
        _kubernetes.All.Clear();
        await LookAsync(work);
        _kubernetes.All.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(null, 86_400)]
    [InlineData(0.5, 3_605)]
    [InlineData(120.0, 4_800)]
    [InlineData(1e12, 86_400)]
    public async Task The_deadline_is_the_plans_and_at_most_the_templates(double? seconds, long deadline)
    {
        _folder.Write("quantizer.yaml", Template("quantizer").Replace("backoffLimit:", "activeDeadlineSeconds: 86400\n  backoffLimit:", StringComparison.Ordinal));
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 1, seconds));
        _kubernetes.All.Values.Single().Spec.ActiveDeadlineSeconds.ShouldBe(deadline);
    }

    [Theory]
    // No GPU by the plan, by a plan that is not known, and by memory: in whole GPUs of 40 GB, at most the four of the template.
    [InlineData(0L, null, 0)]
    [InlineData(0L, 40.0, 0)]
    [InlineData(null, null, 4)]
    [InlineData(null, 40.0, 4)]
    [InlineData(1L, null, 4)]
    [InlineData(1L, 40.0, 1)]
    [InlineData(40_000_000_000L, 40.0, 1)]
    [InlineData(40_000_000_001L, 40.0, 2)]
    [InlineData(9_000_000_000L, 2.5, 4)]
    [InlineData(long.MaxValue, 40.0, 4)]
    public async Task A_job_asks_for_the_gpus_of_its_plan(long? bytes, double? gigabytes, int expected)
    {
        UseGpus(gigabytes);
        await LookAsync(new StageWork(s_one, "decompose", "quantizer", 1, GpuBytes: bytes));
        var pod = _kubernetes.All.Values.Single().Spec.Template.Spec;
        GpusOf(_kubernetes.All.Values.Single()).ShouldBe(expected);
        pod.Containers[0].Image.ShouldBe(expected > 0 ? "qbb-quantizer:cuda" : "qbb-quantizer:1");
        pod.RuntimeClassName.ShouldBe(expected > 0 ? "nvidia" : null);
    }

    [Fact]
    public async Task A_job_without_the_gpus_that_its_queue_needs_now_is_replaced()
    {
        UseGpus(40);
        var small = new StageWork(s_one, "decompose", "quantizer", 1, GpuBytes: 0);
        await LookAsync(small);
        var name = JobPlan.NameOf(small);
        GpusOf(_kubernetes.All[name]).ShouldBe(0);
        // Its pods would take these units, too.
        var large = new StageWork(s_two, "distil", "quantizer", 1, GpuBytes: 70_000_000_000);
        await LookAsync(small, large);
        _kubernetes.All.Keys.ShouldBe([JobPlan.NameOf(large)]);
        await LookAsync(small, large);
        _kubernetes.All.Values.Select(GpusOf).ShouldBe([2, 2]);
        // Work on another queue changes nothing, and nobody is stopped to give a GPU back.
        await LookAsync(small, new StageWork(s_two, "evaluate", "evaluator", 1, GpuBytes: 70_000_000_000));
        GpusOf(_kubernetes.All[name]).ShouldBe(2);
        _kubernetes.Requests.Count(request => request.StartsWith("DELETE", StringComparison.Ordinal)).ShouldBe(1);
    }

    [Fact]
    public void A_stage_that_no_pod_has_the_memory_for_is_told()
    {
        UseGpus(40);
        var templates = JobTemplates.Read(_folder.Path);
        Warning(160).ShouldBeNull();
        Warning(200).ShouldNotBeNull().ShouldStartWith("by the plan its units need 200 GB of GPU memory and its pods have 160 GB");

        string? Warning(long gigabytes) =>
            ((JobAction.Create)JobPlan.Of([new(s_one, "distil", "quantizer", 1, GpuBytes: gigabytes * 1_000_000_000)], [], templates).Single()).Warning;
    }

    [Theory]
    [InlineData("nvidia.com/gpu\"", "amd.com/gpu\"", "which is not among the limits")]
    [InlineData("'40'", "'many'", "give gigabytes")]
    [InlineData("'40'", "'-1'", "give gigabytes")]
    public void A_template_whose_gpus_contradict_one_another_is_named(string from, string to, string reason)
    {
        UseGpus(40);
        var file = Path.Combine(_folder.Path, "quantizer.yaml");
        File.WriteAllText(file, File.ReadAllText(file).Replace(from, to, StringComparison.Ordinal));
        Should.Throw<StartupException>(() => JobTemplates.Read(_folder.Path)).Message.ShouldContain(reason);
    }

    [Fact]
    public async Task Throttling_and_failures_of_the_api_are_waited_out()
    {
        var work = new StageWork(s_one, "decompose", "quantizer", 1);
        _kubernetes.Refuse(429, retryAfter: 7);
        var busy = await Should.ThrowAsync<BusyApiException>(() => LookAsync(work));
        (busy.Wait, busy.Message).ShouldBe((TimeSpan.FromSeconds(7), "cannot list Jobs now: the Kubernetes API answers 429"));
        _kubernetes.Refuse(503);
        (await Should.ThrowAsync<BusyApiException>(() => LookAsync(work))).Wait.ShouldBeNull();
        _kubernetes.Refuse(403);
        (await Should.ThrowAsync<BusyApiException>(() => LookAsync(work))).Message.ShouldContain("the dispatcher's Role must allow it");
        await LookAsync(work);
        _kubernetes.All.Count.ShouldBe(1);
        // A pipeline whose end the registry could not tell keeps its Job.
        _registry.IsAway = true;
        await Should.ThrowAsync<RegistryAwayException>(() => LookAsync());
        _kubernetes.All.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Lists_are_read_in_pages_and_from_the_start_where_one_is_too_old()
    {
        var work = Enumerable.Range(1, 5).Select(k => new StageWork(Guid.NewGuid(), "decompose", "quantizer", 1)).ToArray();
        await LookAsync(work);
        _kubernetes.PageSize = 2;
        _kubernetes.Expired = 1;
        _kubernetes.Requests.Clear();
        await LookAsync(work);
        _kubernetes.Requests.Count(request => request.StartsWith("GET", StringComparison.Ordinal) && request.EndsWith("jobs", StringComparison.Ordinal)).ShouldBe(5);
        _kubernetes.Requests.ShouldAllBe(request => !request.StartsWith("POST") && !request.StartsWith("DELETE"));
    }

    [Theory]
    [InlineData("kind: Job", "kind: Jub")]
    [InlineData("backoffLimit:", "backofLimit:")]
    [InlineData("containers: [{ name: quantizer, image: 'qbb-quantizer:1', args: [--until-idle, 30s] }]", "containers: []")]
    public void A_template_that_is_not_a_job_is_named(string from, string to)
    {
        _folder.Write("quantizer.yaml", Template("quantizer").Replace(from, to, StringComparison.Ordinal));
        Should.Throw<StartupException>(() => JobTemplates.Read(_folder.Path)).Message.ShouldContain("quantizer.yaml is not a Job manifest");
    }

    private async Task LookAsync(params StageWork[] work)
    {
        _registry.Work = work;
        var options = Options.Create(new DispatcherOptions { Registry = "http://registry", Templates = _folder.Path, Namespace = "models", Owner = "qbb-dispatcher" });
        using var registry = RegistryApi.Connect(new Uri("http://registry"), RetryOptions.None, _registry);
        using var client = new Kubernetes(new KubernetesClientConfiguration { Host = _kubernetes.Url });
        using var loop = new DispatchLoop(registry, new JobApi(client, options), JobTemplates.Read(_folder.Path), options, TimeProvider.System, NullLogger<DispatchLoop>.Instance);
        await loop.LookAsync(CancellationToken.None);
    }

    private void UseGpus(double? gigabytes)
    {
        _folder.Write("quantizer.cpu.yaml", Template("quantizer"));
        _folder.Write("quantizer.yaml", Template("quantizer")
            .Replace("Helm }", $"Helm }}, annotations: {{ {JobGpu.ResourceName}: \"nvidia.com/gpu\"{(gigabytes is { } size ? $", {JobGpu.Gigabytes}: '{size}'" : "")} }}", StringComparison.Ordinal)
            .Replace("restartPolicy:", "runtimeClassName: nvidia\n      restartPolicy:", StringComparison.Ordinal)
            .Replace("'qbb-quantizer:1'", "'qbb-quantizer:cuda', resources: { limits: { memory: 16Gi, nvidia.com/gpu: 4 } }", StringComparison.Ordinal));
    }

    private static int GpusOf(V1Job job) => JobGpu.CountOf(job, "nvidia.com/gpu");

    private static string Template(string name) => $$"""
        apiVersion: batch/v1
        kind: Job
        metadata: { labels: { app: {{name}}, app.kubernetes.io/managed-by: Helm } }
        spec:
          parallelism: 4
          backoffLimit: 6
          template:
            metadata: { labels: { app: {{name}} } }
            spec:
              restartPolicy: Never
              containers: [{ name: {{name}}, image: 'qbb-{{name}}:1', args: [--until-idle, 30s] }]
        """;

    private sealed class StaticRegistry : HttpMessageHandler
    {
        public IReadOnlyList<StageWork> Work { get; set; } = [];

        public bool IsAway { get; set; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (IsAway)
                throw new HttpRequestException(HttpRequestError.ConnectionError, "refused");
            request.RequestUri!.AbsolutePath.ShouldBe("/api/pipelines/work");
            return Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK) { Content = JsonContent.Create(Work, options: Wire.Json) });
        }
    }
}
