global using Qbb.LibTorch;
global using TorchSharp;
global using static TorchSharp.torch;
using System.Runtime.CompilerServices;

/// <summary>Compiled into every assembly that uses TorchSharp (Directory.Build.targets): whichever is first to run, libtorch is found.</summary>
internal static class TorchUse
{
#pragma warning disable CA2255 // An application is what all these assemblies are parts of.
    [ModuleInitializer]
#if TORCH_AT_START
    internal static void Begin() => Natives.Load();
#else
    internal static void Begin() => Natives.LoadWithTorchSharp();
#endif
#pragma warning restore CA2255
}
