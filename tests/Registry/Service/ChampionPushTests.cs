using System.Net;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts.Oci;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Policies that push champions to an OCI registry.</summary>
public sealed class ChampionPushTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_champion_is_pushed_and_one_that_the_OCI_registry_missed_follows()
    {
        await using var oci = await DockerRegistry.StartAsync(withPassword: true);
        await using var server = await StartAsync(oci, DockerRegistry.Password);
        await server.Api.SetPolicyAsync("all", Policy($"oci://{oci.Host}/models/{{model}}:champion"));
        (await server.Client.GetStringAsync("/policies")).ShouldContain("Pushes champions to");
        await server.UploadAsync("Tiny");
        (await server.Api.ListPipelinesAsync()).Items.Count.ShouldBe(1);
        await server.EndOfAsync((await server.Api.ListPipelinesAsync()).Items[0].Id);
        var push = await PushedAsync(server, 1);
        push.Target.ShouldBe($"oci://{oci.Host}/models/tiny:champion");

        using var client = new OciClient(OciReference.Parse(push.Target), new OciCredentials(DockerRegistry.User, DockerRegistry.Password));
        var (manifest, files) = await OciTransfer.ResolveAsync(client, OciReference.Parse(push.Target), default);
        manifest.Value.ShouldBe(push.Digest);
        files.Select(file => (file.Name, file.Digest)).ShouldBe((await server.Api.GetVersionAsync("Tiny", "2")).Files!.Select(file => (file.Name, file.Digest)));

        // The OCI registry is away: the push waits, and is shown.
        oci.Kill();
        await server.Api.SetAliasAsync("Tiny", "champion", new AliasChange(1));
        await RegistryServer.UntilAsync(async () => (await server.InDatabaseAsync(Last)) is { Error: not null, DoneAt: null });
        (await server.Client.GetStringAsync("/policies")).ShouldContain("retrying, no OCI registry answers at");
        await oci.StartProcessAsync();
        await server.InDatabaseAsync(context => context.OciPushes.Where(row => row.DueAt != null).ExecuteUpdateAsync(set => set.SetProperty(row => row.DueAt, DateTimeOffset.UtcNow)));
        await PushedAsync(server, 2);
        (await OciTransfer.ResolveAsync(client, OciReference.Parse(push.Target), default)).Files.Select(file => file.Name).ShouldBe(["config.json", "model.safetensors"]);
    }

    [Fact]
    public async Task Only_hosts_that_the_operator_names_are_pushed_to_and_a_wrong_password_is_given_up()
    {
        await using var oci = await DockerRegistry.StartAsync(withPassword: true);
        await using var server = await StartAsync(oci, "wrong");
        foreach (var (target, said) in new[] { ("oci://elsewhere.example/a:b", "may not push to"), ("oci://h/NAME:1", "must be of the form"), ("docker.io/a", "must be of the form") })
            (await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.Api.SetPolicyAsync("bad", Policy(target)))).Message.ShouldContain(said);
        await server.Api.SetPolicyAsync("all", Policy($"oci://{oci.Host}/{{model}}:v{{version}}"));
        await server.UploadAsync("tiny");
        await server.Api.SetAliasAsync("tiny", "champion", new AliasChange(1));
        await RegistryServer.UntilAsync(async () => (await server.InDatabaseAsync(Last)) is { Error: not null, DueAt: null });
        var push = await server.InDatabaseAsync(Last);
        (push!.Target, push.Attempts).ShouldBe(($"oci://{oci.Host}/tiny:v1", 1));
        push.Error!.ShouldContain("ci may not");
    }

    public void Dispose() => _folder.Dispose();

    private Task<RegistryServer> StartAsync(DockerRegistry oci, string password) => RegistryServer.StartAsync(
        _folder, null, $"--Oci:Hosts:0:Host={oci.Host}", $"--Oci:Hosts:0:User={DockerRegistry.User}", $"--Oci:Hosts:0:Password={password}");

    private static PolicyChange Policy(string target) => new("*", [new NamedRecipe("three", JsonNode.Parse("""{"decomposition":{"bases":3}}""")!)], Oci: target);

    private static Task<OciPush?> Last(RegistryContext context) => context.OciPushes.AsNoTracking().OrderByDescending(push => push.Id).FirstOrDefaultAsync();

    private static async Task<OciPush> PushedAsync(RegistryServer server, int count)
    {
        await RegistryServer.UntilAsync(async () => await server.InDatabaseAsync(context => context.OciPushes.CountAsync(push => push.DoneAt != null)) >= count);
        return (await server.InDatabaseAsync(Last))!;
    }
}
