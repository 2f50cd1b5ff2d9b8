using System.Runtime.InteropServices;
using Qbb.Tests;

namespace Qbb.LibTorch.Tests;

public sealed class NativesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Only_the_version_that_is_asked_for_is_weakened()
    {
        var before = File.ReadAllBytes(Path.Combine(Natives.Find(AppContext.BaseDirectory), "libLibTorchSharp.so"));
        var after = (byte[])before.Clone();
        Natives.MarkWeak(after, Natives.UnusedVersion).ShouldBeTrue();
        var changed = Enumerable.Range(0, before.Length).Where(k => before[k] != after[k]).ToArray();
        changed.Length.ShouldBe(1);
        (before[changed[0]], after[changed[0]]).ShouldBe(((byte)0, (byte)2));
        Natives.MarkWeak(after, "GLIBCXX_9.9.9").ShouldBeFalse();
    }

    [Fact]
    public void A_weakened_copy_is_made_once_and_the_library_stays_as_it_is()
    {
        var library = Path.Combine(_folder.Path, "libLibTorchSharp.so");
        File.Copy(Path.Combine(Natives.Find(AppContext.BaseDirectory), "libLibTorchSharp.so"), library);
        var bytes = File.ReadAllBytes(library);
        var copy = Natives.Weakened(library, Path.Combine(_folder.Path, "cache"));
        Path.GetDirectoryName(copy).ShouldBe(_folder.Path);
        var written = File.GetLastWriteTimeUtc(copy);
        Natives.Weakened(library, Path.Combine(_folder.Path, "cache")).ShouldBe(copy);
        File.GetLastWriteTimeUtc(copy).ShouldBe(written);
        File.ReadAllBytes(library).ShouldBe(bytes);
        // It is the library all the same: it loads where libtorch is loaded.
        Natives.Load();
        Natives.LoadBinding(copy).ShouldNotBe(0);
        Directory.GetFiles(_folder.Path).Length.ShouldBe(2);
    }

    [Fact]
    public void The_nearest_folder_above_the_program_has_the_natives()
    {
        foreach (var place in new[] { "a/libtorch", "a/b/out/libtorch" })
        {
            Directory.CreateDirectory(Path.Combine(_folder.Path, place));
            File.WriteAllText(Path.Combine(_folder.Path, place, "libLibTorchSharp.so"), "");
        }
        Directory.CreateDirectory(Path.Combine(_folder.Path, "a/b/bin"));
        Natives.Find(Path.Combine(_folder.Path, "a/b/bin")).ShouldBe(Path.Combine(_folder.Path, "a/b/out/libtorch"));
        Natives.Find(Path.Combine(_folder.Path, "a")).ShouldBe(Path.Combine(_folder.Path, "a/libtorch"));
        Should.Throw<TorchUnavailableException>(() => Natives.Find("/")).Message.ShouldContain("make build");
    }

    [Fact]
    public void Threads_of_OpenMP_are_told_to_sleep_before_libgomp_is_loaded()
    {
        Assert.SkipWhen(Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is not null, "OMP_WAIT_POLICY decides");
        Natives.Load();
        Marshal.PtrToStringUTF8(getenv("GOMP_SPINCOUNT")).ShouldBe(Environment.GetEnvironmentVariable("GOMP_SPINCOUNT") ?? "1000");
    }

    [DllImport("libc")]
    private static extern nint getenv([MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [Fact]
    public void A_GPU_that_is_not_there_is_told_with_the_remedy()
    {
        Assert.SkipWhen(torch.cuda.is_available(), "this machine has a GPU");
        Should.Throw<TorchUnavailableException>(Natives.RequireCuda).Message.ShouldContain("--device cpu");
        var message = Should.Throw<TorchUnavailableException>(() => Natives.RequireDevice("cuda:1")).Message;
        message.ShouldStartWith("cuda:1: ");
        message.ShouldContain("--device cpu");
    }
}
