#!/usr/bin/env bash
# MassTransit 8.5.12 (NuGet).
#
# Behaviour: a bus posts usage data (framework, operating system, time zone, endpoints) to its maker's server five minutes after its start, a bus in memory
# too, unless told not to. DisableUsageTelemetry, documented as "Disable the collection and reporting of usage telemetry", does not hold where the environment
# variable MASSTRANSIT_USAGE_TELEMETRY is 1: it is read later and wins. Only a service collection without IUsageTracker is silent whatever is set.
# The option ReportOnShutdown makes the report due at the stop, so that nothing here waits for five minutes; a proxy on this machine refuses it and shows
# what was asked for.
#
# Output seen:
#   plain: CONNECT usage-tracking.masstransit.io:443 HTTP/1.1
#   DisableUsageTelemetry: nothing
#   DisableUsageTelemetry, MASSTRANSIT_USAGE_TELEMETRY=1: CONNECT usage-tracking.masstransit.io:443 HTTP/1.1
#   without IUsageTracker, MASSTRANSIT_USAGE_TELEMETRY=1: nothing
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export NUGET_PACKAGES=$t/packages DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings></PropertyGroup>
  <ItemGroup><FrameworkReference Include="Microsoft.AspNetCore.App"/><PackageReference Include="MassTransit" Version="[8.5.12]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Net;
using System.Net.Sockets;
using MassTransit;
using MassTransit.UsageTracking;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

const string Variable = "MASSTRANSIT_USAGE_TELEMETRY";
var requests = new List<string>();
using var listener = new TcpListener(IPAddress.Loopback, 0);
listener.Start();
_ = Task.Run(async () =>
{
    while (true)
    {
        using var client = await listener.AcceptTcpClientAsync();
        using var reader = new StreamReader(client.GetStream());
        requests.Add(await reader.ReadLineAsync() ?? "");
        await client.GetStream().WriteAsync("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray());
    }
});
foreach (var name in new[] { "HTTPS_PROXY", "https_proxy" })
    Environment.SetEnvironmentVariable(name, $"http://{listener.LocalEndpoint}");

await Run("plain", null, _ => { }, _ => { });
await Run("DisableUsageTelemetry", null, bus => bus.DisableUsageTelemetry(), _ => { });
await Run($"DisableUsageTelemetry, {Variable}=1", "1", bus => bus.DisableUsageTelemetry(), _ => { });
await Run($"without IUsageTracker, {Variable}=1", "1", _ => { }, services => services.RemoveAll<IUsageTracker>());

async Task Run(string title, string? variable, Action<IBusRegistrationConfigurator> configure, Action<IServiceCollection> change)
{
    Environment.SetEnvironmentVariable(Variable, variable);
    requests.Clear();
    var builder = Host.CreateApplicationBuilder();
    builder.Logging.ClearProviders();
    builder.Services.AddMassTransit(bus =>
    {
        configure(bus);
        bus.ConfigureUsageTelemetryOptions(options => options.ReportOnShutdown = true);
        bus.UsingInMemory((context, memory) => memory.ConfigureEndpoints(context));
    });
    change(builder.Services);
    var host = builder.Build();
    await host.StartAsync();
    await host.StopAsync();
    await ((IAsyncDisposable)host).DisposeAsync();
    Console.WriteLine($"{title}: {(requests.Count == 0 ? "nothing" : string.Join(", ", requests))}");
}
X
unset MASSTRANSIT_USAGE_TELEMETRY NO_PROXY no_proxy
dotnet build -v quiet --nologo -clp:ErrorsOnly -o out >/dev/null
dotnet out/p.dll | tee seen
diff - seen <<'X'
plain: CONNECT usage-tracking.masstransit.io:443 HTTP/1.1
DisableUsageTelemetry: nothing
DisableUsageTelemetry, MASSTRANSIT_USAGE_TELEMETRY=1: CONNECT usage-tracking.masstransit.io:443 HTTP/1.1
without IUsageTracker, MASSTRANSIT_USAGE_TELEMETRY=1: nothing
X
