#!/usr/bin/env bash
# .NET 10.0.12 (SDK 10.0.401) on glibc 2.36 of Debian 12, x86-64.
#
# Behaviour: mallopt(M_ARENA_MAX, 1) as the first statement of Main does not lead to one arena. The runtime's own threads have allocated by then, each in an arena
# of its own, and the limit only stops new ones: threads that start later are given the arenas there are, in turn. Native memory of a library (libtorch here) is
# then spread over them, and each keeps up to what it once held, since M_TRIM_THRESHOLD counts for every arena by itself. A server that multiplied matrices on
# several threads kept 600 MB more than one with MALLOC_ARENA_MAX=1 in its environment, which is read before the first thread starts.
#
# Output seen (arenas that eight threads, started after mallopt, allocate a megabyte from):
#   mallopt in Main: several
#   MALLOC_ARENA_MAX=1: one
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
cat >arenas.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><AllowUnsafeBlocks>true</AllowUnsafeBlocks></PropertyGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Runtime.InteropServices;
unsafe
{
    [DllImport("libc.so.6")] static extern int mallopt(int parameter, int value);
    [DllImport("libc.so.6")] static extern nint malloc(nuint size);
    if (args.Length > 0 && mallopt(-8, 1) != 1)
        return 2;
    // The largest threshold: a megabyte comes from an arena, not from a mapping of its own.
    if (mallopt(-3, 32 << 20) != 1)
        return 2;
    var arenas = new HashSet<long>();
    var together = new Barrier(8);
    var threads = Enumerable.Range(0, 8).Select(_ => new Thread(() =>
    {
        together.SignalAndWait();
        var block = malloc(1 << 20);
        together.SignalAndWait();
        // Bit 2 of a block's size says that it is not of the first arena; the others are at multiples of 64 MB.
        var isOther = (((long*)block)[-1] & 4) != 0;
        lock (arenas)
            arenas.Add(isOther ? (long)block >> 26 : 0);
    })).ToList();
    threads.ForEach(thread => thread.Start());
    threads.ForEach(thread => thread.Join());
    Console.WriteLine(arenas.Count == 1 ? "one" : "several");
    return 0;
}
X
dotnet build -c Release -o out -v quiet --nologo >log 2>&1 || { cat log; exit 2; }
{
  echo "mallopt in Main: $(env -u MALLOC_ARENA_MAX dotnet out/arenas.dll late)"
  echo "MALLOC_ARENA_MAX=1: $(MALLOC_ARENA_MAX=1 dotnet out/arenas.dll)"
} | tee seen
diff seen - <<'X'
mallopt in Main: several
MALLOC_ARENA_MAX=1: one
X
