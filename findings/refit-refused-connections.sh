#!/usr/bin/env bash
# Refit 16.4.0 (NuGet), .NET 10.
#
# Behaviour: what a caller sees of a refused connection depends on the return type of the interface's method. The documentation of
# RefitSettings.TransportExceptionFactory promises "full control over the exception that is ultimately surfaced" whenever HttpClient.SendAsync throws,
# and that by default an ApiRequestException wraps it. Methods that return Task (no result) and IAsyncEnumerable<T> never ask the factory and throw
# the raw HttpRequestException. Code that catches ApiRequestException, or relies on the factory, works for every GET and then breaks at the first DELETE.
# What works for all kinds: a DelegatingHandler below Refit that translates the exception, and a factory that returns its argument unchanged.
#
# Output seen:
#   Task<T>: ApiRequestException; with a factory: Mine
#   Task<Stream>: ApiRequestException; with a factory: Mine
#   Task<IApiResponse>: returned ApiRequestException; with a factory: Mine
#   Task: HttpRequestException; with a factory: HttpRequestException
#   IAsyncEnumerable<T>: HttpRequestException; with a factory: HttpRequestException
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export NUGET_PACKAGES=$t/packages DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings></PropertyGroup>
  <ItemGroup><PackageReference Include="Refit" Version="[16.4.0]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Net;
using System.Net.Sockets;
using Refit;

var listener = new TcpListener(IPAddress.Loopback, 0);
listener.Start();
var address = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
listener.Stop();
var plain = RestService.For<IApi>(new HttpClient { BaseAddress = address });
var own = RestService.For<IApi>(new HttpClient { BaseAddress = address }, new RefitSettings { TransportExceptionFactory = (_, _, _) => new Mine() });

await ShowAsync("Task<T>", api => api.Result());
await ShowAsync("Task<Stream>", api => api.Stream());
await ShowAsync("Task<IApiResponse>", async api => Console.Write($"returned {(await api.Response()).Error!.GetType().Name}"));
await ShowAsync("Task", api => api.Nothing());
await ShowAsync("IAsyncEnumerable<T>", async api =>
{
    await foreach (var one in api.Many())
        Console.Write(one);
});

async Task ShowAsync(string kind, Func<IApi, Task> call)
{
    Console.Write($"{kind}: ");
    await TypeAsync(() => call(plain));
    Console.Write("; with a factory: ");
    await TypeAsync(() => call(own));
    Console.WriteLine();
}

static async Task TypeAsync(Func<Task> call)
{
    try
    {
        await call();
    }
    catch (Exception error)
    {
        Console.Write(error.GetType().Name);
    }
}

public sealed class Mine : Exception;

public interface IApi
{
    [Get("/a")] Task<string[]> Result();
    [Get("/a")] Task<Stream> Stream();
    [Get("/a")] Task<IApiResponse> Response();
    [Delete("/a")] Task Nothing();
    [Get("/a")] IAsyncEnumerable<string> Many();
}
X
dotnet run -v quiet >output
cat output
diff - output <<'X' || { echo "the behaviour has changed" >&2; exit 1; }
Task<T>: ApiRequestException; with a factory: Mine
Task<Stream>: ApiRequestException; with a factory: Mine
Task<IApiResponse>: returned ApiRequestException; with a factory: Mine
Task: HttpRequestException; with a factory: HttpRequestException
IAsyncEnumerable<T>: HttpRequestException; with a factory: HttpRequestException
X
