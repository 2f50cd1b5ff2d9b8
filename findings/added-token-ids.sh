#!/usr/bin/env bash
# Tokenizers.DotNet 1.4.1 with Tokenizers.DotNet.runtime.linux-x64 1.4.1 (NuGet), which wrap Hugging Face's Rust library tokenizers 0.22.2.
#
# Behaviour: the "id" of an entry of "added_tokens" in tokenizer.json is not used. A token that the model's vocabulary does not have gets the next free id,
# counted from the size of the vocabulary in the order of the list. A file whose ids leave a gap (an embedding with reserved rows, a vocabulary from which a
# token was deleted) therefore loads without an error and gives other ids than it says; the native library logs a warning, which the package does not show.
# One would expect the ids of the file, or an error.
#
# Output seen:
#   a, <x> with id 10, <y> with id 7: 0, 2, 3
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export NUGET_PACKAGES=$t/packages DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><RuntimeIdentifier>linux-x64</RuntimeIdentifier><SelfContained>false</SelfContained></PropertyGroup>
  <ItemGroup><PackageReference Include="Tokenizers.DotNet" Version="[1.4.1]"/><PackageReference Include="Tokenizers.DotNet.runtime.linux-x64" Version="[1.4.1]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Text.Json;
using Tokenizers.DotNet;
File.WriteAllText("t.json", """
    {"version":"1.0","truncation":null,"padding":null,"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"added_tokens":[
    {"id":10,"content":"<x>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
    {"id":7,"content":"<y>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
    "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
    "ignore_merges":false,"vocab":{"a":0,"b":1},"merges":[]}}
    """);
using var tokenizer = new Tokenizer("t.json");
Console.WriteLine($"a, <x> with id 10, <y> with id 7: {string.Join(", ", tokenizer.Encode("a<x><y>"))}");
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
dotnet out/p.dll | tee seen
diff seen - <<'X'
a, <x> with id 10, <y> with id 7: 0, 2, 3
X
