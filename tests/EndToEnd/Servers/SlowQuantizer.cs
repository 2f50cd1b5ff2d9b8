using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Hosting;
using Qbb.Quantizer.Work;
using Qbb.Workers.Units;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>A quantizer inside the test, on the queue of the others, whose layers come one by one and take a time that is set.</summary>
internal sealed class SlowQuantizer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private SlowQuantizer(WebApplication app) => _app = app;

    /// <summary>When its units of layers began and ended.</summary>
    public IReadOnlyCollection<UnitSpan> Spans => _app.Services.GetRequiredService<SlowLayers>().Spans;

    /// <summary>What its health endpoint says.</summary>
    public async Task<(HttpStatusCode Status, string Reasons)> ReadinessAsync()
    {
        using var http = new HttpClient();
        using var answer = await http.GetAsync($"{_app.Urls.First()}/health/ready");
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <param name="settings">Of a quantizer, as Section:Name=value.</param>
    /// <param name="cost">What a unit takes beside its work.</param>
    /// <param name="fault">What goes wrong with every unit of layers; null for nothing.</param>
    public static async Task<SlowQuantizer> StartAsync(IEnumerable<string> settings, TimeSpan cost, Func<Exception>? fault = null)
    {
        const string anywhere = "http://127.0.0.1:0";
        var app = ServiceHost.Build([.. settings.Append($"Urls={anywhere}").Append("Logging:LogLevel:Qbb=Warning").Select(setting => "--" + setting)], "quantizer", anywhere, builder =>
        {
            builder.Services.AddSingleton<UnitActivations>().AddSingleton<DecompositionWork>();
            builder.Services.AddSingleton(new SlowLayers(cost, fault));
            builder.AddWorker("quantizer", (bus, queue) =>
            {
                bus.AddUnit<SlowLayersConsumer>(queue);
                bus.AddUnit<AssembleModelConsumer>(queue);
            });
        });
        await ServiceHost.StartAsync(app);
        return new SlowQuantizer(app);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
