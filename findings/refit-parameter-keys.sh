#!/usr/bin/env bash
# Refit 16.4.0 (NuGet), .NET 10.
#
# Behaviour: RefitSettings.UrlParameterKeyFormatter formats the names of a query object's properties only. Parameters of a method keep the name that
# they have in C#: with a snake_case formatter GetRun(string runId) asks for ?runId=, which a server such as MLflow answers with 400, while
# Search([Query] Search search) asks for ?run_id=. What works for both: [AliasAs("run_id")] on parameters.
#
# Output seen:
#   parameter: /a?runId=1
#   parameter with AliasAs: /a?run_id=1
#   property of a query object: /a?run_id=1
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
using System.Text.Json;
using Refit;

var api = RestService.For<IApi>(
    new HttpClient(new Echo()) { BaseAddress = new Uri("http://example.test") }, new RefitSettings { UrlParameterKeyFormatter = new SnakeCase() });
Console.WriteLine($"parameter: {await api.Parameter("1")}");
Console.WriteLine($"parameter with AliasAs: {await api.Aliased("1")}");
Console.WriteLine($"property of a query object: {await api.Property(new Search("1"))}");

public sealed class Echo : HttpMessageHandler
{
    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent(request.RequestUri!.PathAndQuery) });
}

public sealed class SnakeCase : IUrlParameterKeyFormatter
{
    public string Format(string key) => JsonNamingPolicy.SnakeCaseLower.ConvertName(key);
}

public sealed record Search(string RunId);

public interface IApi
{
    [Get("/a")] Task<string> Parameter(string runId);
    [Get("/a")] Task<string> Aliased([AliasAs("run_id")] string runId);
    [Get("/a")] Task<string> Property([Query] Search search);
}
X
dotnet run -v quiet >output
cat output
diff - output <<'X' || { echo "the behaviour has changed" >&2; exit 1; }
parameter: /a?runId=1
parameter with AliasAs: /a?run_id=1
property of a query object: /a?run_id=1
X
