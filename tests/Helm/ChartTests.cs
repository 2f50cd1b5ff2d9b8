using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using k8s;
using k8s.Models;
using Qbb.Dispatcher;
using Qbb.Hosting.Bus;
using Qbb.Registry.Webhooks;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Helm.Tests;

/// <summary>What the chart renders, by helm 3 and by helm 4, over the values that operators choose.</summary>
public sealed partial class ChartTests
{
    private static readonly string[] s_workers = ["synthdata", "quantizer", "evaluator"];

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void The_chart_has_no_warning(int helm)
    {
        var (code, output, error) = Chart.Run(helm, "", "lint", "--strict", Chart.Folder);
        code.ShouldBe(0, output + error);
        output.ShouldNotContain("[WARNING]");
    }

    [Theory]
    [MemberData(nameof(Matrix.Both), MemberType = typeof(Matrix))]
    public void Every_object_has_known_fields_alone(int helm, string values)
    {
        var rendering = Chart.Render(helm, Matrix.Values[values]);
        rendering.Objects.Count.ShouldBeGreaterThan(8);
        var all = rendering.Objects.Select(made => $"{made.Kind} {made.Metadata.Name}").ToList();
        all.ShouldBeUnique();
        rendering.Objects.ShouldAllBe(made => made.Metadata.Labels["app.kubernetes.io/instance"] == Chart.Release && made.Metadata.Name.Length <= 63);
    }

    [Fact]
    public void An_unknown_field_is_found() =>
        Should.Throw<Exception>(() => new Rendering(Chart.Render(4).Text.Replace("terminationGracePeriodSeconds:", "terminationGracePeriod:", StringComparison.Ordinal)))
            .ToString().ShouldContain("terminationGracePeriod");

    [Theory]
    [MemberData(nameof(Matrix.All), MemberType = typeof(Matrix))]
    public void Both_versions_render_the_same(string values) =>
        WithoutPasswords(Chart.Render(3, Matrix.Values[values]).Text).ShouldBe(WithoutPasswords(Chart.Render(4, Matrix.Values[values]).Text));

