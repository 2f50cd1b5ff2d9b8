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
        Directory.CreateDirectory(Target);
        File.WriteAllText(Path.Combine(Target, "old"), "");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create(Target, force: false)).Message.ShouldContain("--force");
        using (ModelFolderWriter.Create(Target, force: true))
            File.Exists(Path.Combine(Target, "old")).ShouldBeTrue();
        File.Exists(Path.Combine(Target, "old")).ShouldBeTrue();
        using var writer = ModelFolderWriter.Create(Target, force: true);
        writer.WriteText("new", "");
        writer.Commit();
        Directory.EnumerateFiles(Target).Select(Path.GetFileName).ShouldBe(["new"]);
        Directory.EnumerateFileSystemEntries(_root).ShouldBe([Target]);
    }

    [Fact]
    public void A_file_or_an_unwritable_place_is_refused()
    {
        File.WriteAllText(Target, "");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create(Target, force: true)).Message.ShouldContain("is a file");
        Should.Throw<InvalidInputException>(() => ModelFolderWriter.Create("/proc/nowhere/out", force: false)).Message.ShouldContain("/proc/nowhere/out");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
