namespace Qbb.Tests;

/// <summary>Finds the reference files committed under tests/Reference and the large optional material beside the checkout.</summary>
internal static class Reference
{
    public static string Root { get; } = FindRoot();

    /// <summary>A file or folder under tests/Reference.</summary>
    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, "tests", "Reference", .. parts]);

    /// <summary>A file or folder of the large material; skips the test, with the reason, where that material is absent.</summary>
    public static string Shared(params string[] parts)
    {
        var path = System.IO.Path.Combine([Root, "..", "shared", .. parts]);
        Assert.SkipUnless(File.Exists(path) || Directory.Exists(path), $"needs {string.Join('/', parts)} of the shared material beside the checkout");
        return System.IO.Path.GetFullPath(path);
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder != null && !File.Exists(System.IO.Path.Combine(folder.FullName, "global.json")))
            folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("the tests must run inside a checkout");
    }
}
