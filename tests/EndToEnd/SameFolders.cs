namespace Qbb.EndToEnd.Tests;

/// <summary>Compares folders byte for byte.</summary>
internal static class SameFolders
{
    public static void Check(string expected, string actual)
    {
        var names = Directory.GetFiles(expected).Select(Path.GetFileName).Order().ToList();
        Directory.GetFiles(actual).Select(Path.GetFileName).Order().ShouldBe(names);
        foreach (var name in names)
            File.ReadAllBytes(Path.Combine(actual, name!)).SequenceEqual(File.ReadAllBytes(Path.Combine(expected, name!))).ShouldBeTrue(name);
    }
}
