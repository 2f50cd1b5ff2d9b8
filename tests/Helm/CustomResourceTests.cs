using System.Text;
using Qbb.Tests;

namespace Qbb.Helm.Tests;

/// <summary>Objects of KEDA, the Prometheus operator and the Gateway API, compiled against the types that their definitions declare.</summary>
public sealed class CustomResourceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Custom_resources_have_known_fields_of_the_right_type()
    {
        var all = Matrix.Values.Values.SelectMany(values => Chart.Render(4, values).Custom).Distinct().ToList();
        all.Select(made => made.Kind).Distinct().ShouldBe(["ScaledObject", "TriggerAuthentication", "HTTPRoute", "ServiceMonitor", "PrometheusRule"], ignoreOrder: true);
        Errors(all).ShouldBeEmpty();

        // And what is wrong is found: an unknown field, and a wrong type.
        var (version, kind, json) = all.First(made => made.Kind == "ScaledObject");
        Errors([(version, kind, json.Replace("cooldownPeriod", "coolDown", StringComparison.Ordinal))]).ShouldContain("coolDown");
        Errors([(version, kind, json.Replace("\"minReplicaCount\": 0", "\"minReplicaCount\": \"none\"", StringComparison.Ordinal))]).ShouldContain("Type 'string' is not assignable to type 'number'");
    }

    private string Errors(IReadOnlyList<(string Version, string Kind, string Json)> objects)
    {
        var code = new StringBuilder();
        foreach (var (version, kind) in objects.Select(made => (made.Version, made.Kind)).Distinct())
            code.AppendLine($"import type {{ I{kind} }} from \"{Package(version)}/{version}/{kind}\";");
        for (var k = 0; k < objects.Count; k++)
            code.AppendLine($"export const object{k}: I{objects[k].Kind} = {objects[k].Json};");
        var file = _folder.Write("objects.ts", code.ToString());
        File.Delete(_folder.File("node_modules"));
        File.CreateSymbolicLink(_folder.File("node_modules"), Chart.Packages);
        var (_, output, error) = Chart.Run("node", "", _folder.Path, Path.Combine(Chart.Packages, "typescript", "bin", "tsc"), "--noEmit", "--strict", "--skipLibCheck", "--preserveSymlinks", "--module", "nodenext", file);
        return output + error;
    }

    private static string Package(string version) => "@kubernetes-models/" + version.Split('.')[0] switch
    {
        "keda" => "keda",
        "monitoring" => "prometheus-operator",
        _ => "gateway-api",
    };
}
