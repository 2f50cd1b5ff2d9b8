#!/usr/bin/env bash
# TorchSharp 0.107.0 with libtorch-cpu-linux-x64 2.10.0 (NuGet).
#
# Behaviour: libLibTorchSharp.so does not load on Debian 12 ("version `GLIBCXX_3.4.32' not found"), though no relocation uses that version: everything it calls is in
# GLIBCXX_3.4.30, which Debian 12's libstdc++ has. The only symbol of the version is std::ios_base_library_init(), which <iostream> of GCC 13 declares as needed
# and nothing calls: it makes sure that libstdc++ initialises std::cout by itself. libtorch_cpu.so and libc10.so are always loaded first, were built with an
# older GCC and initialise the streams (std::ios_base::Init), so nothing is missing. With the flag "weak" in that entry (one bit) the library works there.
# One would expect a binding to load wherever its libtorch (GLIBCXX_3.4.26 at most) does.
# On a system with GCC 13's libstdc++ or later the first line says "loads".
#
# Output seen:
#   as it is: is refused
#   symbols of GLIBCXX_3.4.32: _ZSt21ios_base_library_initv
#   relocations that use one: 0
#   newest version that a relocation uses: GLIBCXX_3.4.30
#   with the version marked weak: loads, 1 + 1 = 2
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
[ -n "${NUGET_PACKAGES:-}" ] || [ -d ~/.nuget/packages/libtorch-cpu-linux-x64/2.10.0 ] || export NUGET_PACKAGES=$t/packages
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><RuntimeIdentifier>linux-x64</RuntimeIdentifier><SelfContained>false</SelfContained></PropertyGroup>
  <ItemGroup><PackageReference Include="TorchSharp" Version="[0.107.0]"/><PackageReference Include="libtorch-cpu-linux-x64" Version="[2.10.0]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Runtime.InteropServices;
using System.Text;
using TorchSharp;

var path = Path.Combine(AppContext.BaseDirectory, "libLibTorchSharp.so");
var file = File.ReadAllBytes(path);
int Int(long at) => BitConverter.ToInt32(file, (int)at);
long Long(long at) => BitConverter.ToInt64(file, (int)at);
ushort Short(long at) => BitConverter.ToUInt16(file, (int)at);
string Text(long at) => Encoding.ASCII.GetString(file, (int)at, Array.IndexOf(file, (byte)0, (int)at) - (int)at);

// Sections: name, type, offset, size, the section it refers to.
var sections = Enumerable.Range(0, Short(0x3c)).Select(k => Long(0x28) + 64 * k).Select(at => (Type: Int(at + 4), At: Long(at + 24), Size: Long(at + 32), Link: Int(at + 40))).ToArray();
const int relocations = 4, dynamicSymbols = 11, versionsOfSymbols = 0x6fffffff, versionsNeeded = 0x6ffffffe;
var symbols = sections.First(section => section.Type == dynamicSymbols);
var names = sections[symbols.Link].At;
var versionOf = sections.First(section => section.Type == versionsOfSymbols).At;
var needs = new Dictionary<int, (string Name, long At)>();
var needed = sections.First(section => section.Type == versionsNeeded);
for (var need = needed.At; ; need += Int(need + 12))
{
    for (var (entry, left) = (need + Int(need + 8), Short(need + 2)); left > 0; left--, entry += Int(entry + 12))
        needs[Short(entry + 6)] = (Text(sections[needed.Link].At + Int(entry + 8)), entry);
    if (Int(need + 12) == 0)
        break;
}
string? Version(long symbol) => needs.TryGetValue(Short(versionOf + 2 * symbol) & 0x7fff, out var need) ? need.Name : null;
var used = sections.Where(section => section.Type == relocations).SelectMany(section => Enumerable.Range(0, (int)(section.Size / 24)).Select(k => Long(section.At + 24 * k + 8) >> 32)).ToArray();

const string version = "GLIBCXX_3.4.32";
Tensors.LoadLibtorch();
Console.WriteLine($"as it is: {Load()}");
Console.WriteLine($"symbols of {version}: {string.Join(", ", Enumerable.Range(0, (int)(symbols.Size / 24)).Where(k => Version(k) == version).Select(k => Text(names + Int(symbols.At + 24 * k))))}");
Console.WriteLine($"relocations that use one: {used.Count(symbol => Version(symbol) == version)}");
Console.WriteLine($"newest version that a relocation uses: {used.Select(Version).Where(name => name?.StartsWith("GLIBCXX_3.4.") ?? false).MaxBy(name => int.Parse(name!.Split('.')[^1]))}");
var flags = needs.Values.First(need => need.Name == version).At + 4;
file[flags] |= 2;
File.Delete(path);
File.WriteAllBytes(path, file);
Console.WriteLine($"with the version marked weak: {Load()}, 1 + 1 = {Tensors.Sum()}");

string Load() => NativeLibrary.TryLoad(path, out _) ? "loads" : "is refused";

// A class of its own: TorchSharp looks for its libraries when it is first used.
static class Tensors
{
    public static void LoadLibtorch() => NativeLibrary.Load(Path.Combine(AppContext.BaseDirectory, "libtorch_cpu.so"));
    public static float Sum() => (torch.tensor(1f) + torch.tensor(1f)).item<float>();
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
dotnet out/p.dll | tee seen
grep -qxE 'as it is: (is refused|loads)' seen
sed 1d seen | diff - <(cat <<'X'
symbols of GLIBCXX_3.4.32: _ZSt21ios_base_library_initv
relocations that use one: 0
newest version that a relocation uses: GLIBCXX_3.4.30
with the version marked weak: loads, 1 + 1 = 2
X
)
