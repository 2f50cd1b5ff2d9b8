using Microsoft.Extensions.Configuration;
using Qbb.Evaluator.Text;
using Qbb.Hosting;
using Qbb.Hosting.Artifacts;

namespace Qbb.Cli.Registry;

/// <summary>Puts a text to score on where the services will look for it.</summary>
internal static class ScoringText
{
    /// <param name="file">The text.</param>
    /// <param name="data">The data folder of <c>qbb up</c>.</param>
    /// <param name="settings">As Section:Name=value: they may name a bucket.</param>
    /// <param name="cancel">Stops in the middle.</param>
    /// <exception cref="InvalidInputException">The file cannot be read, or the store not be used.</exception>
    public static async Task<Digest> StoreAsync(string file, string data, IReadOnlyList<string> settings, CancellationToken cancel)
    {
        var configuration = new ConfigurationBuilder().AddEnvironmentVariables()
            .AddCommandLine([$"--Artifacts:Folder={UpSettings.StoreOf(data)}", .. settings.Select(setting => "--" + setting)]).Build();
        try
        {
            await using var stream = file == EvaluationText.StandardInput ? Console.OpenStandardInput() : File.OpenRead(file);
            return (await ArtifactExtensions.OpenStore(configuration).PutAsync(stream, cancellation: cancel)).Digest;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{file}: cannot be read: {error.Message}", error);
        }
        catch (Exception error) when (error is not OperationCanceledException && ServiceHost.Explain(error) is { } message)
        {
            throw new InvalidInputException(message, error);
        }
    }
}
