#!/usr/bin/env bash
# TorchSharp 0.107.0 with libtorch-cpu-linux-x64 2.10.0 (NuGet).
#
# Behaviour: x.sum(0) does not sum along dimension 0. C# converts the literal 0 to every enum, and the overload sum(ScalarType? type) is nearer than
# sum(long dim, bool keepdim = false, ScalarType? type = null): the call compiles and means "the sum of all elements as ScalarType.Byte", which is the member 0. The
# result is one uint8, modulo 256, and nothing warns. x.sum(1), x.sum((long)0), x.sum(-2) and x.cumsum(0) sum along the dimension, as does PyTorch's x.sum(0).
# Broadcasting hides it: a bias gradient written as gradient.sum(0), as in PyTorch, becomes the same wrong number for every column.
# One would expect the sums along dimension 0, or a compiler's error.
#
# Output seen:
#   x.sum(0): Byte []: 44
#   torch.sum(x, 0): Byte []: 44
#   x.sum(dimension), a constant: Byte []: 44
#   x.sum(variable): Float32 [2]: 150, 150
#   x.sum(-2): Float32 [2]: 150, 150
#   x.t().sum(1): Float32 [2]: 150, 150
#   x.cumsum(0)[-1]: Float32 [2]: 150, 150
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
void Show(string call, Tensor result) => Console.WriteLine($"{call}: {result.dtype} [{string.Join(", ", result.shape)}]: {string.Join(", ", result.to(ScalarType.Float64).data<double>())}");

var x = torch.ones(150, 2);
Show("x.sum(0)", x.sum(0));
Show("torch.sum(x, 0)", torch.sum(x, 0));
const int dimension = 0;
Show("x.sum(dimension), a constant", x.sum(dimension));
var variable = 0;
Show("x.sum(variable)", x.sum(variable));
Show("x.sum(-2)", x.sum(-2));
Show("x.t().sum(1)", x.t().sum(1));
Show("x.cumsum(0)[-1]", x.cumsum(0)[-1]);
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
# Debian 12's libstdc++ lacks the version GLIBCXX_3.4.32 (found by its hash): marked weak, the library loads there too. See torchsharp-glibcxx-version.sh.
perl -0777 -pi -e 's/\x42\xf8\x97\x02\x00\x00/\x42\xf8\x97\x02\x02\x00/' out/libLibTorchSharp.so
dotnet out/p.dll | tee seen
diff seen - <<'X'
x.sum(0): Byte []: 44
torch.sum(x, 0): Byte []: 44
x.sum(dimension), a constant: Byte []: 44
x.sum(variable): Float32 [2]: 150, 150
x.sum(-2): Float32 [2]: 150, 150
x.t().sum(1): Float32 [2]: 150, 150
x.cumsum(0)[-1]: Float32 [2]: 150, 150
X
