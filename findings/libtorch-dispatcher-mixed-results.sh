#!/usr/bin/env bash
# libtorch-cpu-linux-x64 2.10.0 (NuGet), its stable C interface, called through TorchSharp 0.107.0.
#
# Behaviour: torch_call_dispatcher cannot call an operator whose results are of several types, unless their types read the same from both ends. It takes the last result
# from the operator's stack and converts it by the type that the schema gives the first one: an int is then asked to be a tensor. The operator itself has run; the call returns
# an error, and its text on standard error is "Expected Tensor but got Int". Operators whose results all are tensors work, so that it shows first with those that also
# tell a number: aten::_batch_norm_impl_index, or aten::_scaled_dot_product_cudnn_attention, by which one would choose cuDNN's attention for one call.
# One would expect every operator of the registry to be callable, or such ones to be refused by name before they run.
#
# Output seen:
#   aten::native_batch_norm (3 tensors): 0
#   aten::_batch_norm_impl_index (4 tensors, int): 1
#   Expected Tensor but got Int
set -euo pipefail
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
[ -n "${NUGET_PACKAGES:-}" ] || [ -d ~/.nuget/packages/libtorch-cpu-linux-x64/2.10.0 ] || export NUGET_PACKAGES=$t/packages
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><AllowUnsafeBlocks>true</AllowUnsafeBlocks><RuntimeIdentifier>linux-x64</RuntimeIdentifier><SelfContained>false</SelfContained></PropertyGroup>
  <ItemGroup><PackageReference Include="TorchSharp" Version="[0.107.0]"/><PackageReference Include="libtorch-cpu-linux-x64" Version="[2.10.0]"/></ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Runtime.InteropServices;
using System.Text;
using TorchSharp;

unsafe
{
    var x = torch.randn(4, 3);
    var library = NativeLibrary.Load(Path.Combine(AppContext.BaseDirectory, "libtorch_cpu.so"));
    var call = (delegate* unmanaged<byte*, byte*, ulong*, ulong, int>)NativeLibrary.GetExport(library, "torch_call_dispatcher");
    var alias = (delegate* unmanaged<nint, nint*, int>)NativeLibrary.GetExport(library, "aoti_torch_new_tensor_handle");
    Console.WriteLine($"aten::native_batch_norm (3 tensors): {Call("aten::native_batch_norm", [1, Bits(0.1), Bits(1e-5)])}");
    Console.WriteLine($"aten::_batch_norm_impl_index (4 tensors, int): {Call("aten::_batch_norm_impl_index", [1, Bits(0.1), Bits(1e-5), 0])}");

    // input, then weight, bias, running_mean, running_var as none, then training, momentum, eps and, in the second, cudnn_enabled
    int Call(string name, ulong[] rest)
    {
        ulong* stack = stackalloc ulong[16];
        nint input;
        _ = alias(x.Handle, &input);
        stack[0] = (ulong)input;
        for (var k = 0; k < rest.Length; k++)
            stack[5 + k] = rest[k];
        fixed (byte* text = Encoding.ASCII.GetBytes(name + "\0"), none = new byte[1])
            return call(text, none, stack, 2UL << 56 | 10UL << 48);
    }

    static ulong Bits(double value) => BitConverter.DoubleToUInt64Bits(value);
}
X
nice dotnet build p.csproj -c Release -v q -o out >build.log 2>&1 || { grep -E 'error' build.log | sort -u | head; exit 2; }
# Debian 12's libstdc++ lacks the version GLIBCXX_3.4.32 (found by its hash): marked weak, the library loads there too. See torchsharp-glibcxx-version.sh.
perl -0777 -pi -e 's/\x42\xf8\x97\x02\x00\x00/\x42\xf8\x97\x02\x02\x00/' out/libLibTorchSharp.so
dotnet out/p.dll >seen 2>errors || true
grep -o "Expected Tensor but got Int" errors | head -1 >>seen || true
cat seen
diff seen - <<'X'
aten::native_batch_norm (3 tensors): 0
aten::_batch_norm_impl_index (4 tensors, int): 1
Expected Tensor but got Int
X
