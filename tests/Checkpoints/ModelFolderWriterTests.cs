using Qbb.Checkpoints;

namespace Qbb.Checkpoints.Tests;

public class ModelFolderWriterTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("folder-").FullName;
    private string Target => Path.Combine(_root, "out");

    [Fact]
    public void The_folder_appears_at_commit_and_not_before()
    {
        using var writer = ModelFolderWriter.Create(Target, force: false);
        writer.WriteText("a.txt", "hello");
        writer.WriteTensors([new("x", "F32", [2])], (d, file) => file.Write(d.Name, [1, 2]));
        Directory.Exists(Target).ShouldBeFalse();
        writer.Commit();
        File.ReadAllText(Path.Combine(Target, "a.txt")).ShouldBe("hello");
        using var read = SafetensorsFolder.Open(Target);
        read.Entries.Single().Name.ShouldBe("x");
        Directory.EnumerateFileSystemEntries(_root).ShouldBe([Target]);
    }

    [Fact]
    public void Nothing_stays_behind_without_a_commit()
    {
        using (var writer = ModelFolderWriter.Create(Target, force: false))
            writer.WriteText("a.txt", "hello");
        Directory.EnumerateFileSystemEntries(_root).ShouldBeEmpty();
    }

    [Fact]
    public void An_existing_folder_needs_force_and_survives_a_failure()
    {
        Write("old", "sub/older");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create(Target, force: false)).Message.ShouldContain("--force");
        using (ModelFolderWriter.Create(Target, force: true))
            File.Exists(Path.Combine(Target, "old")).ShouldBeTrue();
        File.Exists(Path.Combine(Target, "old")).ShouldBeTrue();
        using var writer = ModelFolderWriter.Create(Target, force: true);
        writer.WriteText("new", "");
        writer.Commit();
        Names(Target).ShouldBe([WrittenFiles.RecordName, "new"]);
        Directory.EnumerateFileSystemEntries(_root).ShouldBe([Target]);
    }

    [Fact]
    public void Force_replaces_only_what_qbb_wrote()
    {
        void Refused(string file)
        {
            var message = Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create(Target, force: true)).Message;
            message.ShouldContain(Target);
            message.ShouldContain($"contains {file}");
        }
        Directory.CreateDirectory(Path.Combine(Target, "sub"));
        File.WriteAllText(Path.Combine(Target, "config.json"), "{}");
        Refused("config.json");
        Directory.Delete(Target, recursive: true);

        Write("config.json");
        File.WriteAllText(Path.Combine(Target, "notes"), "mine");
        Refused("notes");
        File.Delete(Path.Combine(Target, "notes"));
        Directory.CreateDirectory(Path.Combine(Target, "sub"));
        File.WriteAllText(Path.Combine(Target, "sub", "notes"), "mine");
        Refused("sub/notes");
        Directory.Delete(Path.Combine(Target, "sub"), recursive: true);
        // A card that somebody wrote on.
        File.AppendAllText(Path.Combine(Target, "config.json"), "mine");
        Refused("config.json");
        File.WriteAllText(Path.Combine(Target, WrittenFiles.RecordName), "torn");
        Refused("config.json");
    }

    [Fact]
    public void A_file_that_comes_during_the_work_is_kept()
    {
        Write("old");
        using var writer = ModelFolderWriter.Create(Target, force: true);
        File.WriteAllText(Path.Combine(Target, "late"), "mine");
        writer.Commit();
        var aside = Directory.EnumerateDirectories(_root).Single(folder => folder != Target);
        Names(aside).ShouldBe(["late"]);
    }

    [Fact]
    public void A_file_or_an_unwritable_place_is_refused()
    {
        File.WriteAllText(Target, "");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create(Target, force: true)).Message.ShouldContain("is a file");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create("/proc/nowhere/out", force: false)).Message.ShouldContain("/proc/nowhere/out");
    }

    private void Write(params string[] names)
    {
        using var writer = ModelFolderWriter.Create(Target, force: false);
        foreach (var name in names)
            writer.WriteText(name, "x");
        writer.Commit();
    }

    private static IEnumerable<string> Names(string folder) => Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal);

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
