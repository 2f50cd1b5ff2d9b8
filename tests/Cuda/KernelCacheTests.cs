namespace Qbb.Cuda.Tests;

public sealed class KernelCacheTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("qbb-kernels-").FullName;

    public void Dispose() => Directory.Delete(_root, true);

    [Fact]
    public void A_key_depends_on_all_that_the_machine_code_depends_on()
    {
        var source = new KernelSource("a.cu", "code", "-DN=1", "-DG=2");
        var keys = new[]
        {
            KernelCache.Key(source, "sm_90a", "13.0"),
            KernelCache.Key(source, "sm_90a", "12.9"),
            KernelCache.Key(source, "sm_100a", "13.0"),
            KernelCache.Key(source with { Code = "code " }, "sm_90a", "13.0"),
            KernelCache.Key(source with { Options = ["-DN=1"] }, "sm_90a", "13.0"),
            KernelCache.Key(source with { Options = ["-DN=1-DG=2"] }, "sm_90a", "13.0"),
            KernelCache.Key(source with { Options = ["-DG=2", "-DN=1"] }, "sm_90a", "13.0"),
        };
        keys.ShouldBeUnique();
        keys.ShouldAllBe(key => key.Length == 64);
        KernelCache.Key(source with { Name = "another name" }, "sm_90a", "13.0").ShouldBe(keys[0]);
    }

    [Fact]
    public void An_image_is_found_again_and_leaves_one_file()
    {
        var cache = new KernelCache(Path.Combine(_root, "new", "folder"));
        cache.Find("key").ShouldBeNull();
        cache.Store("key", [1, 2, 3]).ShouldBeTrue();
        cache.Store("key", [4, 5, 6]).ShouldBeTrue();
        cache.Find("key").ShouldBe([4, 5, 6]);
        Directory.GetFileSystemEntries(cache.Folder).ShouldBe([Path.Combine(cache.Folder, "key.cubin")]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    [InlineData(34)]
    public void A_damaged_image_is_not_found(int length)
    {
        var cache = new KernelCache(_root);
        cache.Store("key", [1, 2, 3]);
        using (var file = File.OpenWrite(Path.Combine(_root, "key.cubin")))
            file.SetLength(length);
        cache.Find("key").ShouldBeNull();
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_no_error()
    {
        File.WriteAllText(Path.Combine(_root, "file"), "");
        new KernelCache(Path.Combine(_root, "file", "kernels")).Store("key", [1]).ShouldBeFalse();
    }

    [Theory]
    [InlineData("/somewhere", "/home/u", "/somewhere/qbb/kernels")]
    [InlineData(null, "/home/u", "/home/u/.cache/qbb/kernels")]
    [InlineData("", "/home/u", "/home/u/.cache/qbb/kernels")]
    [InlineData("relative", "/home/u", "/home/u/.cache/qbb/kernels")]
    public void The_folder_follows_the_base_directories(string? cacheHome, string home, string expected) =>
        KernelCache.DefaultFolder(cacheHome, home).ShouldBe(expected);
}
