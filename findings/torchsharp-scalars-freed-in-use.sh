#!/usr/bin/env bash
# TorchSharp 0.107.0 with libtorch-cpu-linux-x64 2.10.0 (NuGet).
#
# Behaviour: TorchSharp passes the handle of a Scalar to libtorch and does not keep the Scalar alive during the call (no GC.KeepAlive). A Scalar made by an
# implicit conversion, such as 2.0 in a.add_(b, 2.0), is garbage as soon as its handle has been read: a collection on any thread lets the finalizer free the number that the operator
# is about to read. The operator then uses what is at that address, here the number of another Scalar: 2 becomes 1000, without an error.
# Here libtorch first converts b to doubles and reads the number afterwards, so there is time for a collection. Ordinary calls fail once in some thousand when other
# threads collect often; many of them with an exception ("Expected false to be true"), since the freed memory does not hold a valid Scalar.
# One would expect a = 2. It helps to keep the Scalar in a variable and to call GC.KeepAlive on it afterwards.
# TieredCompilation is off to get at once the optimized code that a method has after some calls; unoptimized code keeps arguments alive until the method returns.
#
# Output seen:
#   zeros.add_(ones, 2.0), another Scalar being 1000: 1000
#   the same with a Scalar that is kept alive: 2
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
[ -n "${NUGET_PACKAGES:-}" ] || [ -d ~/.nuget/packages/libtorch-cpu-linux-x64/2.10.0 ] || export NUGET_PACKAGES=$t/packages
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><TieredCompilation>false</TieredCompilation><RuntimeIdentifier>linux-x64</RuntimeIdentifier><SelfContained>false</SelfContained></PropertyGroup>
  <ItemGroup><PackageReference Include="TorchSharp" Version="[0.107.0]"/><PackageReference Include="libtorch-cpu-linux-x64" Version="[2.10.0]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using TorchSharp;
using static TorchSharp.torch;

// Other allocates on the finalizer's thread, which gets the memory that this thread freed last. The first call uses up older free blocks.
Collect();
double result = 0;
for (var attempt = 0; attempt < 5 && result != 1000; attempt++)
{
    var a = torch.zeros(50_000_000, dtype: ScalarType.Float64);
    var b = torch.ones(50_000_000, dtype: ScalarType.Int32);
    var collector = new Thread(() =>
    {
        Thread.Sleep(20);
        Collect();
        Collect();
    });
    collector.Start();
    try
    {
        // Converts b to doubles first, some 0.1 s, and then reads the number.
        a.add_(b, 2.0);
        result = a[7].item<double>();
    }
    catch (System.Runtime.InteropServices.ExternalException)
    {
        // The freed memory held no valid Scalar: try again.
    }
    collector.Join();
    GC.KeepAlive(a);
    GC.KeepAlive(b);
    a.Dispose();
    b.Dispose();
}
Console.WriteLine($"zeros.add_(ones, 2.0), another Scalar being 1000: {result}");

var two = 2.0.ToScalar();
var c = torch.zeros(50_000_000, dtype: ScalarType.Float64);
var d = torch.ones(50_000_000, dtype: ScalarType.Int32);
var second = new Thread(() =>
{
    Thread.Sleep(20);
    Collect();
    Collect();
});
second.Start();
c.add_(d, two);
second.Join();
GC.KeepAlive(two);
GC.KeepAlive(d);
Console.WriteLine($"the same with a Scalar that is kept alive: {c[7].item<double>()}");

static void Collect()
{
    Other.Make();
    GC.Collect();
    GC.WaitForPendingFinalizers();
}

sealed class Other
{
    private static readonly List<Scalar> s_kept = [];
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    public static void Make() => _ = new Other();
    ~Other()
    {
        for (var k = 0; k < 50; k++)
            s_kept.Add(1000.0.ToScalar());
    }
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
# Debian 12's libstdc++ lacks the version GLIBCXX_3.4.32 (found by its hash): marked weak, the library loads there too. See torchsharp-glibcxx-version.sh.
perl -0777 -pi -e 's/\x42\xf8\x97\x02\x00\x00/\x42\xf8\x97\x02\x02\x00/' out/libLibTorchSharp.so
dotnet out/p.dll | tee seen
diff seen - <<'X'
zeros.add_(ones, 2.0), another Scalar being 1000: 1000
the same with a Scalar that is kept alive: 2
X
