using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Qbb.Registry.Tests;

/// <summary>
/// How the house is kept: the registry's folders depend on one another in one direction, and documentation, help, messages and pages are in
/// plain English.
/// </summary>
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

    /// <summary>Exact phrases that an engineer whose language is English would not write; each stands for its kind.</summary>
    private static readonly string[] s_refused =
    [
        "without further hands", "what it came to", "what they came to", "what the versions came to", "what came of", "scores what it made", "the literature shares", "lets it write a line",
        "leaves the server up", "plain weights that load anywhere", "stages and time left, then", "reading one runs the code", "are a model for every n", "is a model for every n", "with scales of their own",
        "what served", "it goes back to the last checkpoint", "on at a tenth of the rate", "this machine's names only", "asks nobody", "costs the unit it was at", "its rows say is outstanding",
        "of different protocols do not compare", "the same message again", "what is wrong is said", "nobody has put or found", "goes on where it was", "what these make of", "where it is there and fits",
        "that draw numbers", "the same files were there already", "ask yourself with", "what becomes of it", "the program's own choices", "most perplexity", "weigh errors by what", "those that are ticked",
        "no version meets all", "takes a deletion back", "until the collector has been", "models that can be read", "several models in one", "the format that is written", "how products are calculated",
        "that the teacher makes up", "the input is at fault", "fit a telephone", "has the whole", "what smaller costs", "what was asked for", "follow it elsewhere", "make one\"", "by a program",
        "interface for programs", "units in trouble", "what it says", "by another recipe", "none was started", "point it here", "waits for another of the same", "is none:", "cannot be looked at now",
        "the outbox waits", "is put off", "somebody else changed", "law of the first", "are asked for", "were asked for", "goes on with", "usually of no use",
    ];

    [Fact]
    public void Documentation_and_messages_are_in_plain_English()
    {
        RefusedIn("/tmp: is no model", isCode: false).ShouldBe([" is no model"]);
        RefusedIn("throw new Exception(\"Point it here\"); // Asks nobody", isCode: true).ShouldBe(["point it here"]);
        RefusedIn("there is no model x, and it is no longer known", isCode: false).ShouldBeEmpty();

        var root = Path.Combine(Path.GetDirectoryName(SourceOfThis())!, "..", "..");
        Assert.SkipUnless(File.Exists(Path.Combine(root, "README.md")), "needs the sources beside the tests");
        var files = new[] { "docs", "services", "shared" }.SelectMany(folder => Directory.EnumerateFiles(Path.Combine(root, folder), "*", SearchOption.AllDirectories))
            .Where(file => Path.GetExtension(file) is ".md" or ".cs" or ".razor" && !Path.GetRelativePath(root, file).Split('/').Any(part => part is "bin" or "obj"))
            .Append(Path.Combine(root, "README.md")).ToList();
        files.Count.ShouldBeGreaterThan(100);
        var found = files.SelectMany(file => RefusedIn(File.ReadAllText(file), Path.GetExtension(file) == ".cs").Select(phrase => $"{Path.GetRelativePath(root, file)}: {phrase}"));
        found.ShouldBeEmpty("rewrite these in plain English");
    }

    // Of code all but comments: the phrases have spaces, which names have not.
    private static IEnumerable<string> RefusedIn(string text, bool isCode)
    {
        var read = (isCode ? Comments().Replace(text, "") : text).Replace('’', '\'');
        return s_refused.Where(phrase => read.Contains(phrase, StringComparison.OrdinalIgnoreCase)).Concat(IsNo().Matches(read).Select(match => match.Value));
    }

    private static string SourceOfThis([CallerFilePath] string path = "") => path;

    // A directive, or a name that is qualified by the folder's namespace.
    [GeneratedRegex(@"(?:using (?:static )?Qbb\.Registry\.|(?<![\w.""/])(?=(?:Data|Http|Pages|Messaging|Versions|Aliases|Metrics|Lineage|Models|Search|Pipelines|Policies|Uploads|Collecting)\.[A-Z]\w+\.))([A-Z]\w+(?:\.[A-Z]\w+)*)")]
    private static partial Regex Names();

    [GeneratedRegex(@"(?<=^|\s)//.*$", RegexOptions.Multiline)]
    private static partial Regex Comments();

    // Write "unknown X" or "not a X"; "there is no X" is English.
    [GeneratedRegex(@"(?<!\bthere) is no (?!longer|better|more|other)\S+", RegexOptions.IgnoreCase)]
    private static partial Regex IsNo();
}