    [Theory]
    [MemberData(nameof(Matrix.All), MemberType = typeof(Matrix))]
    public void Every_pod_is_restricted(string values)
    {
        var rendering = Chart.Render(4, Matrix.Values[values]);
        rendering.Pods().Count().ShouldBeGreaterThanOrEqualTo(4);
        foreach (var (owner, metadata, pod) in rendering.Pods())
        {
            // The dispatcher alone speaks to the Kubernetes API.
            pod.AutomountServiceAccountToken.ShouldBe(owner == "Deployment qbb-dispatcher", owner);
            pod.EnableServiceLinks.ShouldBe(false, owner);
            (pod.HostNetwork, pod.HostPID, pod.HostIPC).ShouldBe((null, null, null), owner);
            pod.SecurityContext.RunAsNonRoot.ShouldBe(true, owner);
            pod.SecurityContext.SeccompProfile.Type.ShouldBe("RuntimeDefault", owner);
            pod.SecurityContext.RunAsUser.ShouldNotBe(0, owner);
            if (values != "platform-chooses-users")
                pod.SecurityContext.FsGroup.ShouldNotBeNull(owner);
            (pod.Volumes ?? []).ShouldAllBe(volume => volume.HostPath == null, owner);
            rendering.All<V1ServiceAccount>().Single(account => account.Metadata.Name == pod.ServiceAccountName).AutomountServiceAccountToken.ShouldBe(false, owner);
            foreach (var container in pod.Containers.Concat(pod.InitContainers ?? []))
            {
                var context = container.SecurityContext;
                (context.AllowPrivilegeEscalation, context.ReadOnlyRootFilesystem, context.Privileged).ShouldBe((false, true, null), owner);
                context.Capabilities.Drop.ShouldBe(["ALL"], owner);
                context.Capabilities.Add.ShouldBeNull(owner);
                container.Resources.Requests.Keys.ShouldBe(["cpu", "memory"], ignoreOrder: true, owner);
                container.Resources.Limits.Keys.ShouldContain("memory", owner);
                container.Image.ShouldMatch("^[^:]+.*:[^:]+$", owner);
                // Secrets are files; an access key's id is a name.
                (container.Env ?? []).Where(variable => variable.ValueFrom?.SecretKeyRef is not null).ShouldAllBe(variable => variable.Name.EndsWith("AccessKey", StringComparison.Ordinal), owner);
                foreach (var mount in container.VolumeMounts ?? [])
                    ((pod.Volumes ?? []).Any(volume => volume.Name == mount.Name) || mount.Name == "data").ShouldBeTrue($"{owner} mounts {mount.Name}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Matrix.All), MemberType = typeof(Matrix))]
    public void Pods_are_found_by_what_points_at_them(string values)
    {
        var rendering = Chart.Render(4, Matrix.Values[values]);
        var pods = rendering.Pods().ToList();
        foreach (var service in rendering.All<V1Service>())
        {
            var targets = pods.Where(pod => Selects(service.Spec.Selector, pod.Metadata)).ToList();
            targets.ShouldNotBeEmpty(service.Metadata.Name);
            targets.ShouldAllBe(pod => service.Spec.Ports.All(port => pod.Spec.Containers[0].Ports.Any(open => open.Name == port.TargetPort.Value)), service.Metadata.Name);
        }
        foreach (var budget in rendering.All<V1PodDisruptionBudget>())
            pods.Count(pod => pod.Owner.StartsWith("Deployment", StringComparison.Ordinal) && Selects(budget.Spec.Selector.MatchLabels, pod.Metadata)).ShouldBe(1, budget.Metadata.Name);
        foreach (var policy in rendering.All<V1NetworkPolicy>())
            pods.ShouldContain(pod => Selects(policy.Spec.PodSelector.MatchLabels, pod.Metadata), policy.Metadata.Name);
        foreach (var claim in pods.SelectMany(pod => pod.Spec.Volumes ?? []).Select(volume => volume.PersistentVolumeClaim?.ClaimName).OfType<string>().Distinct())
            (claim == "models" || rendering.All<V1PersistentVolumeClaim>().Any(made => made.Metadata.Name == claim)).ShouldBeTrue(claim);
    }

    [Theory]
    [InlineData("defaults")]
    [InlineData("s3")]
    [InlineData("existing-servers")]
    [InlineData("metrics")]
    [InlineData("jobs")]
    [InlineData("outbound")]
    public void Nothing_is_let_through_but_what_is_needed(string values)
    {
        var rendering = Chart.Render(4, Matrix.Values[values]);
        var policies = rendering.All<V1NetworkPolicy>().ToList();
        foreach (var (owner, metadata, _) in rendering.Pods())
        {
            var mine = policies.Where(policy => Selects(policy.Spec.PodSelector.MatchLabels, metadata)).ToList();
            mine.ShouldContain(policy => policy.Spec.PolicyTypes.Contains("Ingress") && policy.Spec.PolicyTypes.Contains("Egress"), $"{owner} has no default");
            // A rule without peers lets everybody in; one without ports lets everything out.
            mine.SelectMany(policy => policy.Spec.Ingress ?? []).ShouldAllBe(rule => rule.FromProperty.Count > 0 && rule.Ports.Count > 0, owner);
            mine.SelectMany(policy => policy.Spec.Egress ?? []).ShouldAllBe(rule => rule.Ports.Count > 0, owner);
        }
        string[] registry = Out("registry"), quantizer = Out("quantizer");
        registry.ShouldBe(
            values switch
            {
                "s3" => ["5432", "5672", "9000"],
                "existing-servers" => ["5673", "6432"],
                "metrics" => ["4317", "5432", "5672"],
                "outbound" => ["443", "5000", "5432", "5672", "8443"],
                _ => ["5432", "5672"],
            });
        quantizer.ShouldBe(registry.Where(port => port is not ("5432" or "6432" or "443" or "5000" or "8443")));
        if (values != "existing-servers")
            Out("broker").Concat(Out("database")).ShouldBeEmpty();
        if (values == "jobs")
            Out("dispatcher").ShouldBe(["443", "6443", "8080"]);

        string[] Out(string component) =>
        [
            .. policies.Where(policy => Selects(policy.Spec.PodSelector.MatchLabels, rendering.Pods().First(pod => pod.Metadata.Labels["app.kubernetes.io/component"] == component).Metadata))
                .SelectMany(policy => policy.Spec.Egress ?? []).SelectMany(rule => rule.Ports).Select(port => port.Port.Value).Where(port => port != "53").Order(),
        ];
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void The_registry_connects_to_what_is_named_and_no_private_address_is_public(int helm)
    {
        var rules = Chart.Render(helm, Matrix.Values["outbound"]).Get<V1NetworkPolicy>("qbb-registry-to").Spec.Egress;
        rules.Select(rule => string.Join(',', rule.Ports.Select(port => port.Port.Value))).ShouldBe(["443,8443", "5000"]);
        rules.ShouldAllBe(rule => rule.To.Count == 2 && rule.Ports.All(port => port.Protocol == "TCP"));
        rules[0].To.Select(peer => peer.IpBlock.Cidr).ShouldBe(["0.0.0.0/0", "::/0"]);
        // What webhooks refuse by default: the policy lets nothing through that they would not.
        rules[0].To.SelectMany(peer => peer.IpBlock.Except).ShouldBe(PublicConnections.Private.Select(network => $"{network}"), ignoreOrder: true);
        rules[0].To.ShouldAllBe(peer => peer.IpBlock.Except.All(part => part.Contains(':') == peer.IpBlock.Cidr.Contains(':')));
        (rules[1].To[0].IpBlock.Cidr, rules[1].To[1].NamespaceSelector.MatchLabels.Single().Value).ShouldBe(("10.2.0.0/16", "ml"));
        Chart.Render(helm).All<V1NetworkPolicy>().ShouldNotContain(policy => policy.Metadata.Name == "qbb-registry-to");
    }

    [Theory]
    [InlineData("defaults", true)]
    [InlineData("keda", false)]
    [InlineData("hpa", false)]
    public void Replicas_are_left_to_what_scales(string values, bool set)
    {
        var rendering = Chart.Render(4, Matrix.Values[values]);
        foreach (var worker in s_workers)
            rendering.Get<V1Deployment>($"qbb-{worker}").Spec.Replicas.HasValue.ShouldBe(set, worker);
        rendering.Get<V1Deployment>("qbb-registry").Spec.Replicas.HasValue.ShouldBe(values != "hpa");
        // Every target exists.
        foreach (var scaler in rendering.All<V2HorizontalPodAutoscaler>())
            rendering.Get<V1Deployment>(scaler.Spec.ScaleTargetRef.Name).Spec.Replicas.ShouldBeNull();
        rendering.All<V2HorizontalPodAutoscaler>().Count().ShouldBe(values == "hpa" ? 4 : 0);
        rendering.Custom.Count(made => made.Kind == "ScaledObject").ShouldBe(values == "keda" ? 3 : 0);
    }

    [Fact]
    public void Queues_that_scale_workers_are_those_of_the_bus()
    {
        var rendering = Chart.Render(4, Matrix.Values["keda"]);
        var bus = new BusOptions { Prefix = "team-a" };
        foreach (var worker in s_workers)
        {
            var json = JsonDocument.Parse(rendering.Custom.Single(made => made.Kind == "ScaledObject" && made.Json.Contains($"\"qbb-{worker}\"", StringComparison.Ordinal)).Json).RootElement;
            var trigger = json.GetProperty("spec").GetProperty("triggers")[0].GetProperty("metadata");
            trigger.GetProperty("queueName").GetString().ShouldBe(bus.QueueOf(worker));
            // A worker that has all that it may have is reason enough for another.
            int.Parse(UnitsPerWorker(rendering)!, CultureInfo.InvariantCulture).ShouldBe(1 + int.Parse(trigger.GetProperty("value").GetString()!, CultureInfo.InvariantCulture));
        }
        UnitsPerWorker(Chart.Render(4)).ShouldBeNull();
        UnitsPerWorker(Chart.Render(4, Matrix.Values["keda"] + "\nregistry: { settings: { Pipelines:UnitsPerWorker: 9 } }")).ShouldBe("9");

        static string? UnitsPerWorker(Rendering chart) =>
            chart.Get<V1Deployment>("qbb-registry").Spec.Template.Spec.Containers[0].Env.SingleOrDefault(variable => variable.Name == "Pipelines__UnitsPerWorker")?.Value;
    }

    [Fact]
    public void Jobs_end_when_idle_and_are_not_tried_again_for_wrong_input()
    {
        var rendering = Chart.Render(4, Matrix.Values["jobs"]);
        // Whoever runs as Jobs has no standing pod.
        rendering.All<V1Deployment>().Select(made => made.Metadata.Name).ShouldBe(["qbb-dispatcher", "qbb-registry", "qbb-evaluator"], ignoreOrder: true);
        var templates = rendering.Get<V1ConfigMap>("qbb-dispatcher").Data;
        templates.Keys.ShouldBe(["quantizer.cpu.yaml", "quantizer.yaml", "synthdata.yaml"], ignoreOrder: true);
        foreach (var (file, text) in templates)
        {
            var job = KubernetesYaml.Deserialize<V1Job>(text, strict: true);
            var pod = job.Spec.Template.Spec;
            (job.Spec.Parallelism, job.Spec.Completions, pod.RestartPolicy, job.Spec.TtlSecondsAfterFinished).ShouldBe((8, null, "Never", 300), file);
            pod.Containers[0].Args.ShouldBe(["--until-idle", "60s"]);
            file.Split('.')[0].ShouldBe(pod.Containers[0].Name);
            var codes = job.Spec.PodFailurePolicy.Rules.Where(rule => rule.OnExitCodes is not null).ToDictionary(rule => rule.OnExitCodes.Values.Single(), rule => (rule.Action, rule.OnExitCodes.ContainerName));
            codes.ShouldBe(new Dictionary<int, (string, string)> { [WorkerExit.Input] = ("FailJob", pod.Containers[0].Name), [WorkerExit.Machine] = ("Count", pod.Containers[0].Name) }, ignoreOrder: true);
        }
        // The dispatcher may do what it does, and no more.
        var rules = rendering.All<V1Role>().Single().Rules;
        rules.Select(rule => string.Join(",", rule.Resources)).ShouldBe(["jobs", "deployments"]);
        rules[0].Verbs.ShouldBe(["get", "list", "create", "patch", "delete"]);
        (string.Join(",", rules[1].Verbs), rules[1].ResourceNames.Single()).ShouldBe(("get", "qbb-dispatcher"));
        Chart.Render(4).All<V1Role>().ShouldBeEmpty();
    }

    /// <summary>The dispatcher reads what the chart writes.</summary>
    [Fact]
    public void Jobs_ask_for_the_gpus_of_their_plan()
    {
        const string values = """
            workers:
              defaults: { autoscaling: { kind: jobs }, nodeSelector: { pool: cpu } }
              quantizer:
                image: registry.example.com/qbb-quantizer:cuda
                gpu: { count: 8, gigabytes: 10, resource: example.com/gpu-share, runtimeClassName: nvidia }
                nodeSelector: { gpu: h200 }
                tolerations: [{ key: nvidia.com/gpu, operator: Exists }]
              synthdata: { gpu: { count: 1 } }
            """;
        using var folder = new TemporaryFolder();
        foreach (var (file, text) in Chart.Render(4, values).Get<V1ConfigMap>("qbb-dispatcher").Data)
            folder.Write(file, text);
        var templates = JobTemplates.Read(folder.Path);
        templates.Queues.ShouldBe(["quantizer", "synthdata", "evaluator"], ignoreOrder: true);
        Limits("quantizer", 35_000_000_000).ShouldContainKeyAndValue("example.com/gpu-share", "4");
        Limits("quantizer", null).ShouldContainKeyAndValue("example.com/gpu-share", "8");
        // Without its memory there is no counting.
        Limits("synthdata", 35_000_000_000).ShouldContainKeyAndValue("nvidia.com/gpu", "1");
        var large = templates.Of("quantizer", 35_000_000_000)!.Spec.Template.Spec;
        (large.RuntimeClassName, large.NodeSelector["gpu"], Device(large)).ShouldBe(("nvidia", "h200", "cuda"));
        // Where the plan has no GPU, nothing of it is left: neither its node nor its runtime.
        Limits("quantizer", 0).Keys.ShouldBe(["cpu", "memory"], ignoreOrder: true);
        var small = templates.Of("quantizer", 0)!.Spec.Template.Spec;
        (small.RuntimeClassName, small.Tolerations, Device(small), small.Containers[0].Image).ShouldBe((null, null, "cpu", large.Containers[0].Image));
        small.NodeSelector.ShouldBe(new Dictionary<string, string> { ["pool"] = "cpu" });

        Dictionary<string, string> Limits(string queue, long? bytes) =>
            templates.Of(queue, bytes)!.Spec.Template.Spec.Containers[0].Resources.Limits.ToDictionary(limit => limit.Key, limit => limit.Value.ToString());
        static string Device(V1PodSpec pod) => pod.Containers[0].Env.Single(variable => variable.Name == "Worker__Device").Value;
    }

    [Fact]
    public void A_stop_lasts_longer_than_a_unit()
    {
        foreach (var values in new[] { "defaults", "settings" })
        {
            foreach (var worker in s_workers)
            {
                var pod = Chart.Render(4, Matrix.Values[values]).Get<V1Deployment>($"qbb-{worker}").Spec.Template.Spec;
                var settings = pod.Containers[0].Env.ToDictionary(variable => variable.Name, variable => variable.Value);
                var bus = new BusOptions { FinishSeconds = int.Parse(settings["Bus__FinishSeconds"]) };
                bus.FinishSeconds.ShouldBeGreaterThan(2 * int.Parse(settings["Worker__UnitSeconds"]));
                TimeSpan.FromSeconds(pod.TerminationGracePeriodSeconds!.Value).ShouldBeGreaterThan(bus.StopTimeout);
            }
        }
    }

    [Fact]
    public void A_gpu_worker_asks_for_its_gpu_and_runs_beside_its_volume()
    {
        var rendering = Chart.Render(4, Matrix.Values["gpu"]);
        var pod = rendering.Get<V1Deployment>("qbb-quantizer").Spec.Template.Spec;
        pod.Containers[0].Resources.Limits["nvidia.com/gpu"].ToString().ShouldBe("1");
        (pod.RuntimeClassName, pod.Containers[0].Image).ShouldBe(("nvidia", "registry.example.com/qbb-quantizer:cuda"));
        pod.Containers[0].Env.Single(variable => variable.Name == "Worker__Device").Value.ShouldBe("cuda");
        pod.NodeSelector.ShouldBe(new Dictionary<string, string> { ["nvidia.com/gpu.product"] = "H200" });
        (pod.Affinity.NodeAffinity, pod.Affinity.PodAffinity).ShouldSatisfyAllConditions(both => both.NodeAffinity.ShouldNotBeNull(), both => both.PodAffinity.ShouldNotBeNull());
        var other = rendering.Get<V1Deployment>("qbb-evaluator").Spec.Template.Spec;
        other.NodeSelector.ShouldBe(new Dictionary<string, string> { ["pool"] = "cpu" });
        other.Containers[0].Env.ShouldNotContain(variable => variable.Name == "Worker__Device");
        Setting(rendering, "Type").ShouldBe("Bf16");
        Setting(Chart.Render(4), "Type").ShouldBeNull();
        // Presets are planned for the GPUs, whatever the type.
        var plain = Chart.Render(4, Matrix.Values["gpu"] + "\nregistry: { settings: { Pipelines:Type: F32 } }");
        (Setting(plain, "Type"), Setting(plain, "Workers__Gpu"), Setting(Chart.Render(4), "Workers__Gpu")).ShouldBe(("F32", "true", null));

        static string? Setting(Rendering chart, string name) =>
            chart.Get<V1Deployment>("qbb-registry").Spec.Template.Spec.Containers[0].Env.SingleOrDefault(variable => variable.Name == $"Pipelines__{name}")?.Value;
    }

    /// <summary>Of an upgrade the API server refuses changes of these fields, and what is kept must not go.</summary>
    [Fact]
    public void The_first_release_can_be_upgraded()
    {
        var first = new Rendering(File.ReadAllText(Path.Combine(Reference.Root, "tests", "Helm", "first-release.yaml")));
        var now = Chart.Render(4);
        foreach (var before in first.All<V1Deployment>())
            now.Get<V1Deployment>(before.Metadata.Name).Spec.Selector.MatchLabels.ShouldBe(before.Spec.Selector.MatchLabels, before.Metadata.Name);
        foreach (var before in first.All<V1StatefulSet>())
        {
            var after = now.Get<V1StatefulSet>(before.Metadata.Name).Spec;
            after.Selector.MatchLabels.ShouldBe(before.Spec.Selector.MatchLabels);
            after.ServiceName.ShouldBe(before.Spec.ServiceName);
            JsonSerializer.Serialize(after.VolumeClaimTemplates).ShouldBe(JsonSerializer.Serialize(before.Spec.VolumeClaimTemplates));
        }
        foreach (var before in first.All<V1PersistentVolumeClaim>())
            JsonSerializer.Serialize(now.Get<V1PersistentVolumeClaim>(before.Metadata.Name).Spec).ShouldBe(JsonSerializer.Serialize(before.Spec));
        foreach (var before in first.All<V1Service>())
            now.Get<V1Service>(before.Metadata.Name).Spec.ClusterIP.ShouldBe(before.Spec.ClusterIP, before.Metadata.Name);
        foreach (var before in first.Objects.Where(made => made.Metadata.Annotations?.ContainsKey("helm.sh/resource-policy") == true))
            now.Objects.ShouldContain(after => after.Kind == before.Kind && after.Metadata.Name == before.Metadata.Name);
        // The hook runs before anything else is changed: with the account and under the policies of the release before.
        var job = now.All<V1Job>().Single();
        job.Metadata.Annotations["helm.sh/hook"].ShouldBe("pre-upgrade");
        first.All<V1ServiceAccount>().ShouldContain(account => account.Metadata.Name == job.Spec.Template.Spec.ServiceAccountName);
        first.All<V1NetworkPolicy>().ShouldContain(policy => policy.Metadata.Name == "qbb-to-database" && Selects(policy.Spec.PodSelector.MatchLabels, job.Spec.Template.Metadata));
        var registry = now.Get<V1Deployment>("qbb-registry").Spec.Template.Spec.InitContainers.Single();
        registry.Args.ShouldBe(job.Spec.Template.Spec.Containers[0].Args);
    }

    [Theory]
    [InlineData("broker: { deploy: false, host: a }", "broker.existingSecret is empty: create a Secret")]
    [InlineData("broker: { deploy: false, existingSecret: a }", "broker.host is empty: give the broker's host name")]
    [InlineData("database: { deploy: false, existingSecret: a }", "database.host is empty: give PostgreSQL's host name")]
    [InlineData("artifacts: { store: s3 }", "artifacts.s3.bucket is empty")]
    [InlineData("ingress: { enabled: true }", "ingress.host is empty")]
    [InlineData("gateway: { enabled: true }", "gateway.parentRefs is empty")]
    [InlineData("regsitry: {}", "regsitry")]
    [InlineData("workers: { quantizer: { replica: 2 } }", "replica")]
    [InlineData("workers: { quantizer: { gpu: { count: one } } }", "count")]
    [InlineData("artifacts: { store: disk }", "store")]
    [InlineData("networkPolicy: { registryTo: [{ public: true }] }", "ports")]
    [InlineData("networkPolicy: { registryTo: [{ ports: [443] }] }", "registryTo")]
    [InlineData("networkPolicy: { registryTo: [{ public: true, to: [{ podSelector: {} }], ports: [443] }] }", "registryTo")]
    [InlineData("networkPolicy: { registryTo: [{ to: [{}], ports: [443] }] }", "registryTo")]
    [InlineData("networkPolicy: { registryTo: [{ cidr: 10.0.0.0/8, ports: [443] }] }", "cidr")]
    public void Wrong_values_are_named(string values, string named)
    {
        foreach (var helm in new[] { 3, 4 })
            Chart.Refusal(helm, values).ShouldContain(named);
    }

    private static bool Selects(IDictionary<string, string> selector, V1ObjectMeta metadata) =>
        selector.All(label => metadata.Labels.TryGetValue(label.Key, out var value) && value == label.Value);

    private static string WithoutPasswords(string text) => Password().Replace(text, "PASSWORD");

    [GeneratedRegex(@"\b[A-Za-z0-9]{32}\b")]
    private static partial Regex Password();
}
