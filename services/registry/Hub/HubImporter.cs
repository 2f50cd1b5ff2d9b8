using System.Text.Json;
using System.Text.RegularExpressions;
using Qbb.Artifacts;
using Qbb.Artifacts.Hub;
using Qbb.Registry.Http;
using Qbb.Registry.Uploads;

namespace Qbb.Registry.Hub;

/// <summary>Takes a model of the hub at one commit and makes it a version here, which policies quantize as any upload.</summary>
internal sealed partial class HubImporter(HubClient client, IArtifactStore store, BlobLeases leases, Uploader uploader)
{
    private const string Config = "config.json", Weights = "model.safetensors", Index = "model.safetensors.index.json", Gguf = ".gguf";

    /// <param name="reference">The repository, perhaps with a GGUF file.</param>
    /// <param name="revision">The commit, as the hub describes it.</param>
    /// <param name="cancellation">Stops in the middle of a file.</param>
    /// <exception cref="HubAwayException">The hub does not answer.</exception>
    /// <exception cref="Contracts.InvalidInputException">The hub refuses a file, or its bytes are damaged.</exception>
    /// <exception cref="RefusedException">The files are not a model.</exception>
    public async Task<UploadedVersion> ImportAsync(HubReference reference, HubRevision revision, CancellationToken cancellation)
    {
        var entries = new List<FileEntry>();
        foreach (var file in await ChooseAsync(reference, revision, cancellation))
        {
            var blob = file.Digest is { } digest && await store.KeepAsync(digest, cancellation) ? await store.FindAsync(digest, cancellation) : null;
            if (blob is null)
            {
                await using var stream = await client.OpenAsync(reference, revision.Commit, file, cancellation);
                blob = await store.PutAsync(stream, file.Digest, cancellation);
            }
            await leases.KeepAsync([blob.Digest], cancellation);
            // Of a GGUF file the path in the repository says nothing here.
            entries.Add(new FileEntry(file.Name.EndsWith(Gguf, StringComparison.Ordinal) ? Path.GetFileName(file.Name) : file.Name, blob.Digest, blob.Size));
        }
        var tags = new Dictionary<string, string> { ["hub.model"] = reference.Repository, ["hub.commit"] = revision.Commit };
        return (await uploader.UploadAsync(NameOf(reference), new VersionRequest(entries, tags, Quantize: true), key: null, cancellation)).Version;
    }

    /// <summary>The model's name here: the repository's without its owner.</summary>
    public static string NameOf(HubReference reference) => reference.Repository[(reference.Repository.IndexOf('/') + 1)..];

    private async Task<IReadOnlyList<HubFile>> ChooseAsync(HubReference reference, HubRevision revision, CancellationToken cancellation)
    {
        var files = revision.Files.ToDictionary(file => file.Name, StringComparer.Ordinal);
        if (reference.File is { } asked)
            return files.ContainsKey(asked) ? PiecesOf(asked, files) : throw RefusedException.Invalid($"{reference.Repository} has no file {asked} at commit {revision.Commit}");
        if (files.ContainsKey(Config) && (files.ContainsKey(Weights) || files.ContainsKey(Index)))
        {
            HashSet<string> weights = files.ContainsKey(Weights) ? [Weights] : await ShardsAsync(reference, revision.Commit, files[Index], cancellation);
            if (weights.FirstOrDefault(name => !files.ContainsKey(name)) is { } missing)
                throw RefusedException.Invalid($"{reference.Repository} lacks {missing} at commit {revision.Commit}, which its index names");
            return [.. weights.Order(StringComparer.Ordinal).Select(name => files[name]), .. revision.Files.Where(file => IsBeside(file.Name) && (file.Name != Index || !files.ContainsKey(Weights)))];
        }
        var models = files.Keys.Where(name => name.EndsWith(Gguf, StringComparison.Ordinal) && (!Piece().IsMatch(name) || name.Contains("-00001-of-", StringComparison.Ordinal))).Order(StringComparer.Ordinal).ToList();
        return models switch
        {
            [var only] => PiecesOf(only, files),
            [] => throw RefusedException.Invalid($"{reference.Repository} is not a language model in safetensors or GGUF at commit {revision.Commit}"),
            _ => throw RefusedException.Invalid($"{reference.Repository} has {models.Count} GGUF files: name one in the policy, such as {HubReference.Scheme}{reference.Repository}/{models[0]}"),
        };
    }

    private async Task<HashSet<string>> ShardsAsync(HubReference reference, string commit, HubFile index, CancellationToken cancellation)
    {
        await using var stream = await client.OpenAsync(reference, commit, index, cancellation);
        try
        {
            using var json = await JsonDocument.ParseAsync(stream, default, cancellation);
            return [.. json.RootElement.GetProperty("weight_map").EnumerateObject().Select(tensor => tensor.Value.GetString()!)];
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw RefusedException.Invalid($"{Index} of {reference.Repository} at commit {commit} is damaged: {error.Message}");
        }
    }

    private static List<HubFile> PiecesOf(string name, Dictionary<string, HubFile> files)
    {
        if (Piece().Match(name) is not { Success: true } piece)
            return [files[name]];
        var all = files.Values.Where(file => Piece().Match(file.Name) is { Success: true } other && other.Groups[1].Value == piece.Groups[1].Value && other.Groups[2].Value == piece.Groups[2].Value)
            .OrderBy(file => file.Name, StringComparer.Ordinal).ToList();
        return all.Count == int.Parse(piece.Groups[2].Value, System.Globalization.CultureInfo.InvariantCulture) ? all : throw RefusedException.Invalid($"of {name} the hub has {all.Count} of {piece.Groups[2].Value} pieces");
    }

    // What goes along with the weights: settings, tokenizer, chat templates, card and license.
    private static bool IsBeside(string name) => name.Contains('/')
        ? name.StartsWith("additional_chat_templates/", StringComparison.Ordinal) && name.EndsWith(".jinja", StringComparison.Ordinal)
        : Path.GetExtension(name) is ".json" or ".jinja" or ".model" or ".md" || name is "merges.txt" or "vocab.txt"
            || name.StartsWith("LICENSE", StringComparison.OrdinalIgnoreCase) || name.StartsWith("NOTICE", StringComparison.OrdinalIgnoreCase);

    [GeneratedRegex(@"^(.*)-\d{5}-of-(\d{5})\.gguf$", RegexOptions.CultureInvariant)]
    private static partial Regex Piece();
}
