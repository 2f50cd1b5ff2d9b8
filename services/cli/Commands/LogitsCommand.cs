using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb logits</c>: the model's raw outputs, for checking against other implementations.</summary>
internal sealed class LogitsCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string> _ids = new("--ids") { Description = "Token ids, separated by commas.", Required = true };
    private readonly Option<string> _device = SharedOptions.Device();

    public LogitsCommand() : base("logits", "Prints the logits of a sequence, one row per position.", "qbb logits MODEL --ids 1,2,3 --json")
    {
        Arguments.Add(_model);
        Options.Add(_ids);
        Options.Add(_device);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var loaded = LoadedModel.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), SharedOptions.ParseDevice(parsed.GetRequiredValue(_device)));
        var vocabulary = loaded.Model.Config.VocabularySize;
        var ids = ParseIds(parsed.GetRequiredValue(_ids), vocabulary);
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var logits = loaded.Model.forward(torch.tensor(ids, 1, ids.Length).to(loaded.Model.Device)).to(ScalarType.Float32).ToArray<float>();
        var rows = logits.Chunk(vocabulary).ToArray();
        output.Result(new JsonObject
        {
            ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]),
            ["logits"] = new JsonArray([.. rows.Select(row => new JsonArray([.. row.Select(x => (JsonNode)x)]))]),
        }, _ =>
        {
            foreach (var row in rows)
                Console.Out.WriteLine(string.Join(' ', row.Select(x => x.ToString("G7", CultureInfo.InvariantCulture))));
        });
    }

    private static long[] ParseIds(string text, int vocabulary) => [.. text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(part =>
        long.TryParse(part, NumberStyles.Integer, CultureInfo.InvariantCulture, out var id) && id >= 0 && id < vocabulary
            ? id
            : throw new InvalidInputException($"--ids: '{part}' is not a token id of this model, which has 0 to {vocabulary - 1}"))];
}
