#!/usr/bin/env bash
# Tokenizers.DotNet 1.4.1 with Tokenizers.DotNet.runtime.linux-x64 1.4.1 (NuGet), which wrap Hugging Face's Rust library tokenizers 0.22.2.
#
# Behaviour: one tokenizer.json has three meanings of \w. The pre-tokenizer Whitespace, documented as the pattern \w+|[^\w\s]+, uses Rust's: the joiner U+200D is a
# word character, ² is not. A Split by the same pattern uses Oniguruma's: ² (and ³ ¹ ¼ ½ ¾) is a word character, the joiner is not. Within brackets, [\w],
# ² is not one either. So Whitespace is not the Split that its description gives, and \w+ and [\w]+ cut differently.
# One would expect one meaning, and [\w] to be \w.
#
# Output seen:
#   Whitespace: |m|²|x
#   Split by \w+|[^\w\s]+: |m²x
#   Split by [\w]+: |m|²|x
#   Whitespace: |a<ZWJ>b
#   Split by \w+|[^\w\s]+: |a|<ZWJ>|b
#   Split by [\w]+: |a|<ZWJ>|b
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
string Split(string preTokenizer, string text)
{
    // Metaspace puts a mark in front of every piece; the model spells all characters as bytes.
    var vocabulary = string.Join(",", Enumerable.Range(0, 256).Select(value => $"\"<0x{value:X2}>\":{value}"));
    File.WriteAllText("t.json", $$"""
        {"version":"1.0","truncation":null,"padding":null,"normalizer":null,"post_processor":null,"decoder":null,"added_tokens":[],"pre_tokenizer":
        {"type":"Sequence","pretokenizers":[{{preTokenizer}},{"type":"Metaspace","replacement":"|","prepend_scheme":"always","split":false}]},
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":true,
        "ignore_merges":false,"vocab":{ {{vocabulary}} },"merges":[]} }
        """);
    using var tokenizer = new Tokenizer("t.json");
    return System.Text.Encoding.UTF8.GetString(tokenizer.Encode(text).Select(id => (byte)id).ToArray()).Replace("\u200D", "<ZWJ>");
}
string ByPattern(string regex) => JsonSerializer.Serialize(new { type = "Split", pattern = new { Regex = regex }, behavior = "Isolated", invert = false });
foreach (var text in new[] { "m²x", "a\u200Db" })
{
    Console.WriteLine($"Whitespace: {Split("""{"type":"Whitespace"}""", text)}");
    Console.WriteLine($"Split by \\w+|[^\\w\\s]+: {Split(ByPattern(@"\w+|[^\w\s]+"), text)}");
    Console.WriteLine($"Split by [\\w]+: {Split(ByPattern(@"[\w]+"), text)}");
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
dotnet out/p.dll | tee seen
diff seen - <<'X'
Whitespace: |m|²|x
Split by \w+|[^\w\s]+: |m²x
Split by [\w]+: |m|²|x
Whitespace: |a<ZWJ>b
Split by \w+|[^\w\s]+: |a|<ZWJ>|b
Split by [\w]+: |a|<ZWJ>|b
X
