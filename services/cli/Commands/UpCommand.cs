using System.CommandLine;
using System.Text.Json;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb up</c>: registry and workers in one process.</summary>
internal sealed class UpCommand : AsyncCommand
{
    private readonly Option<int> _port = LocalPort.Option(8080);
    private readonly Option<string> _data = new("--data") { Description = "Folder of models, results and the database.", DefaultValueFactory = _ => "qbb-data" };
    private readonly Option<string[]> _recipes = new("--recipe") { Description = "Recipes (JSON files) that run on every upload. Default: three bases, calibrated and distilled.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _text = new("--text") { Description = "A UTF-8 text to score results on; - reads stdin. Default: sequences that the model samples." };
    private readonly Option<string?> _device = new("--device") { Description = "cpu, cuda or cuda:N. Default: the GPU where there is one." };
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<string[]> _settings = new("--set") { Description = "A setting of a service, such as Worker:UnitSeconds=60.", AllowMultipleArgumentsPerToken = true };

    public UpCommand() : base("up", "Runs everything in one process: the registry, and workers that quantize uploads. Ctrl+C stops it; the next qbb up resumes.",
        "qbb up",
        "qbb up --port 9000 --data /srv/qbb --text wiki.test.raw",
        "qbb up --recipe two-bases.json three-bases.json")
    {
        foreach (var option in new Option[] { _port, _data, _recipes, _text, _device, _threads, _settings })
            Options.Add(option);
    }

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var threads = SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var port = parsed.GetRequiredValue(_port);
        LocalPort.Check(port);
        using var folder = DataFolder.Take(parsed.GetRequiredValue(_data));
        var data = folder.Path;
        var settings = new UpSettings(data, port, parsed.GetValue(_device), threads, await RecipesAsync(parsed, data, cancel), Settings(parsed));
        await LocalPort.RunAsync(port, () => OneProcess.RunAsync(settings, address =>
        {
            var server = new RunningServer(address, data, Environment.ProcessId);
            folder.Announce(server);
            output.Result(JsonSerializer.SerializeToNode(server, Wire.Json)!.AsObject(), _ => Console.Out.WriteLine(
                $"qbb is up at {address}, data in {data}\nupload with  qbb push MODEL{RegistryAddress.OptionFor(address)}   stop with  Ctrl+C"));
        }, cancel));
    }

    private string[] Settings(ParseResult parsed)
    {
        var settings = parsed.GetValue(_settings) ?? [];
        return settings.FirstOrDefault(setting => !setting.Contains('=', StringComparison.Ordinal)) is { } wrong
            ? throw new InvalidInputException($"invalid --set {wrong}", "write Section:Name=value, such as Worker:UnitSeconds=60")
            : settings;
    }

    private async Task<Dictionary<string, PipelineRecipe>> RecipesAsync(ParseResult parsed, string data, CancellationToken cancel)
    {
        var files = parsed.GetValue(_recipes) ?? [];
        var recipes = files.Length == 0
            ? new() { [DefaultRecipe.Name] = DefaultRecipe.Create() }
            : RecipeFiles.ReadAll(files);
        if (parsed.GetValue(_text) is not { } text)
            return recipes;
        var blob = await ScoringText.StoreAsync(text, data, Settings(parsed), cancel);
        return recipes.ToDictionary(recipe => recipe.Key, recipe => recipe.Value.ScoredOn(blob));
    }
}
