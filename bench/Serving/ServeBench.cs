using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Qbb.Bench.Figures;
using Qbb.Models;
using Qbb.Models.Generation;

namespace Qbb.Bench.Serving;

/// <summary>Measures a server that answers OpenAI's API, as its clients see it.</summary>
/// <param name="server">The server, which nobody else asks.</param>
/// <param name="seed">Of everything random.</param>
internal sealed class ServeBench(ServerProcess server, ulong seed)
{
    /// <summary>How a request of a client that comes and goes ended: with an answer, with status 429, by the client itself, or otherwise.</summary>
    private enum Outcome
    {
        Answered,
        Refused,
        Left,
        Failed,
    }

    private static readonly string[] s_words = ["the", "sea", "a", "house", "old", "light", "under", "morning", "hills", "and", "ran", "slowly"];
    private readonly HttpClient _client = new(new SocketsHttpHandler { MaxConnectionsPerServer = 1024 }) { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(10) };

    /// <summary>Tokens per second of several requests at once against the same one after another, and whether the texts are the same.</summary>
    /// <param name="requests">Requests at once.</param>
    /// <param name="tokens">Of each answer.</param>
    /// <param name="rounds">Of which the median counts.</param>
    /// <param name="cancel">Stops.</param>
    public async Task<IReadOnlyList<Figure>> SpeedAsync(int requests, int tokens, int rounds, CancellationToken cancel)
    {
        string[] prompts = [.. Enumerable.Range(0, requests).Select(k => Prompt(SplitMix64.For(seed, (ulong)k), 8))];
        await AskAsync(prompts[0], tokens, cancel);
        var (alone, together) = (new List<double>(), new List<double>());
        var same = true;
        for (var round = 0; round < rounds; round++)
        {
            var texts = new List<string>();
            var clock = Stopwatch.StartNew();
            foreach (var prompt in prompts)
                texts.Add(await AskAsync(prompt, tokens, cancel));
            alone.Add(requests * tokens / clock.Elapsed.TotalSeconds);
            clock.Restart();
            var others = await Task.WhenAll(prompts.Select(prompt => AskAsync(prompt, tokens, cancel)));
            together.Add(requests * tokens / clock.Elapsed.TotalSeconds);
            same &= texts.SequenceEqual(others);
        }
        var (one, all) = (alone.Order().ElementAt(rounds / 2), together.Order().ElementAt(rounds / 2));
        return
        [
            new("one request after another", one, "tokens/s"),
            new($"{requests} requests at once", all, "tokens/s"),
            new("ratio", all / one, "×"),
            new("texts that are the same", same ? 1 : 0, "of 1"),
            new("memory", server.Memory / 1e6, "MB"),
        ];
    }

    /// <summary>Clients that come and go: some read streams, some leave in the middle.</summary>
    /// <param name="clients">At once.</param>
    /// <param name="time">How long.</param>
    /// <param name="report">Told of (seconds gone, seconds in all, what happened so far).</param>
    /// <param name="cancel">Stops.</param>
    public async Task<IReadOnlyList<Figure>> SoakAsync(int clients, TimeSpan time, Action<double, double, string> report, CancellationToken cancel)
    {
        var counts = new int[4];
        var clock = Stopwatch.StartNew();
        var memory = new List<long>();
        var all = Enumerable.Range(0, clients).Select(client => Task.Run(() => VisitAsync(SplitMix64.For(seed, 1000 + (ulong)client)), cancel)).ToList();
        while (clock.Elapsed < time)
        {
            await Task.Delay(1000, cancel);
            memory.Add(server.Memory);
            report(clock.Elapsed.TotalSeconds, time.TotalSeconds, string.Join(", ", counts.Select((count, k) => $"{count} {(Outcome)k}")));
        }
        await Task.WhenAll(all);
        return
        [
            .. counts.Select((count, k) => new Figure($"{(Outcome)k}", count, "requests")),
            .. new[] { 0.1, 0.25, 0.5, 0.75, 1 }.Select(part => new Figure(
                $"memory at {part.ToString("P0", CultureInfo.InvariantCulture)} of the time", memory[(int)Math.Ceiling(part * memory.Count) - 1] / 1e6, "MB")),
            new("peak memory", server.PeakMemory / 1e6, "MB"),
        ];

        void Count(Outcome outcome) => Interlocked.Increment(ref counts[(int)outcome]);

        async Task VisitAsync(SplitMix64 random)
        {
            while (clock.Elapsed < time)
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
                if (random.NextUniform() < 0.3)
                    patience.CancelAfter(TimeSpan.FromSeconds(3 * random.NextUniform()));
                try
                {
                    var body = Body(Prompt(random, 1 + (int)(64 * random.NextUniform())), 1 + (int)(64 * random.NextUniform()));
                    body["stream"] = random.NextUniform() < 0.5;
                    using var answer = await _client.PostAsJsonAsync("v1/completions", body, patience.Token);
                    await answer.Content.ReadAsStringAsync(patience.Token);
                    Count(answer.StatusCode switch { HttpStatusCode.OK => Outcome.Answered, HttpStatusCode.TooManyRequests => Outcome.Refused, _ => Outcome.Failed });
                    if (answer.StatusCode == HttpStatusCode.TooManyRequests)
                        await Task.Delay(TimeSpan.FromSeconds(random.NextUniform()), cancel);
                }
                catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
                {
                    Count(Outcome.Left);
                }
                catch (Exception error) when (error is HttpRequestException or IOException)
                {
                    Count(Outcome.Failed);
                }
            }
        }
    }

    private async Task<string> AskAsync(string prompt, int tokens, CancellationToken cancel)
    {
        using var answer = await _client.PostAsJsonAsync("v1/completions", Body(prompt, tokens), cancel);
        var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancel))!;
        return answer.IsSuccessStatusCode ? $"{json["choices"]![0]!["text"]}" : throw new InvalidInputException($"the server answers {(int)answer.StatusCode}: {json["error"]?["message"]}");
    }

    private static JsonObject Body(string prompt, int tokens) => new() { ["prompt"] = prompt, ["max_tokens"] = tokens, ["temperature"] = 0, ["ignore_eos"] = true };

    private static string Prompt(SplitMix64 random, int words)
    {
        var chosen = new string[words];
        for (var k = 0; k < words; k++)
            chosen[k] = s_words[(int)(random.NextUniform() * s_words.Length)];
        return string.Join(' ', chosen);
    }
}
