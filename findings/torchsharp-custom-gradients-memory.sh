#!/usr/bin/env bash
# TorchSharp 0.107.0 with libtorch-cpu-linux-x64 2.10.0 (NuGet).
#
# Behaviour: a function of one's own (torch.autograd.SingleTensorFunction) keeps one more tensor of the size of every output, until backward or the end of the graph. It is
# an empty_like of the output that nobody reads. On the CPU its pages are never touched, so it shows in the address space alone; on a GPU, where memory is taken
# when it is asked for, activations of custom functions cost twice what they should: the memory that decides which model can be trained.
# One would expect a function that saves nothing to keep what libtorch's own operator keeps: its output.
# Ten outputs of 64 MiB, each the input of the next, are held by the graph; the output shows how much the address space grew, in sizes of an output.
#
# Output seen:
#   10 outputs of y * 0.5: 10
#   10 outputs of SingleTensorFunction: 20
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

const int count = 10, elements = 16 << 20;
var x = torch.ones(elements, requires_grad: true);
// The first calls start threads and pools: not counted.
Measure(y => y * 0.5);
Measure(y => Half.apply(y));
Console.WriteLine($"10 outputs of y * 0.5: {Measure(y => y * 0.5)}");
Console.WriteLine($"10 outputs of SingleTensorFunction: {Measure(y => Half.apply(y))}");

long Measure(Func<Tensor, Tensor> function)
{
    var before = AddressSpace();
    var kept = new List<Tensor> { x };
    for (var k = 0; k < count; k++)
        kept.Add(function(kept[^1]));
    var grown = (long)Math.Round((AddressSpace() - before) / (4.0 * elements));
    kept[^1].sum().backward();
    var gradient = x.grad!;
    if (gradient[3].item<float>() != MathF.Pow(0.5f, count))
        throw new InvalidOperationException("a wrong gradient");
    x.grad = null;
    foreach (var y in kept.Skip(1).Reverse())
        y.Dispose();
    GC.Collect();
    GC.WaitForPendingFinalizers();
    GC.Collect();
    GC.WaitForPendingFinalizers();
    return grown;
}

static long AddressSpace() => 1024 * long.Parse(File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmSize")).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]);

sealed class Half : torch.autograd.SingleTensorFunction<Half>
{
    public override string Name => "Half";
    public override Tensor forward(torch.autograd.AutogradContext context, params object[] arguments) => (Tensor)arguments[0] * 0.5;
    public override List<Tensor> backward(torch.autograd.AutogradContext context, Tensor gradient) => [gradient * 0.5];
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
# Debian 12's libstdc++ lacks the version GLIBCXX_3.4.32 (found by its hash): marked weak, the library loads there too. See torchsharp-glibcxx-version.sh.
perl -0777 -pi -e 's/\x42\xf8\x97\x02\x00\x00/\x42\xf8\x97\x02\x02\x00/' out/libLibTorchSharp.so
dotnet out/p.dll | tee seen
diff seen - <<'X'
10 outputs of y * 0.5: 10
10 outputs of SingleTensorFunction: 20
X
