using System.Security.Cryptography;
using System.Text;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>
/// The hidden folder beside the output, <c>.NAME.partial</c>, that holds what is finished until everything is. Layers lie in a folder named
/// after model, recipe and method, so another recipe finds nothing to reuse. It survives an interruption, for the next run to
/// continue, and is removed when the output stands or the input proves unusable.
/// </summary>
internal sealed class WorkFolder : IDisposable
{
    private readonly string _root;
    private readonly string _layers;
    private readonly FileStream _lock;
    private bool _discard;

    private WorkFolder(string root, string layers, FileStream held) => (_root, _layers, _lock) = (root, layers, held);

    /// <summary>Where the output is put together, on the same disk as its final place.</summary>
    public string Assembly => Path.Combine(_root, "assembly");

    /// <summary>Where finished layers are.</summary>
    public string Layers => _layers;

    /// <summary>The work folder of an output.</summary>
    public static string PathOf(string output)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(output));
        return Path.Combine(Path.GetDirectoryName(full)!, $".{Path.GetFileName(full)}.partial");
    }

    /// <summary>Makes or finds the folder and holds it against other processes.</summary>
    /// <param name="output">The final place.</param>
    /// <param name="identity">All that the layers depend on.</param>
    /// <exception cref="InvalidInputException">The place cannot be written, or another process is at work there.</exception>
    public static WorkFolder Open(string output, string identity)
    {
        var root = PathOf(output);
        var key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)))[..32];
        var layers = Path.Combine(root, key);
        try
        {
            Directory.CreateDirectory(layers);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{output}: cannot be written: {error.Message}", error);
        }
        try
        {
            var held = new FileStream(Path.Combine(root, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            return new WorkFolder(root, layers, held);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(
                $"{output}: another process is writing it (it holds {root}/lock); wait for it, or choose another output", error);
        }
    }

    /// <summary>File of one finished layer.</summary>
    public string LayerPath(int index, LinearSpec spec) => Path.Combine(_layers, LayerFile.NameOf(index, spec));

    /// <summary>File of a training that is under way.</summary>
    public string CheckpointPath => Path.Combine(_layers, "checkpoint.safetensors");

    /// <summary>Does the work that ends with the output. The folder goes afterwards, or where input or place prove unusable; an interruption leaves it.</summary>
    /// <exception cref="InvalidInputException">The output cannot be written, or what the work threw.</exception>
    public T Finish<T>(string output, Func<T> work)
    {
        try
        {
            var result = work();
            Discard();
            return result;
        }
        catch (InvalidInputException)
        {
            Discard();
            throw;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Discard();
            throw new InvalidInputException($"{output}: cannot be written: {error.Message}", error);
        }
    }

    /// <summary>From now on nothing of it is wanted any more.</summary>
    public void Discard() => _discard = true;

    public void Dispose()
    {
        if (_discard && Directory.Exists(_root))
            Directory.Delete(_root, recursive: true);
        _lock.Dispose();
    }
}
