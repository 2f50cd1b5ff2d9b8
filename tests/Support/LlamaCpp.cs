namespace Qbb.Tests;

/// <summary>llama.cpp itself, where tests/peers/llamacpp/run has installed it.</summary>
internal static class LlamaCpp
{
    /// <summary>The folder with npm's node-llama-cpp; skips the test where there is none.</summary>
    public static string Folder
    {
        get
        {
            var folder = Environment.GetEnvironmentVariable("QBB_LLAMACPP");
            Assert.SkipWhen(string.IsNullOrEmpty(folder), "compares with llama.cpp: run tests/peers/llamacpp/run");
            return folder!;
        }
    }

    /// <summary>All GGUF files among the references, by their path there; of split ones the first piece.</summary>
    public static TheoryData<string> Files =>
    [
        .. new[] { "gguf", "field" }.SelectMany(folder => Directory.EnumerateFiles(Reference.Path(folder), "*.gguf", SearchOption.AllDirectories))
            .Where(file => !file.Contains("-00002-of-", StringComparison.Ordinal))
            .Select(file => Path.GetRelativePath(Reference.Path(), file)).Order(StringComparer.Ordinal),
    ];
}
