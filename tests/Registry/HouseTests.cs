using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Qbb.Registry.Tests;

/// <summary>The registry reads by feature: folders depend on one another in one direction.</summary>
public sealed partial class HouseTests
{
    [Fact]
    public void Folders_of_the_registry_have_no_circle()
    {
        var root = Path.Combine(Path.GetDirectoryName(SourceOfThis())!, "..", "..", "services", "registry");
        Assert.SkipUnless(Directory.Exists(root), "needs the sources beside the tests");
        var files = Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories)
            .Select(file => (Folder: Path.GetDirectoryName(Path.GetRelativePath(root, file))!, Text: File.ReadAllText(file)))
            .Where(file => file.Folder.Length > 0 && file.Folder.Split('/')[0] is not ("bin" or "obj")).ToList();
        var folders = files.Select(file => file.Folder).Distinct().ToDictionary(folder => folder.Replace('/', '.'), folder => folder);
        var uses = files.SelectMany(file => Names().Matches(file.Text).Select(match => (From: file.Folder, To: Folder(match.Groups[1].Value))))
            .Where(use => use.To is not null && use.To != use.From).Distinct().ToLookup(use => use.From, use => use.To!);

        uses.Count.ShouldBeGreaterThan(10);
        foreach (var folder in folders.Values)
            Reach(folder).ShouldNotContain(folder, $"{folder} uses {string.Join(", ", uses[folder].Where(used => Reach(used).Contains(folder)))}, which needs {folder} again");

        string? Folder(string name)
        {
            for (var rest = name; rest.Length > 0; rest = rest[..Math.Max(rest.LastIndexOf('.'), 0)])
            {
                if (folders.TryGetValue(rest, out var folder))
                    return folder;
            }
            return null;
        }

        HashSet<string> Reach(string from)
        {
            var reached = new HashSet<string>();
            var next = new Queue<string>(uses[from]);
            while (next.TryDequeue(out var folder))
            {
                if (reached.Add(folder))
                    uses[folder].ToList().ForEach(next.Enqueue);
            }
            return reached;
        }
    }

    private static string SourceOfThis([CallerFilePath] string path = "") => path;

    // A directive, or a name that is qualified by the folder's namespace.
    [GeneratedRegex(@"(?:using (?:static )?Qbb\.Registry\.|(?<![\w.""/])(?=(?:Data|Http|Pages|Messaging|Versions|Aliases|Metrics|Lineage|Models|Search|Pipelines|Policies|Uploads|Collecting)\.[A-Z]\w+\.))([A-Z]\w+(?:\.[A-Z]\w+)*)")]
    private static partial Regex Names();
}
