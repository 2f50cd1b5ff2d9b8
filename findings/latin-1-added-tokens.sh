#!/usr/bin/env bash
# Tokenizers.DotNet 1.4.1 with Tokenizers.DotNet.runtime.linux-x64 1.4.1 (NuGet), which wrap Hugging Face's Rust library tokenizers 0.22.2.
#
# Behaviour: with the decoder ByteLevel (GPT-2, Llama 3, Qwen), an added token whose characters all happen to be in GPT-2's alphabet of bytes is decoded as such
# bytes, though its text was never written in that alphabet. Accented Latin-1 letters are in it: the added token "café" is found in a text, but decodes to "caf"
# and a broken byte. An added token with any character outside the alphabet ("日本") comes back as it is.
# One would expect decode(encode(text)) to be the text, as for every text without the added token.
#
# Output seen:
#   aé: 2, 0, 1: aé, equal
#   日本: 4: 日本, equal
#   café: 3: caf<U+FFFD>, not equal
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
    {"version":"1.0","truncation":null,"padding":null,"normalizer":null,"post_processor":null,"added_tokens":[
    {"id":3,"content":"café","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false},
    {"id":4,"content":"日本","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}],
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
    "decoder":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
    "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
    "ignore_merges":false,"vocab":{"Ã":0,"©":1,"a":2},"merges":[]}}
    """);
using var tokenizer = new Tokenizer("t.json");
foreach (var text in new[] { "aé", "日本", "café" })
{
    var ids = tokenizer.Encode(text);
    var decoded = tokenizer.Decode(ids);
    Console.WriteLine($"{text}: {string.Join(", ", ids)}: {decoded.Replace("\uFFFD", "<U+FFFD>")}, {(decoded == text ? "equal" : "not equal")}");
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
dotnet out/p.dll | tee seen
diff seen - <<'X'
aé: 2, 0, 1: aé, equal
日本: 4: 日本, equal
café: 3: caf<U+FFFD>, not equal
X
