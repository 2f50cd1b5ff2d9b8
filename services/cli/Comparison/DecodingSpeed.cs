using System.Diagnostics;
using System.Text.Json.Serialization;
using Qbb.Cli.Loading;
using Qbb.Evaluator.Accounting;
using Qbb.Models.Generation;

namespace Qbb.Cli.Comparison;

/// <summary>How fast a model decodes one sequence greedily, by the engine that <c>qbb generate</c> has for it.</summary>
/// <param name="TokensPerSecond">The median of the rounds, between a round's first token and its last.</param>
/// <param name="Tokens">Of a round.</param>
/// <param name="Rounds">As many as the time took, three at least.</param>
/// <param name="Device">With its threads, where it is the CPU.</param>
internal sealed record DecodingSpeed(double TokensPerSecond, int Tokens, int Rounds, string Device)
{
    private const string Prompt = "Once upon a time";
    private const int MostTokens = 64, LeastRounds = 3;

    /// <summary>The energy counters of devices move some ten times a second.</summary>
    private const double LeastSeconds = 1, LeastSecondsOfEnergy = 2;

    /// <summary>Energy of the whole device over all rounds, the prompts among them; null where it does not tell.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? JoulesPerToken { get; init; }

    /// <summary>As reports name a device.</summary>
    public static string NameOf(Device device, int threads) => device.type == DeviceType.CPU ? $"cpu, {threads} thread{(threads == 1 ? "" : "s")}" : $"{device}";

    /// <param name="folder">The model.</param>
    /// <param name="device">Where.</param>
    /// <param name="threads">Of a CPU.</param>
    /// <param name="cancel">Ends between two tokens.</param>
    public static DecodingSpeed Measure(string folder, Device device, int threads, CancellationToken cancel)
    {
        using var model = TextModel.Open(folder, device, threads);
        var prompt = model.Tokenizer.Encode(Prompt);
        var tokens = Math.Max(2, Math.Min(MostTokens, model.Decoder.Config.MaxPositions - prompt.Length));
        Round();
        var counter = EnergyCounter.Open(device);
        var (before, watch, rates) = (counter?.Joules, Stopwatch.StartNew(), new List<double>());
        while (rates.Count < LeastRounds || watch.Elapsed.TotalSeconds < (counter is null ? LeastSeconds : LeastSecondsOfEnergy))
            rates.Add(Round());
        var joules = counter?.Joules - before;
        rates.Sort();
        return new(rates[rates.Count / 2], tokens, rates.Count, NameOf(device, threads)) { JoulesPerToken = joules / (rates.Count * (double)tokens) };

        double Round()
        {
            var (first, last) = (0L, 0L);
            var options = new GenerationOptions { MaxTokens = tokens, Temperature = 0, Ends = Stamp };
            model.Generate([prompt], [0], options, cancel);
            return (tokens - 1) / Stopwatch.GetElapsedTime(first, last).TotalSeconds;

            bool Stamp(int row, IReadOnlyList<int> made)
            {
                last = Stopwatch.GetTimestamp();
                first = made.Count == 1 ? last : first;
                return false;
            }
        }
    }
}
