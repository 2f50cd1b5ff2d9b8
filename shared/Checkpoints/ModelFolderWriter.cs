using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>
/// Writes a Hugging Face folder that appears whole or not at all: everything goes to a hidden folder beside the target, which takes
/// the target's name at <see cref="Commit"/>. Without it nothing stays behind.
/// </summary>
public sealed class ModelFolderWriter : IDisposable
{
    private const long ShardBytes = 4L << 30;
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string _target;
    private readonly string _work;
    private bool _committed;

    private ModelFolderWriter(string target, string work) => (_target, _work) = (target, work);

    /// <param name="path">The folder to write.</param>
    /// <param name="force">Replace a folder that qbb wrote (<see cref="WrittenFiles"/>); only at <see cref="Commit"/>, so that a failure keeps the old one.</param>
    /// <param name="work">Where everything goes until <see cref="Commit"/>, on the same disk. Null for a new hidden folder.</param>
    /// <param name="resume">What is in that folder stays; else it is removed.</param>
    /// <exception cref="InvalidInputException">The target must not be replaced, or its parent cannot be written.</exception>
    public static ModelFolderWriter Create(string path, bool force, string? work = null, bool resume = false)
    {
        var target = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        WrittenFiles.CheckTarget(path, force);
        work ??= System.IO.Path.Combine(System.IO.Path.GetDirectoryName(target) ?? "/", $".{System.IO.Path.GetFileName(target)}.{Guid.NewGuid():N}.partial");
        return Guard(path, () =>
        {
            if (!resume && Directory.Exists(work))
                Directory.Delete(work, recursive: true);
            Directory.CreateDirectory(work);
            return new ModelFolderWriter(target, work);
        });
    }

    /// <summary>Gives a finished folder on the same disk the name of an output.</summary>
    /// <exception cref="InvalidInputException">The target must not be replaced, or its name cannot be taken.</exception>
    public static void Move(string finished, string path, bool force)
    {
        WrittenFiles.CheckTarget(path, force);
        new ModelFolderWriter(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path)), finished).Commit();
    }

    /// <summary>Whether what is written stays where it is without <see cref="Commit"/>, to be resumed.</summary>
    public bool IsKept { get; set; }

    /// <summary>Where everything is until <see cref="Commit"/>.</summary>
    public string Folder => _work;

    /// <summary>Bytes of the files written so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>Writes a text file, UTF-8.</summary>
    public void WriteText(string name, string content) => Bytes += Guard(_target, () =>
    {
        var path = Inside(name);
        File.WriteAllText(path, content);
        return new FileInfo(path).Length;
    });

    /// <summary>Writes an indented JSON file.</summary>
    public void WriteJson(string name, JsonNode content) => WriteText(name, content.ToJsonString(s_json) + "\n");

    /// <summary>Copies a file; where it is a link, what that leads to.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">Its name here, which may be in a folder; null for its own.</param>
    public void Copy(string file, string? name = null) => Bytes += Guard(_target, () =>
    {
        var path = Inside(name ?? System.IO.Path.GetFileName(file));
        File.Copy(file, path);
        return new FileInfo(path).Length;
    });

    /// <summary>Writes all tensors as model.safetensors, or as shards of at most 4 GiB with their index.</summary>
    /// <param name="declarations">All tensors in order.</param>
    /// <param name="write">Called per tensor in that order; writes it completely.</param>
    public void WriteTensors(IReadOnlyList<TensorDeclaration> declarations, Action<TensorDeclaration, SafetensorsWriter> write)
    {
        var shards = Shards(declarations);
        var map = new JsonObject();
        for (var k = 0; k < shards.Count; k++)
        {
            var name = shards.Count == 1 ? SafetensorsFolder.SingleName : $"model-{k + 1:00000}-of-{shards.Count:00000}.safetensors";
            using (var writer = SafetensorsWriter.Create(Inside(name), shards[k]))
            {
                foreach (var declaration in shards[k])
                {
                    write(declaration, writer);
                    map[declaration.Name] = name;
                }
                writer.Commit();
            }
            Bytes += new FileInfo(Inside(name)).Length;
        }
        if (shards.Count > 1)
            WriteJson(SafetensorsFolder.IndexName, new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = declarations.Sum(SafetensorsLayout.Bytes) }, ["weight_map"] = map });
    }

    /// <summary>Gives the folder its name.</summary>
    /// <exception cref="InvalidInputException">The name cannot be taken.</exception>
    public void Commit() => Guard(_target, () =>
    {
        WrittenFiles.Record(_work);
        var old = _work + ".old";
        if (Directory.Exists(_target))
            Directory.Move(_target, old);
        Directory.Move(_work, _target);
        _committed = true;
        // A file that somebody put there during the work stays behind, in the folder aside.
        if (Directory.Exists(old))
            WrittenFiles.Remove(old);
        return 0;
    });

    /// <summary>Removes what was written, unless it was committed or is kept.</summary>
    public void Dispose()
    {
        if (!_committed && !IsKept && Directory.Exists(_work))
            Directory.Delete(_work, recursive: true);
    }

    private string Inside(string name)
    {
        var path = System.IO.Path.Combine(_work, name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        return path;
    }

    private static List<List<TensorDeclaration>> Shards(IReadOnlyList<TensorDeclaration> declarations)
    {
        List<List<TensorDeclaration>> shards = [[]];
        var size = 0L;
        foreach (var declaration in declarations)
        {
            var bytes = SafetensorsLayout.Bytes(declaration);
            if (size > 0 && size + bytes > ShardBytes)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(declaration);
            size += bytes;
        }
        return shards;
    }

    private static T Guard<T>(string path, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be written: {e.Message}", "see that the place may be written and that the disk has room", e);
        }
    }
}
