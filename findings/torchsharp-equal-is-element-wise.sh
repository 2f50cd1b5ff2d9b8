#!/usr/bin/env bash
# TorchSharp 0.107.0 with libtorch-cpu-linux-x64 2.10.0 (NuGet).
#
# Behaviour: Tensor.equal and torch.equal are the element-wise comparison, a synonym of eq, and give a tensor of booleans in the shape of their operands. PyTorch's
# torch.equal and Tensor.equal are true or false: whether two tensors have the same size and elements. A test ported from PyTorch, a.equal(b).ToBoolean(), passes
# for tensors of one element and throws for larger ones; and shapes that differ broadcast where PyTorch says False. allclose does give one bool.
# One would expect one bool, as for allclose.
#
# Output seen:
#   a.equal(b): Bool [3]: True, True, False
#   torch.equal(a, b): Bool [3]: True, True, False
#   a.equal(tensor(1)): Bool [3]: True, False, False
#   a.allclose(b): False
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
using TorchSharp;
using static TorchSharp.torch;
void Show(string call, object result) => Console.WriteLine($"{call}: {(result is Tensor t ? $"{t.dtype} [{string.Join(", ", t.shape)}]: {string.Join(", ", t.data<bool>())}" : result)}");

var (a, b) = (tensor(new float[] { 1, 2, 3 }), tensor(new float[] { 1, 2, 4 }));
Show("a.equal(b)", a.equal(b));
Show("torch.equal(a, b)", torch.equal(a, b));
Show("a.equal(tensor(1))", a.equal(tensor(1f)));
Show("a.allclose(b)", a.allclose(b));
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
# Debian 12's libstdc++ lacks the version GLIBCXX_3.4.32 (found by its hash): marked weak, the library loads there too. See torchsharp-glibcxx-version.sh.
perl -0777 -pi -e 's/\x42\xf8\x97\x02\x00\x00/\x42\xf8\x97\x02\x02\x00/' out/libLibTorchSharp.so
dotnet out/p.dll | tee seen
diff seen - <<'X'
a.equal(b): Bool [3]: True, True, False
torch.equal(a, b): Bool [3]: True, True, False
a.equal(tensor(1)): Bool [3]: True, False, False
a.allclose(b): False
X
