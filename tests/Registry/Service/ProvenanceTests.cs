using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Statements of provenance: what they are made of, and that they explain themselves.</summary>
public sealed class ProvenanceTests : IDisposable
{
    private const string Recipe = """{"decomposition":{"bases":3,"importance":"full"},"distillation":{"steps":30}}""";
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_version_of_a_pipeline_names_everything_that_it_was_made_from()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var upload = await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync(Recipe, name: "three"));
        var version = await server.Api.GetVersionAsync("tiny", "2");
        // Pipelines may be removed: the statement stays.
        await server.Api.RemovePipelineAsync(end.Id);
        var json = JsonNode.Parse(await server.Client.GetStringAsync("/api/models/tiny/versions/champion/provenance"))!;
        ((string?)json["_type"], (string?)json["predicateType"]).ShouldBe(("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"));
        json["subject"]!.AsArray().Select(file => ((string?)file!["name"], (string?)file["digest"]!["sha256"]))
            .ShouldBe(version.Files!.Select(file => ((string?)file.Name, (string?)file.Digest.Value)));
        var build = json["predicate"]!["buildDefinition"]!;
        ((string?)build["buildType"], (string?)build["externalParameters"]!["recipeName"]).ShouldBe(("urn:qbb:quantization:1", "three"));
        var dependencies = build["resolvedDependencies"]!.AsArray().ToDictionary(one => (string)one!["name"]!, one => (string)one!["digest"]!["sha256"]!);
        dependencies["tiny/1"].ShouldBe(upload.Manifest);
        dependencies.Keys.ShouldBe(["tiny/1", "data/sampled", "data/kept", "data/scored"]);
        ((string?)json["predicate"]!["runDetails"]!["metadata"]!["invocationId"]).ShouldBe($"{end.Id}");

        var statement = await server.Api.GetProvenanceAsync("tiny", "2");
        var units = statement.Predicate.RunDetails.Byproducts;
        units.Select(unit => unit.Annotations!.Kind).Distinct().ShouldBe(
            ["sample", "gather-data", "decompose", "assemble-model", "score", "filter", "distil", "sample-windows", "gather-windows", "evaluate"]);
        units.Select(unit => unit.Name).ShouldBeUnique();
        units.Where(unit => unit.Annotations!.Kind == "evaluate").Select(unit => (unit.Name, unit.Annotations!.Size)).First().ShouldBe(("evaluate/0", 2));
        var recipe = PipelineRecipe.Parse(statement.Predicate.BuildDefinition.ExternalParameters.Recipe!.ToJsonString());
        HashSet<Digest> known = [Digest.Parse(upload.Manifest), .. recipe.Parts().Select(part => PipelineRecipe.DigestOf(part.Part)), .. units.Select(Result)];
        foreach (var unit in units)
        {
            var command = UnitCommands.Read(unit.Annotations!.Command!);
            command.Unit.ShouldBe(unit.Annotations.Unit, unit.Name);
            UnitCommands.InputsOf(command).ShouldBeSubsetOf(known, unit.Name);
            (await ArtifactManifest.ReadAsync(server.Store, Result(unit))).Digest.ShouldBe(Result(unit));
        }
        units.Select(Result).ShouldContain(Digest.Parse(version.Manifest));
    }

    [Fact]
    public async Task An_upload_states_its_files_and_any_blob_can_be_read_by_its_digest()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        await server.UploadAsync("tiny", files);
        var statement = await server.Api.GetProvenanceAsync("tiny", "1");
        statement.Predicate.BuildDefinition.BuildType.ShouldBe("urn:qbb:upload:1");
        statement.Predicate.RunDetails.Byproducts.ShouldBeEmpty();
        foreach (var file in statement.Subject)
        {
            await using var stream = await server.Api.GetBlobAsync(Result(file));
            using var bytes = new MemoryStream();
            await stream.CopyToAsync(bytes);
            bytes.ToArray().ShouldBe(files[file.Name]);
        }
        await RegistryServer.RefusedAsync(System.Net.HttpStatusCode.NotFound, () => server.Api.GetBlobAsync(Digest.Of("nothing")));
        (await server.Client.GetStringAsync("/models/tiny/versions/1")).ShouldContain("qbb verify tiny@1 --url");
    }

    public void Dispose() => _folder.Dispose();

    private static Digest Result(ProvenanceResource resource) => Digest.Parse(resource.Digest["sha256"]);
}
