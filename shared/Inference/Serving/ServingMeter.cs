using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Qbb.Inference.Serving;

/// <summary>What a server does, for whoever collects metrics.</summary>
public sealed class ServingMeter
{
    private static readonly TimeSpan s_window = TimeSpan.FromSeconds(10);

    private readonly Counter<long> _prompt;
    private readonly Counter<long> _cached;
    private readonly Counter<long> _generated;
    private readonly Counter<long> _refused;
    private readonly Counter<long> _requests;
    private readonly Counter<long> _degraded;
    private readonly Histogram<double> _firstToken;
    private readonly TimeProvider _clock;
    private readonly Queue<(long When, int Tokens)> _recent = [];
    private readonly ConcurrentDictionary<ServingLoad, bool> _loads = [];

    public ServingMeter(IMeterFactory factory, TimeProvider clock)
    {
        _clock = clock;
        var meter = factory.Create("Qbb");
        _requests = meter.CreateCounter<long>("qbb.serve.requests", description: "Requests to the API, by route and status");
        _refused = meter.CreateCounter<long>("qbb.serve.refused", description: "Requests that found the queue full");
        _degraded = meter.CreateCounter<long>("qbb.serve.degraded", description: "Prompts that the smaller model answered, since others waited");
        _prompt = meter.CreateCounter<long>("qbb.serve.prompt_tokens", description: "Tokens of prompts");
        _cached = meter.CreateCounter<long>("qbb.serve.cached_tokens", description: "Tokens of prompts that earlier sequences had calculated");
        _generated = meter.CreateCounter<long>("qbb.serve.generated_tokens", description: "Generated tokens");
        _firstToken = meter.CreateHistogram("qbb.serve.first_token", "s", "Time from a request to its first token, waiting included",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60] });
        meter.CreateObservableGauge("qbb.serve.active", () => Active, description: "Sequences that are decoded now");
        meter.CreateObservableGauge("qbb.serve.queued", () => Queued, description: "Prompts that wait");
        meter.CreateObservableGauge("qbb.serve.kept_tokens", () => CachedTokens, description: "Tokens of ended sequences that are kept for prompts that begin alike");
        meter.CreateObservableGauge("qbb.serve.tokens_per_second", TokensPerSecond, description: "Generated tokens per second, over the last 10 seconds");
    }

    public int Active => _loads.Keys.Sum(load => load.Active);

    public int Queued => _loads.Keys.Sum(load => load.Queued);

    public int CachedTokens => _loads.Keys.Sum(load => load.CachedTokens);

    /// <summary>A share of what the server has taken on; there are several while a model leaves and another is served already.</summary>
    internal ServingLoad Begin()
    {
        var load = new ServingLoad(this);
        _loads[load] = true;
        return load;
    }

    internal void End(ServingLoad load) => _loads.TryRemove(load, out _);

    public void Request(string route, int status) => _requests.Add(1, new("route", route), new("status", status));

    public void Refused() => _refused.Add(1);

    public void Degraded() => _degraded.Add(1);

    public void Prompt(int tokens, int cached)
    {
        _prompt.Add(tokens);
        _cached.Add(cached);
    }

    public void Generated(int tokens)
    {
        _generated.Add(tokens);
        lock (_recent)
        {
            Forget();
            _recent.Enqueue((_clock.GetTimestamp(), tokens));
        }
    }

    public void FirstToken(TimeSpan time) => _firstToken.Record(time.TotalSeconds);

    private double TokensPerSecond()
    {
        lock (_recent)
        {
            Forget();
            return _recent.Sum(step => step.Tokens) / s_window.TotalSeconds;
        }
    }

    private void Forget()
    {
        while (_recent.TryPeek(out var oldest) && _clock.GetElapsedTime(oldest.When) > s_window)
            _recent.Dequeue();
    }
}

/// <summary>What one scheduler has taken on at the moment.</summary>
internal sealed class ServingLoad(ServingMeter meter) : IDisposable
{
    private volatile int _active;
    private volatile int _queued;
    private volatile int _kept;

    public int Active { get => _active; set => _active = value; }

    public int Queued { get => _queued; set => _queued = value; }

    public int CachedTokens { get => _kept; set => _kept = value; }

    public void Dispose() => meter.End(this);
}
