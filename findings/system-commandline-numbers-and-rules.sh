#!/usr/bin/env bash
# System.CommandLine 3.0.0 on .NET 10.0.12 (SDK 10.0.401).
#
# Behaviour, of numbers that people type with a decimal comma or mistype:
# 1. Option<double> takes commas for separators of thousands wherever they stand, in the invariant culture too: --temperature 1,5 is 15, without an error.
#    Option<int> refuses 1,500.
# 2. A validator of a command may read options by GetValue, as it does for rules that concern several. Where the value of one cannot be read, GetValue throws,
#    and with it Parse: the caller gets an InvalidOperationException in place of a ParseResult with the error. Without the validator, Parse reports the error.
# Way out: a CustomParser for numbers; rules that read nothing while an option is unreadable.
#
# Output seen:
#   --temperature 1,5: 15
#   --temperature 1,2,3: 123
#   --count 1,500: 1 error
#   --count x: 1 error
#   --count x, with a rule: InvalidOperationException
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
cat >numbers.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><InvariantGlobalization>true</InvariantGlobalization></PropertyGroup>
  <ItemGroup><PackageReference Include="System.CommandLine" Version="[3.0.0]" /></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.CommandLine;

Say("--temperature 1,5");
Say("--temperature 1,2,3");
Say("--count 1,500");
Say("--count x");
Say("--count x", withRule: true);

static void Say(string line, bool withRule = false)
{
    var temperature = new Option<double>("--temperature");
    var count = new Option<int?>("--count");
    var root = new RootCommand { temperature, count };
    if (withRule)
        root.Validators.Add(result => _ = result.GetValue(count) > 3 && result.GetValue(temperature) > 1);
    Console.Write($"{line}{(withRule ? ", with a rule" : "")}: ");
    try
    {
        var parsed = root.Parse(line.Split(' '));
        Console.WriteLine(parsed.Errors.Count > 0 ? $"{parsed.Errors.Count} error" : $"{parsed.GetValue(temperature)}");
    }
    catch (Exception error)
    {
        Console.WriteLine(error.GetType().Name);
    }
}
X
dotnet build -c Release -o out -v quiet --nologo >log 2>&1 || { cat log; exit 2; }
dotnet out/numbers.dll | tee seen
diff seen - <<'X'
--temperature 1,5: 15
--temperature 1,2,3: 123
--count 1,500: 1 error
--count x: 1 error
--count x, with a rule: InvalidOperationException
X
