using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Artifacts.Oci;
using Qbb.Checkpoints;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb pull</c>: a version from a registry.</summary>
internal sealed class PullCommand : AsyncCommand
{
    private readonly Argument<string> _version = new("MODEL@VERSION") { Description = "The model's name, and a version's number or alias; champion if left out. Or oci://HOST/NAME:TAG, a model in an OCI registry." };
    private readonly Option<bool> _plain = OciTransfers.PlainHttp();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<bool> _force = SharedOptions.Force();
    private readonly Option<string> _url = RegistryAddress.Option();

    public PullCommand() : base("pull", "Downloads a version of a model from a registry; every file is verified.",
        "qbb pull tiny -o OUT",
        "qbb pull tiny@champion -o OUT --force",
        "qbb pull tiny@2 -o OUT --url http://registry:8080",
        "qbb pull oci://registry.example.com/models/tiny:v2 -o OUT")
    {
        Arguments.Add(_version);
        foreach (var option in new Option[] { _output, _force, _url, _plain })
            Options.Add(option);
    }

    protected override string Kept => "what arrived is kept beside the output";

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        if (OciReference.IsMeant(parsed.GetRequiredValue(_version)))
        {
            var pulled = await ProgressBars.RunAsync(output, "downloading", report => OciTransfers.PullAsync(
                OciReference.Parse(parsed.GetRequiredValue(_version)), parsed.GetRequiredValue(_output), parsed.GetValue(_force), parsed.GetValue(_plain), report, cancel));
            output.Result(pulled, _ => Console.Out.WriteLine($"{parsed.GetRequiredValue(_output)}: {pulled["files"]} files, {pulled["digest"]}"));
            return;
        }
        using var registry = RegistryAddress.Connect(parsed, _url, output);
        var (model, reference) = ModelReference.Parse(parsed.GetRequiredValue(_version));
        var folder = parsed.GetRequiredValue(_output);
        WrittenFiles.CheckTarget(folder, parsed.GetValue(_force));
        var version = await registry.VersionAsync(model, reference ?? ModelReference.Champion, cancel);
        await ProgressBars.RunAsync(output, "downloading", async report =>
        {
            await Downloading.RunAsync(registry, version, folder, parsed.GetValue(_force), report, cancel);
            return 0;
        });
        output.Result(
            new JsonObject
            {
                ["output"] = Path.GetFullPath(folder),
                ["model"] = version.Model,
                ["version"] = version.Version,
                ["manifest"] = version.Manifest,
            },
            _ => Console.Out.WriteLine($"{folder}: {version.Model} version {version.Version}, {version.Manifest}"));
    }
}
